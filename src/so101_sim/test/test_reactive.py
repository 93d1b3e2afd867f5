# SPDX-License-Identifier: Apache-2.0
"""Tests of the expert that plans again at each tick, in physics without bus and ROS."""

import mujoco
import numpy as np
import pytest
from so101_sim.core.joints import HOME, JointRanges
from so101_sim.core.judge import in_bin
from so101_sim.core.tasks import CONVEYOR
from so101_sim.errors import OutOfReachError
from so101_sim.expert.expert import FPS
from so101_sim.expert.reactive import ReactiveExpert
from so101_sim.world import scene

LAG_TICKS = 2  # bus and interpolation, which are not here; the expert counts on them


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return scene.build_model(timestep_s=0.005)


@pytest.fixture(scope="module")
def expert(model: mujoco.MjModel) -> ReactiveExpert:
    return ReactiveExpert(model)


def play(model: mujoco.MjModel, expert: ReactiveExpert, task: str, seed: int, *, wait_ticks: int = 0) -> np.ndarray:
    """The commands of one episode, (ticks, 6), driver rad; at its end the cube is in the bin."""
    data, ranges = scene.new_data(model), JointRanges.of(model)
    scene.place_objects(model, data, task, seed)
    home = ranges.to_driver(np.array(HOME))
    given = [home] * LAG_TICKS
    for tick in range(10**4):
        if tick == wait_ticks:
            expert.begin(home, row=wait_ticks)
        given.append(expert.command(data.qpos, data.qvel) if tick >= wait_ticks else home)
        data.ctrl[:6] = ranges.to_mujoco(given[-1 - LAG_TICKS])
        end_s = (tick + 1) / FPS
        while data.time < end_s - 1e-9:
            scene.before_step(model, data)
            mujoco.mj_step(model, data)
        if tick >= wait_ticks and expert.done:
            break
    assert in_bin(scene.cube_pose(model, data.qpos)), f"{task}, seed {seed}"
    return np.array(given)


@pytest.mark.parametrize(
    "task",
    [
        "belt_changing",
        "belt_nudged",
        "static_nudged",
        pytest.param("belt_reversing", marks=pytest.mark.long),
        pytest.param("belt_stopping", marks=pytest.mark.long),
    ],
)
def test_it_picks_the_cube_whatever_the_world_does(model: mujoco.MjModel, expert: ReactiveExpert, task: str) -> None:
    given = play(model, expert, task, 3)
    assert np.abs(np.diff(given, axis=0)).max() <= 0.12 + 1e-9
    np.testing.assert_allclose(given[-1], JointRanges.of(model).to_driver(np.array(HOME)), atol=0.01)


def test_a_late_start_is_caught_up_with(model: mujoco.MjModel, expert: ReactiveExpert) -> None:
    play(model, expert, "belt_changing", 5, wait_ticks=15)


def test_the_first_command_of_a_belt_out_of_reach_is_refused(model: mujoco.MjModel, expert: ReactiveExpert) -> None:
    data = scene.new_data(model)
    scene.place_objects(model, data, "belt", 1)
    data.qpos[6:9] = CONVEYOR.point(0.2, 0.0) + np.array([0.0, 0.0, 0.0125])
    expert.begin(np.zeros(6))
    with pytest.raises(OutOfReachError):
        expert.command(data.qpos, data.qvel)
    assert not expert.done
