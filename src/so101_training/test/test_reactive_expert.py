# SPDX-License-Identifier: Apache-2.0
"""The expert that plans again at each tick, on the virtual arm with its bus and the driver's interpolation."""

from collections.abc import Iterator

import numpy as np
import pytest
from so101_sim.core.joints import HOME, JointRanges
from so101_sim.core.judge import Judge, Moment, TaskVerdict
from so101_sim.core.tasks import BELT_CHANGING, BELT_NUDGED, BELT_REVERSING, STATIC_NUDGED, Task
from so101_sim.expert.reactive import ReactiveExpert
from so101_sim.world import scene
from so101_training.policy.lockstep_arm import LockstepArm, Phases, lockstep_arm

MODEL = scene.build_model()
FIRST_SEED = 100


@pytest.fixture(scope="module")
def arm() -> Iterator[LockstepArm]:
    with lockstep_arm() as started:
        yield started


def look(arm: LockstepArm) -> Moment:
    state = arm.state()
    cube, velocity = scene.cube_pose(MODEL, state.qpos), scene.cube_velocity(MODEL, state.qvel)
    return Moment(state.monotonic_ns, state.sim_time_s, state.scene_count, cube, velocity)


def picks(arm: LockstepArm, expert: ReactiveExpert, task: Task, seed: int) -> bool:
    """One episode until the judge has decided."""
    arm.move_to(JointRanges.of(MODEL).to_driver(np.array(HOME)))
    arm.place_objects(task.name, seed, Phases.draw(np.random.default_rng(seed)))
    expert.begin(arm.goal)
    judge = Judge(task.timeout_s, look(arm), task.belt)
    while True:
        state = arm.state()
        arm.step(expert.command(state.qpos, state.qvel))
        verdict, _ = judge.look(look(arm))
        if verdict is not TaskVerdict.RUNNING:
            return verdict is TaskVerdict.SUCCEEDED


@pytest.mark.parametrize("task", [BELT_NUDGED, STATIC_NUDGED], ids=lambda task: task.name)
def test_it_picks_a_nudged_cube(arm: LockstepArm, task: Task) -> None:
    assert picks(arm, ReactiveExpert(MODEL), task, FIRST_SEED)


@pytest.mark.long
@pytest.mark.parametrize(
    "task", [BELT_CHANGING, BELT_NUDGED, BELT_REVERSING, STATIC_NUDGED], ids=lambda task: task.name
)
def test_it_picks_every_cube_in_worlds_that_change(arm: LockstepArm, task: Task) -> None:
    expert = ReactiveExpert(MODEL)
    failed = [seed for seed in range(FIRST_SEED, FIRST_SEED + 6) if not picks(arm, expert, task, seed)]
    assert not failed
