"""Tests of the conversion between MuJoCo angles and driver rad."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from so101_sim.joints import HOME, JOINT_NAMES, JointRanges

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
