# SPDX-License-Identifier: Apache-2.0
"""Evaluation in virtual time: the queue's own core between a policy and the virtual arm."""

from collections.abc import Iterator

import numpy as np
import pytest
from so101_demo.execution_modes import MODES, queue_parameters
from so101_policy_server.policy import ImageFeature, Observation, PolicyDescription, Prediction
from so101_sim.core.joints import HOME, JointRanges
from so101_sim.core.tasks import BELT, STATIC, TASKS
from so101_sim.expert.expert import Expert
from so101_sim.world import scene
from so101_training.policy.demonstration import lerobot_units
from so101_training.policy.evaluation import Evaluator, queue_settings
from so101_training.policy.lockstep_arm import LockstepArm, lockstep_arm
from so101_training.policy.recipe import ObservationRecipe
from so101_training.policy.viewpoint import Viewpoint
from so101_training.policy.virtual_episode import PolicyDelay

from so101_shipped_policies import shipped_policy

RECIPE = ObservationRecipe(cameras=("top",))
ROWS, WAY_HOME_ROWS = 50, 30
LAG_ROWS = 4  # from the row that measured joint positions are nearest to, to the row that comes next


class RecitingPolicy:
    """Knows the expert's plan for the scene by heart and goes on with it from the joint positions that it is shown."""

    description = PolicyDescription(
        "recital", "", "cpu", ROWS, (ImageFeature("observation.images.top", "top", 3, 64, 80),), 6, 6
    )

    def __init__(self, arm: LockstepArm) -> None:
        self._arm = arm
        self._units = lerobot_units(arm)
        model = scene.build_model()
        self._model, self._expert, self._ranges = model, Expert(model), JointRanges.of(model)
        self.chunks = 0

    def reset(self) -> None:
        state = self._arm.state()
        cube = scene.cube_pose(self._model, state.qpos)
        velocity = scene.carrying_velocity(self._model, state.qpos, state.qvel)
        self._plan = self._ranges.to_driver(self._expert.plan(cube, np.array(HOME), velocity=velocity))

    def infer(self, observation: Observation, leftover: object) -> Prediction:
        assert observation.images["observation.images.top"][0].shape == (64, 80, 3)
        self.chunks += 1
        positions = self._units.to_radians(observation.state)[0]
        way = self._plan[:-WAY_HOME_ROWS, :5]  # not the way home, and not the gripper, which the cube stops
        here = int(np.abs(way - positions[:5]).sum(axis=1).argmin())
        rows = self._plan[np.minimum(here + LAG_ROWS + np.arange(ROWS), len(self._plan) - 1)]
        return Prediction(self._units.to_policy(rows).astype(np.float32), 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def arm() -> Iterator[LockstepArm]:
    with lockstep_arm() as started:
        yield started


@pytest.fixture(scope="module")
def viewpoint() -> Iterator[Viewpoint]:
    with Viewpoint(RECIPE) as opened:
        yield opened


@pytest.mark.parametrize(
    ("mode", "delay_s", "succeeds"),
    [
        ("aligned", 0.0, True),
        ("aligned", 0.4, True),
        ("unaligned", 0.4, False),
        ("stop_and_wait", 0.0, True),
        ("stop_and_wait", 0.4, False),
    ],
)
def test_on_the_belt_late_chunks_do_only_where_they_are_aligned(
    mode: str, delay_s: float, succeeds: bool, arm: LockstepArm, viewpoint: Viewpoint
) -> None:
    policy = RecitingPolicy(arm)
    outcome = Evaluator(arm, viewpoint, policy, BELT, queue_settings(policy, BELT, mode), PolicyDelay(delay_s)).run(7)
    assert outcome.succeeded == succeeds
    assert policy.chunks >= 3
    assert succeeds or outcome.duration_s < BELT.timeout_s  # the belt has carried the cube away


def test_the_queue_is_set_as_the_launch_file_sets_it(arm: LockstepArm) -> None:
    policy = RecitingPolicy(arm)
    aligned, waiting = (queue_settings(policy, BELT, mode) for mode in ("aligned", "stop_and_wait"))
    assert (aligned.alignment, aligned.aggregate_fn_name) == ("elapsed_time", "weighted_average")
    assert (waiting.alignment, waiting.chunk_size_threshold) == ("executed_steps", 0.0)
    assert (aligned.task, aligned.cameras, aligned.actions_per_chunk) == (BELT.instruction, ("top",), ROWS)
    assert queue_settings(policy, STATIC, "aligned").alignment == "executed_steps"


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
@pytest.mark.parametrize("mode", MODES)
def test_policies_are_told_the_instruction_that_they_were_trained_with(task: object, mode: str) -> None:
    assert queue_parameters(task.name, mode)["task"] == task.instruction  # type: ignore[attr-defined]
    assert (shipped_policy(task.name) / "config.json").is_file()  # type: ignore[attr-defined]
