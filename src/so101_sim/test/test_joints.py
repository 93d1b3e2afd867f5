# SPDX-License-Identifier: Apache-2.0
"""Tests of the conversion between MuJoCo angles and driver rad."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_node.protocol import HOME_POSITIONS, JOINT_NAMES
from so101_sim.core.joints import HOME, JointRanges
from so101_sim.core.tasks import CubePose
from so101_sim.errors import ArrayShapeError
from so101_sim.world.scene import build_model

RANGES = JointRanges(np.array([-1.9, -1.7, -1.69, -1.6, -2.7, -0.2]), np.array([1.9, 1.7, 1.69, 1.6, 2.7, 1.7]))
ANGLES = st.lists(st.floats(-4, 4), min_size=6, max_size=6).map(np.array)


@given(ANGLES)
def test_driver_and_mujoco_angles_are_each_others_inverse(angles: np.ndarray) -> None:
    np.testing.assert_allclose(RANGES.to_mujoco(RANGES.to_driver(angles)), angles, atol=1e-12)


def test_the_middle_of_the_range_is_the_drivers_zero() -> None:
    np.testing.assert_allclose(RANGES.to_driver(RANGES.middle), np.zeros(6))
    assert RANGES.middle[JOINT_NAMES.index("gripper")] == 0.75


def test_many_rows_are_converted_at_once() -> None:
    rows = np.tile(HOME, (50, 1))
    converted = RANGES.to_driver(rows)
    assert converted.shape == (50, 6)
    np.testing.assert_allclose(converted[49], np.array(HOME) - RANGES.middle)


def test_the_home_of_the_model_is_the_home_of_the_driver() -> None:
    converted = JointRanges.of(build_model()).to_driver(np.array(HOME))
    np.testing.assert_allclose(converted, HOME_POSITIONS, atol=0.001)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: JointRanges(np.zeros(6), np.zeros(5)), r"lower has shape \(6,\), upper \(5,\): expected \(6,\) each"),
        (lambda: CubePose(np.zeros(2), 0.0), r"position has shape \(2,\): expected \(3,\)"),
    ],
)
def test_an_array_of_another_shape_is_refused_with_both_shapes(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ArrayShapeError, match=said):
        make()
