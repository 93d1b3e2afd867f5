# SPDX-License-Identifier: Apache-2.0
"""Tests of the virtual arm's world."""

import mujoco
import numpy as np
import pytest
from so101_node.protocol import JOINT_NAMES
from so101_sim.core.joints import HOME
from so101_sim.core.tasks import BELT, BELT_CHANGING, BELT_NUDGED, CONVEYOR, CUBE_HALF_M, STATIC, STATIC_NUDGED
from so101_sim.errors import TaskError
from so101_sim.world import scene


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return scene.build_model()


def test_the_arms_joints_and_actuators_come_first_in_their_order(model: mujoco.MjModel) -> None:
    for index, name in enumerate(JOINT_NAMES):
        assert model.joint(name).qposadr[0] == model.joint(name).dofadr[0] == model.actuator(name).id == index


def test_the_model_has_exactly_the_three_cameras(model: mujoco.MjModel) -> None:
    assert {model.camera(i).name for i in range(model.ncam)} == set(scene.CAMERAS)


def test_the_cube_lies_where_the_task_and_seed_say_and_the_arm_is_not_touched(model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    arm = np.array([0.3, -0.9, 0.8, 0.7, 0.2, 0.5])
    data.qpos[:6], data.qvel[:6], data.ctrl[:6] = arm, 0.1, arm
    scene.place_objects(model, data, "static", 5)
    pose, wanted = scene.cube_pose(model, data.qpos), STATIC.cube_start(5)
    np.testing.assert_allclose(pose.position, wanted.position)
    assert pose.yaw == pytest.approx(wanted.yaw)
    np.testing.assert_array_equal(data.qpos[:6], arm)
    np.testing.assert_array_equal(data.qvel[:6], np.full(6, 0.1))
    np.testing.assert_array_equal(data.ctrl[:6], arm)


def test_a_moving_cube_comes_to_rest_when_it_is_placed(model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    data.qvel[6:12] = 3.0
    scene.place_objects(model, data, "static", 1)
    np.testing.assert_array_equal(scene.cube_velocity(model, data.qvel), np.zeros(6))


def test_a_placed_cube_stays_where_it_is_and_the_arm_stays_at_home(model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    scene.place_objects(model, data, "static", 3)
    before = scene.cube_pose(model, data.qpos)
    for _ in range(500):
        scene.before_step(model, data)
        mujoco.mj_step(model, data)
    after = scene.cube_pose(model, data.qpos)
    np.testing.assert_allclose(after.position, before.position, atol=5e-4)
    assert after.position[2] == pytest.approx(CUBE_HALF_M, abs=5e-4)
    np.testing.assert_allclose(data.qpos[:6], HOME, atol=0.03)


def test_the_same_seed_gives_the_same_motion_whatever_went_before(model: mujoco.MjModel) -> None:
    def fall(seed_before: int) -> np.ndarray:
        data = scene.new_data(model)
        scene.place_objects(model, data, "static", seed_before)
        data.qvel[6:9] = 0.5
        scene.place_objects(model, data, "static", 9)
        for _ in range(50):
            mujoco.mj_step(model, data)
        return data.qpos[6:9].copy()

    np.testing.assert_array_equal(fall(1), fall(2))


def run(model: mujoco.MjModel, data: mujoco.MjData, seconds: float) -> None:
    for _ in range(round(seconds / model.opt.timestep)):
        scene.before_step(model, data)
        mujoco.mj_step(model, data)


def test_the_belt_carries_the_cube_at_its_speed_and_runs_on(model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    scene.place_objects(model, data, "belt", 3)
    start = scene.cube_pose(model, data.qpos)
    np.testing.assert_allclose(start.position, BELT.cube_start(3).position)
    marks = []
    for _ in range(6):
        run(model, data, 0.5)
        marks.append(data.qpos[-1])
    way = scene.cube_pose(model, data.qpos).position - start.position
    np.testing.assert_allclose(way, 3.0 * CONVEYOR.velocity, atol=5e-4)
    assert scene.cube_pose(model, data.qpos).yaw == pytest.approx(start.yaw, abs=0.01)
    np.testing.assert_allclose(scene.carrying_velocity(model, data.qpos, data.qvel), CONVEYOR.velocity)
    assert len({round(mark, 4) for mark in marks}) == len(marks)  # one sees it run
    assert max(marks) < 0.04


def test_a_belt_that_changes_carries_the_cube_as_far_as_its_motion_says(model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    run(model, data, 0.7)  # a scene's motion begins when it is laid out
    scene.place_objects(model, data, "belt_changing", 4)
    motion, start = BELT_CHANGING.belt_motion(4), scene.cube_pose(model, data.qpos).position
    speeds = [motion.speed_at(time_s) for time_s in np.arange(0.0, 2.5, model.opt.timestep)]
    assert len(set(speeds)) > 2
    np.testing.assert_allclose(
        scene.carrying_velocity(model, data.qpos, data.qvel) @ CONVEYOR.direction, speeds[0], atol=1e-5
    )
    run(model, data, 2.5)
    way = (scene.cube_pose(model, data.qpos).position - start) @ CONVEYOR.direction
    assert way == pytest.approx(sum(speeds) * model.opt.timestep, abs=1e-3)
    np.testing.assert_allclose(
        scene.carrying_velocity(model, data.qpos, data.qvel), speeds[-1] * CONVEYOR.direction, atol=1e-5
    )


def test_a_held_belt_stands_with_its_cube_and_then_runs_as_one_that_was_not_held(model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    scene.place_objects(model, data, "belt_changing", 4)
    start = scene.cube_pose(model, data.qpos).position
    scene.hold_world(model, data)
    run(model, data, 1.3)
    np.testing.assert_allclose(scene.cube_pose(model, data.qpos).position, start, atol=1e-4)
    np.testing.assert_array_equal(scene.carrying_velocity(model, data.qpos, data.qvel), np.zeros(3))
    scene.start_world(data)
    run(model, data, 2.5)
    motion = BELT_CHANGING.belt_motion(4)
    expected = sum(motion.speed_at(time_s) for time_s in np.arange(0.0, 2.5, model.opt.timestep)) * model.opt.timestep
    way = (scene.cube_pose(model, data.qpos).position - start) @ CONVEYOR.direction
    assert way == pytest.approx(expected, abs=1e-3)


def test_a_nudge_moves_the_cube_once_and_leaves_it_on_the_belt(model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    scene.place_objects(model, data, "belt_nudged", 6)
    motion = BELT_NUDGED.belt_motion(6)
    places = [scene.cube_pose(model, data.qpos).position]
    for _ in range(20):
        run(model, data, 0.1)
        places.append(scene.cube_pose(model, data.qpos).position)
    steps = np.diff(places, axis=0) @ CONVEYOR.direction - 0.1 * CONVEYOR.speed_m_s
    jump = int(motion.nudge_s / 0.1)
    assert steps[jump] == pytest.approx(motion.nudge_m, abs=1e-3)
    np.testing.assert_allclose(np.delete(steps, jump), 0.0, atol=5e-4)
    assert CONVEYOR.carries(places[-1])


def test_a_nudge_waits_for_no_cube_that_the_belt_has_lost(model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    scene.place_objects(model, data, "belt_nudged", 6)
    data.qpos[8] = 0.2  # held up
    before = data.qpos[6:8].copy()
    run(model, data, 0.12)
    data.time += BELT_NUDGED.belt_motion(6).nudge_s
    scene.before_step(model, data)
    np.testing.assert_allclose(data.qpos[6:8], before, atol=0.01)  # it falls where it is


def test_a_hand_moves_the_cube_once_along_its_way_and_does_not_turn_it(model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    run(model, data, 0.7)  # its time begins when the scene is laid out
    scene.place_objects(model, data, "static_nudged", 6)
    motion, start = STATIC_NUDGED.hand_motion(6), scene.cube_pose(model, data.qpos)
    for tick in range(1, 21):
        run(model, data, 0.1)
        now = scene.cube_pose(model, data.qpos)
        np.testing.assert_allclose(now.position[:2] - start.position[:2], motion.offset_at(tick / 10), atol=1e-3)
        assert now.position[2] == pytest.approx(CUBE_HALF_M, abs=1e-3)
        assert now.yaw == pytest.approx(start.yaw, abs=0.01)
    np.testing.assert_allclose(scene.cube_velocity(model, data.qvel), np.zeros(6), atol=1e-3)


def test_a_held_hand_waits_and_then_moves_the_cube_as_one_that_was_not_held(model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    scene.place_objects(model, data, "static_nudged", 6)
    start = scene.cube_pose(model, data.qpos).position
    scene.hold_world(model, data)
    run(model, data, 2.0)
    np.testing.assert_allclose(scene.cube_pose(model, data.qpos).position, start, atol=1e-4)
    scene.start_world(data)
    run(model, data, 2.0)
    way = scene.cube_pose(model, data.qpos).position - start
    np.testing.assert_allclose(way[:2], STATIC_NUDGED.hand_motion(6).way_m, atol=1e-3)


def test_a_hand_leaves_a_cube_to_the_jaws_that_hold_it_and_no_other_scene_has_one(model: mujoco.MjModel) -> None:
    data, motion = scene.new_data(model), STATIC_NUDGED.hand_motion(6)
    for task, height_m in (("static_nudged", 0.1), ("static", CUBE_HALF_M)):
        scene.place_objects(model, data, "static_nudged", 6)
        scene.place_objects(model, data, task, 6)
        data.qpos[8] = height_m
        before = data.qpos[6:9].copy()
        data.time += motion.begins_s + motion.lasts_s / 2
        scene.before_step(model, data)
        np.testing.assert_array_equal(data.qpos[6:9], before)


def test_a_cube_that_nobody_picks_is_carried_off_and_comes_to_rest_on_the_table(model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    scene.place_objects(model, data, "belt", 1)
    run(model, data, 10.0)
    cube = scene.cube_pose(model, data.qpos)
    assert cube.position[2] == pytest.approx(CUBE_HALF_M, abs=5e-4)
    assert cube.position[1] < -0.2
    np.testing.assert_allclose(scene.cube_velocity(model, data.qvel), np.zeros(6), atol=1e-3)
    np.testing.assert_array_equal(scene.carrying_velocity(model, data.qpos, data.qvel), np.zeros(3))


def test_a_task_without_a_belt_puts_it_out_of_sight_and_touch(model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    scene.place_objects(model, data, "belt", 1)
    run(model, data, 1.0)
    assert scene.has_belt(data.qpos)
    scene.place_objects(model, data, "static", 1)
    assert not scene.has_belt(data.qpos)
    run(model, data, 1.0)
    geoms = [model.geom(index) for index in range(model.ngeom)]
    conveyor = [geom for geom in geoms if geom.name.startswith(("belt", "conveyor"))]
    assert len(conveyor) > 10
    assert all(data.geom_xpos[geom.id][2] + geom.size[2] < 0.0 for geom in conveyor)
    np.testing.assert_array_equal(scene.carrying_velocity(model, data.qpos, data.qvel), np.zeros(3))


def test_an_unknown_task_moves_nothing(model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    before = data.qpos.copy()
    with pytest.raises(TaskError, match="juggle"):
        scene.place_objects(model, data, "juggle", 1)
    np.testing.assert_array_equal(data.qpos, before)


def test_the_yaw_is_read_back_from_a_tilted_cube(model: mujoco.MjModel) -> None:
    data = scene.new_data(model)
    tilt, turn, both = np.zeros(4), np.zeros(4), np.zeros(4)
    mujoco.mju_axisAngle2Quat(tilt, np.array([1.0, 0, 0]), 0.2)
    mujoco.mju_axisAngle2Quat(turn, np.array([0, 0, 1.0]), 0.7)
    mujoco.mju_mulQuat(both, turn, tilt)
    data.qpos[9:13] = both
    assert scene.cube_pose(model, data.qpos).yaw == pytest.approx(0.7, abs=1e-6)


def test_a_step_of_physics_is_as_long_as_asked() -> None:
    assert scene.build_model(timestep_s=0.005).opt.timestep == 0.005
