# SPDX-License-Identifier: Apache-2.0
"""Tests of looking at a simulation that comes and goes."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
from so101_sim.arm.shared_state import SharedState, StateSnapshot
from so101_sim.virtual_arm_client import STATE_NAME
from so101_sim.world import scene
from so101_sim.world.world_view import WorldView


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return scene.build_model()


def snapshot(model: mujoco.MjModel, count: int = 1) -> StateSnapshot:
    return StateSnapshot(1.5, 7, 3, count, np.arange(model.nq, dtype=float), np.zeros(model.nv))


def test_before_the_virtual_arm_has_started_there_is_a_reason_instead_of_a_state(
    model: mujoco.MjModel, tmp_path: Path
) -> None:
    view = WorldView(tmp_path / "nowhere", model)
    assert view.read() is None
    assert "start virtual_arm with this folder first" in view.problem


def test_the_state_appears_when_the_virtual_arm_starts_later(model: mujoco.MjModel, tmp_path: Path) -> None:
    view = WorldView(tmp_path, model)
    assert view.read() is None
    with SharedState.create(tmp_path / STATE_NAME) as file:
        assert view.read() is None
        assert "starting" in view.problem
        file.write(snapshot(model))
        state = view.read()
    assert state is not None
    assert (state.sim_time_s, state.scene_seed, state.scene_count) == (1.5, 3, 1)
    np.testing.assert_array_equal(state.qpos, np.arange(model.nq))
    assert view.problem == ""


def test_the_state_of_a_restarted_virtual_arm_is_seen(model: mujoco.MjModel, tmp_path: Path) -> None:
    view = WorldView(tmp_path, model)
    for count in (1, 2):
        with SharedState.create(tmp_path / STATE_NAME) as file:
            file.write(snapshot(model, count))
        state = view.read()
        assert state is not None
        assert state.scene_count == count
    view.close()
    view.close()


def test_a_state_of_another_scene_is_refused_with_a_remedy(model: mujoco.MjModel, tmp_path: Path) -> None:
    with SharedState.create(tmp_path / STATE_NAME) as file:
        file.write(StateSnapshot(1.0, 1, 1, 1, np.zeros(20), np.zeros(19)))
    view = WorldView(tmp_path, model)
    assert view.read() is None
    assert "got (20, 19); restart virtual_arm" in view.problem
