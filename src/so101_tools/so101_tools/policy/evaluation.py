"""How good a checkpoint is, in virtual time: a quick look while it trains. `./so101 demo` is what counts.

The observation goes through the policy server's own decoder, units and adaptor to LeRobot. The queue is reduced to what
matters to a policy: chunks asked for when half of one is left, answered after a delay, aligned by executed steps and
averaged with what was left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from so101_policy_server.policy import Observation, Policy
from so101_sim.joints import HOME, JointRanges
from so101_sim.tasks import task_named

from so101_sim import judge, scene
from so101_tools.policy.dataset import IMAGES
from so101_tools.policy.demonstration import lerobot_units
from so101_tools.policy.lockstep_arm import LockstepArm, Phases
from so101_tools.policy.recipe import TASK
from so101_tools.policy.viewpoint import Viewpoint

NEW_SHARE = 0.7
"""LeRobot's weighted_average: 0.3 of the old row, 0.7 of the new."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One episode: the scene's seed, whether the judge was content, and after how long, s."""

    seed: int
    succeeded: bool
    duration_s: float


class Plan:
    """Rows to execute, (n, 6), driver rad, and the step that the first of them is for."""

    def __init__(self) -> None:
        self.step = 0
        self._rows: NDArray[np.float64] = np.empty((0, 6))

    def __len__(self) -> int:
        return len(self._rows)

    def pop(self) -> NDArray[np.float64]:
        """Take the next row out."""
        row: NDArray[np.float64] = self._rows[0]
        self._rows = self._rows[1:]
        self.step += 1
        return row

    def merge(self, rows: NDArray[np.float64], step: int) -> None:
        """Put in a chunk whose row 0 is for `step`: what is past is cut off, what overlaps is averaged."""
        new = rows[max(0, self.step - step) :].copy()
        overlap = min(len(new), len(self._rows))
        new[:overlap] = NEW_SHARE * new[:overlap] + (1 - NEW_SHARE) * self._rows[:overlap]
        self._rows = new


class Evaluator:
    """Runs a policy on a virtual arm of its own."""

    def __init__(
        self, arm: LockstepArm, viewpoint: Viewpoint, policy: Policy, *, delay_steps: int, threshold: float
    ) -> None:
        """delay_steps: ticks from question to answer; threshold: ask when this share of a chunk is left."""
        self._arm = arm
        self._viewpoint = viewpoint
        self._policy = policy
        self._delay_steps = delay_steps
        self._ask_below = threshold * policy.description.horizon
        self._model = scene.build_model()
        self._home = JointRanges.of(self._model).to_driver(np.array(HOME))
        self._units = lerobot_units(arm)
        self._task = task_named(TASK)

    def run(self, seed: int) -> Outcome:
        """One episode of the scene `seed`, from the home pose until the judge has decided."""
        self._arm.move_to(self._home)
        self._arm.place_objects(TASK, seed, Phases.draw(np.random.default_rng(seed)))
        self._policy.reset()
        plan = Plan()
        answers: list[tuple[int, int, NDArray[np.float64]]] = []
        referee = judge.Judge(self._task.timeout_s, self._look())
        tick = 0
        while True:
            verdict, _ = referee.look(self._look())
            if verdict is not judge.Verdict.RUNNING:
                return Outcome(seed, verdict is judge.Verdict.SUCCEEDED, referee.duration_s)
            if answers and answers[0][0] <= tick:
                _, step, rows = answers.pop(0)
                plan.merge(rows, step)
            command = plan.pop() if len(plan) else self._arm.goal
            if not answers and len(plan) <= self._ask_below:
                answers.append((tick + self._delay_steps, plan.step, self._infer()))
            self._arm.step(command)
            tick += 1

    def _look(self) -> judge.Moment:
        state = self._arm.state()
        return judge.Moment(
            state.monotonic_ns,
            state.sim_time_s,
            state.scene_count,
            scene.cube_pose(self._model, state.qpos),
            scene.cube_velocity(self._model, state.qvel),
        )

    def _infer(self) -> NDArray[np.float64]:
        moment = self._arm.moment()
        seen = self._viewpoint.see(moment.qpos)
        observation = Observation(
            state=self._units.to_policy(moment.positions)[None],
            images={IMAGES + camera: (pixels,) for camera, (_, pixels) in seen.items()},
            task=self._task.instruction,
        )
        return self._units.to_radians(self._policy.infer(observation, None).actions)
