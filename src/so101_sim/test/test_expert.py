# SPDX-License-Identifier: Apache-2.0
"""Tests of the expert: by itself, and in physics without bus and ROS."""

import mujoco
import numpy as np
import pytest
from so101_sim.core.joints import HOME, JointRanges
from so101_sim.core.judge import in_bin
from so101_sim.core.tasks import CONVEYOR, STATIC, CubePose
from so101_sim.errors import OutOfReachError
from so101_sim.expert.expert import FPS, Expert, minimum_jerk, rows_needed
from so101_sim.world import scene

SPEED_RAD_S = 3.05  # well below the servos' 4.7 rad/s, so that a plan is followed


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return scene.build_model(timestep_s=0.005)


@pytest.fixture(scope="module")
def expert(model: mujoco.MjModel) -> Expert:
    return Expert(model)


def play(model: mujoco.MjModel, data: mujoco.MjData, plan: np.ndarray) -> None:
    time_s = data.time
    for row in np.vstack([plan, np.tile(plan[-1], (15, 1))]):
        data.ctrl[:6] = row
        time_s += 1 / FPS
        while data.time < time_s - 1e-9:
            scene.before_step(model, data)
            mujoco.mj_step(model, data)


@pytest.mark.parametrize("seeds", [range(1000, 1008), range(2**40, 2**40 + 8)], ids=["small", "large"])
def test_every_cube_ends_in_the_bin(model: mujoco.MjModel, expert: Expert, seeds: range) -> None:
    data = scene.new_data(model)
    jitter = np.random.default_rng(0)
    for seed in seeds:
        data.qpos[:6], data.qvel[:6] = HOME, 0.0
        scene.place_objects(model, data, "static", seed)
        play(model, data, expert.plan(scene.cube_pose(model, data.qpos), data.qpos[:6], jitter if seed % 2 else None))
        assert in_bin(scene.cube_pose(model, data.qpos)), f"seed {seed}"


def play_on_belt(model: mujoco.MjModel, expert: Expert, seed: int, *, late_rows: int) -> bool:
    data = scene.new_data(model)
    scene.place_objects(model, data, "belt", seed)
    velocity = scene.carrying_velocity(model, data.qpos, data.qvel)
    rows = expert.plan(scene.cube_pose(model, data.qpos), np.array(HOME), velocity=velocity)
    # The bus and the queue, which are not here, take two rows' time; the plan counts on it.
    play(model, data, np.vstack([np.tile(HOME, (2 + late_rows, 1)), rows]))
    return in_bin(scene.cube_pose(model, data.qpos))


def test_a_cube_on_the_belt_is_met_where_it_will_be(model: mujoco.MjModel, expert: Expert) -> None:
    for seed in (*range(2000, 2008), *range(2**40, 2**40 + 4)):
        assert play_on_belt(model, expert, seed, late_rows=0), f"seed {seed}"


def test_a_late_plan_misses_the_cube_on_the_belt(model: mujoco.MjModel, expert: Expert) -> None:
    # Otherwise latency would not matter, and the task would prove nothing.
    assert sum(play_on_belt(model, expert, seed, late_rows=12) for seed in range(2000, 2008)) <= 1


def test_a_cube_that_the_belt_has_carried_away_is_out_of_reach(expert: Expert) -> None:
    gone = CubePose(CONVEYOR.point(0.15, 0.0) + np.array([0.0, 0.0, 0.0125]), 0.0)
    with pytest.raises(OutOfReachError, match="moves out of the expert's reach"):
        expert.plan(gone, np.array(HOME), velocity=CONVEYOR.velocity)


def test_a_plan_from_another_pose_than_home_succeeds_too(model: mujoco.MjModel, expert: Expert) -> None:
    data = scene.new_data(model)
    data.qpos[:6] = data.ctrl[:6] = [0.8, -0.8, 0.9, 0.9, 0.5, 0.1]
    scene.place_objects(model, data, "static", 11)
    play(model, data, expert.plan(scene.cube_pose(model, data.qpos), data.qpos[:6]))
    assert in_bin(scene.cube_pose(model, data.qpos))


def test_a_plan_begins_at_the_given_pose_ends_at_home_and_keeps_ranges_and_speed(
    model: mujoco.MjModel, expert: Expert
) -> None:
    ranges = JointRanges.of(model)
    for seed in range(20):
        start = np.add(HOME, [0.3, 0.1, -0.1, 0.0, -0.6, 0.3])
        plan = expert.plan(STATIC.cube_start(seed), start)
        assert 150 < len(plan) < 220
        assert np.abs(plan[0] - start).max() < 0.01
        np.testing.assert_allclose(plan[-1], HOME)
        assert np.abs(np.diff(plan, axis=0, prepend=start[None])).max() * FPS < SPEED_RAD_S
        assert ((plan >= ranges.lower) & (plan <= ranges.upper)).all()


def test_jitter_varies_plans_and_its_absence_repeats_them(expert: Expert) -> None:
    cube, start = STATIC.cube_start(1), np.array(HOME)
    np.testing.assert_array_equal(expert.plan(cube, start), expert.plan(cube, start))
    jitter = np.random.default_rng(3)
    first, second = expert.plan(cube, start, jitter), expert.plan(cube, start, jitter)
    assert first.shape != second.shape or np.abs(first - second).max() > 1e-3


def test_a_cube_out_of_reach_is_refused_with_its_place(expert: Expert) -> None:
    with pytest.raises(OutOfReachError, match=r"x 0\.600, y 0\.200, z 0\.013 m is out of the expert's reach"):
        expert.plan(CubePose(np.array([0.6, 0.2, 0.0125]), 0.0), np.array(HOME))


def test_the_way_home_moves_evenly_from_where_the_arm_is(expert: Expert) -> None:
    start = np.array([1.5, 0.0, 0.0, 0.0, 0.0, 1.0])
    plan = expert.plan_home(start)
    np.testing.assert_allclose(plan[-1], HOME)
    assert np.abs(np.diff(plan, axis=0, prepend=start[None])).max() * FPS < SPEED_RAD_S


def test_minimum_jerk_by_hand() -> None:
    # 10 t^3 - 15 t^4 + 6 t^5 at t = 1/4, 2/4, 3/4, 1
    expected = [0.103515625, 0.5, 0.896484375, 1.0]
    np.testing.assert_allclose(minimum_jerk(np.array([1.0]), np.array([3.0]), 4)[:, 0], 1 + 2 * np.array(expected))


def test_a_leg_takes_as_many_rows_as_its_fastest_joint_needs() -> None:
    # 1.875 x 1.6 rad / 3 rad/s = 1 s
    assert rows_needed(np.zeros(6), np.array([0, 0.1, -1.6, 0, 0, 0])) == 30
