# SPDX-License-Identifier: Apache-2.0
"""Tests of the inverse kinematics against MuJoCo's own forward kinematics."""

import mujoco
import numpy as np
import pytest
from so101_sim.core.joints import HOME, JointRanges
from so101_sim.world import scene
from so101_sim.world.inverse_kinematics import InverseKinematics

START = np.array([0.0, -0.3, 0.6, 1.2, 0.0, 0.4])


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return scene.build_model()


@pytest.mark.parametrize("target", [(0.2, 0.0, 0.02), (0.26, 0.1, 0.0125), (0.19, -0.15, 0.085)])
def test_the_tool_arrives_with_the_gripper_pointing_down(model: mujoco.MjModel, target: tuple[float, ...]) -> None:
    reach = InverseKinematics(model).reach(np.array(target), START, wrist_roll=0.0)
    data = mujoco.MjData(model)
    data.qpos[:6] = reach.angles
    mujoco.mj_kinematics(model, data)
    np.testing.assert_allclose(data.site(scene.TOOL_SITE).xpos, target, atol=1e-3)
    assert reach.distance_m < 1e-3
    assert reach.tilt_rad < np.radians(15)


def test_the_wrist_roll_is_as_wanted_and_the_gripper_is_left_alone(model: mujoco.MjModel) -> None:
    reach = InverseKinematics(model).reach(np.array([0.22, 0.05, 0.05]), START, wrist_roll=0.4)
    assert reach.angles[4] == pytest.approx(0.4, abs=0.01)
    assert reach.angles[5] == START[5]


def test_a_place_out_of_reach_gives_its_distance_and_angles_within_the_ranges(model: mujoco.MjModel) -> None:
    reach = InverseKinematics(model).reach(np.array([0.8, 0.0, 0.1]), START)
    assert reach.distance_m > 0.2
    ranges = JointRanges.of(model)
    assert ((reach.angles >= ranges.lower) & (reach.angles <= ranges.upper)).all()


def test_the_start_is_not_written_to(model: mujoco.MjModel) -> None:
    start = np.array(HOME)
    InverseKinematics(model).reach(np.array([0.2, 0.0, 0.05]), start)
    np.testing.assert_array_equal(start, HOME)
