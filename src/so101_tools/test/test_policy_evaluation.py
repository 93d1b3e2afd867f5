"""Evaluation in virtual time: the queue's own core between a policy and the virtual arm."""

from collections.abc import Iterator

import numpy as np
import pytest
from so101_policy_server.policy import ImageFeature, Observation, PolicyDescription, Prediction
from so101_sim.expert import Expert
from so101_sim.joints import HOME, JointRanges
from so101_sim.tasks import BELT, STATIC
from so101_tools.execution_modes import MODES, queue_parameters
from so101_tools.policy.demonstration import lerobot_units
from so101_tools.policy.evaluation import Evaluator, queue_settings
from so101_tools.policy.lockstep_arm import LockstepArm, lockstep_arm
from so101_tools.policy.recipe import ObservationRecipe
from so101_tools.policy.viewpoint import Viewpoint

from so101_sim import scene

RECIPE = ObservationRecipe(cameras=("top",))
ROWS, WAY_HOME_ROWS = 50, 30
LAG_ROWS = 4  # from the row that a measured pose is nearest to, to the row that comes next


class RecitingPolicy:
    """Knows the expert's plan for the scene by heart and goes on with it from the pose that it is shown."""

    description = PolicyDescription(
        "recital", "", "cpu", ROWS, (ImageFeature("observation.images.top", "top", 3, 64, 80),), 6, 6
    )

    def __init__(self, arm: LockstepArm) -> None:
        self._arm = arm
        self._units = lerobot_units(arm)
        model = scene.build_model()
        self._model, self._expert, self._ranges = model, Expert(model), JointRanges.of(model)
        self.answers = 0

    def reset(self) -> None:
        qpos = self._arm.state().qpos
        cube, velocity = scene.cube_pose(self._model, qpos), scene.carrying_velocity(self._model, qpos)
        self._plan = self._ranges.to_driver(self._expert.plan(cube, np.array(HOME), velocity=velocity))

    def infer(self, observation: Observation, leftover: object) -> Prediction:
        assert observation.images["observation.images.top"][0].shape == (64, 80, 3)
        self.answers += 1
        pose = self._units.to_radians(observation.state)[0]
        way = self._plan[:-WAY_HOME_ROWS, :5]  # not the way home, and not the gripper, which the cube stops
        here = int(np.abs(way - pose[:5]).sum(axis=1).argmin())
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
def test_on_the_belt_late_answers_do_only_where_they_are_aligned(
    mode: str, delay_s: float, succeeds: bool, arm: LockstepArm, viewpoint: Viewpoint
) -> None:
    policy = RecitingPolicy(arm)
    outcome = Evaluator(arm, viewpoint, policy, BELT, queue_settings(policy, BELT, mode), delay_s).run(7)
    assert outcome.succeeded == succeeds
    assert policy.answers >= 3
    assert succeeds or outcome.duration_s < BELT.timeout_s  # the belt has carried the cube away


def test_the_queue_is_set_as_the_launch_file_sets_it(arm: LockstepArm) -> None:
    policy = RecitingPolicy(arm)
    aligned, waiting = (queue_settings(policy, BELT, mode) for mode in ("aligned", "stop_and_wait"))
    assert (aligned.alignment, aligned.aggregate_fn_name) == ("elapsed_time", "weighted_average")
    assert (waiting.alignment, waiting.chunk_size_threshold) == ("executed_steps", 0.0)
    assert (aligned.task, aligned.cameras, aligned.actions_per_chunk) == (BELT.instruction, ("top",), ROWS)
    assert queue_settings(policy, STATIC, "aligned").alignment == "executed_steps"


@pytest.mark.parametrize("task", [STATIC, BELT], ids=lambda task: task.name)
@pytest.mark.parametrize("mode", MODES)
def test_policies_are_told_the_instruction_that_they_were_trained_with(task: object, mode: str) -> None:
    assert queue_parameters(task.name, mode)["task"] == task.instruction  # type: ignore[attr-defined]
