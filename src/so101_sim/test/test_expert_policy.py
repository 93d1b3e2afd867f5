# SPDX-License-Identifier: Apache-2.0
"""Tests of the expert behind a policy's interface."""

import mujoco
import numpy as np
import pytest
from so101_sim.arm.shared_state import StateSnapshot
from so101_sim.core.joints import HOME, JointRanges
from so101_sim.core.tasks import CONVEYOR
from so101_sim.expert.expert_policy import ExpertPolicy
from so101_sim.world import scene


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return scene.build_model()


def world(model: mujoco.MjModel, seed: int, count: int) -> StateSnapshot:
    data = scene.new_data(model)
    scene.place_objects(model, data, "static", seed)
    return StateSnapshot(0.0, 0, seed, count, data.qpos, data.qvel)


class Asker:
    """One robot with one expert."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.policy = ExpertPolicy(model)
        self.home = JointRanges.of(model).to_driver(np.array(HOME))

    def ask(self, session: int, step: int, world: StateSnapshot, rows: int = 50, fps: float = 30.0) -> np.ndarray:
        return self.policy.rows(session=session, step=step, positions=self.home, world=world, rows=rows, fps=fps)


def test_chunks_of_one_episode_overlap_exactly(model: mujoco.MjModel) -> None:
    asker, here = Asker(model), world(model, 1, 1)
    first = asker.ask(7, 100, here)
    second = asker.ask(7, 125, here)
    assert first.shape == second.shape == (50, 6)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first[25:], second[:25])


def test_the_first_row_is_near_the_measured_pose_in_driver_rad(model: mujoco.MjModel) -> None:
    asker = Asker(model)
    np.testing.assert_allclose(asker.ask(7, 0, world(model, 1, 1))[0], asker.home, atol=0.01)


def test_a_new_session_begins_a_new_plan_whatever_its_step(model: mujoco.MjModel) -> None:
    asker, here = Asker(model), world(model, 1, 1)
    first = asker.ask(7, 0, here)
    asker.ask(7, 90, here)
    np.testing.assert_array_equal(asker.ask(8, 5000, here), first)


def test_a_new_scene_begins_a_new_plan_in_the_same_session(model: mujoco.MjModel) -> None:
    asker = Asker(model)
    asker.ask(7, 0, world(model, 1, 1))
    fresh = asker.ask(7, 300, world(model, 2, 2))
    np.testing.assert_array_equal(fresh, Asker(model).ask(9, 0, world(model, 2, 1)))


def test_the_rows_behind_a_plans_end_rest_at_home(model: mujoco.MjModel) -> None:
    asker, here = Asker(model), world(model, 1, 1)
    asker.ask(7, 0, here)
    np.testing.assert_allclose(asker.ask(7, 170, here)[20:], np.tile(asker.home, (30, 1)), atol=1e-6)


def test_a_cube_that_still_lies_there_when_the_plan_is_over_is_tried_again(model: mujoco.MjModel) -> None:
    asker, here = Asker(model), world(model, 1, 1)
    first = asker.ask(7, 0, here)
    np.testing.assert_array_equal(asker.ask(7, 200, here), first)
    np.testing.assert_array_equal(asker.ask(7, 225, here)[:25], first[25:])


def test_a_cube_in_the_bin_is_left_alone_when_the_plan_is_over(model: mujoco.MjModel) -> None:
    asker, here = Asker(model), world(model, 1, 1)
    asker.ask(7, 0, here)
    here.qpos[6:9] = [0.19, -0.15, 0.0145]
    for step in (200, 225, 400):
        np.testing.assert_allclose(asker.ask(7, step, here), np.tile(asker.home, (50, 1)), atol=1e-6)


def test_a_step_before_the_first_one_is_answered_from_the_beginning(model: mujoco.MjModel) -> None:
    asker, here = Asker(model), world(model, 1, 1)
    np.testing.assert_array_equal(asker.ask(7, 50, here), asker.ask(7, 10, here))


def test_at_another_rate_the_same_motion_takes_the_same_time(model: mujoco.MjModel) -> None:
    asker, here = Asker(model), world(model, 1, 1)
    slow, fast = asker.ask(7, 0, here, rows=50, fps=30.0), asker.ask(7, 0, here, rows=100, fps=60.0)
    np.testing.assert_allclose(fast[::2], slow, atol=1e-6)


def test_with_the_cube_in_the_bin_the_arm_just_goes_home(model: mujoco.MjModel) -> None:
    here = world(model, 1, 1)
    here.qpos[6:9] = [0.19, -0.15, 0.0145]
    asker = Asker(model)
    np.testing.assert_allclose(asker.ask(7, 0, here), np.tile(asker.home, (50, 1)), atol=1e-6)


def test_on_a_belt_the_plan_is_laid_again_for_where_the_cube_is_now(model: mujoco.MjModel) -> None:
    asker, data = Asker(model), scene.new_data(model)
    scene.place_objects(model, data, "belt", 3)
    first = asker.ask(7, 0, StateSnapshot(0.0, 0, 3, 1, data.qpos, data.qvel), rows=100)
    carried = data.qpos.copy()
    carried[6:9] += CONVEYOR.velocity  # of one second
    expected = asker.ask(7, 30, StateSnapshot(1.0, 0, 3, 1, carried, data.qvel), rows=70)
    np.testing.assert_allclose(expected, first[30:], atol=1e-5)
    carried[6:9] += 0.03 * CONVEYOR.direction  # nudged
    nudged = asker.ask(7, 30, StateSnapshot(1.0, 0, 3, 1, carried, data.qvel), rows=70)
    assert np.abs(nudged - first[30:])[25:40].max() > 0.05


def test_a_closed_grasp_is_carried_out_wherever_the_belt_has_the_cube(model: mujoco.MjModel) -> None:
    asker, data = Asker(model), scene.new_data(model)
    scene.place_objects(model, data, "belt", 3)
    here = StateSnapshot(0.0, 0, 3, 1, data.qpos, data.qvel)
    first = asker.ask(7, 0, here, rows=100)
    np.testing.assert_array_equal(asker.ask(7, 80, here, rows=20), first[80:])
