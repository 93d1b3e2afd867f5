"""Episodes in which the scripted expert stands for a policy with a longer horizon than the shipped one has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.decisions import Question
from so101_action_queue.settings import Settings
from so101_sim.expert_policy import ExpertPolicy
from so101_sim.tasks import Task

from so101_tools.policy.lockstep_arm import LockstepArm, Moment
from so101_tools.policy.virtual_episode import VirtualEpisodes


class ExpertEpisodes:
    """Runs the expert behind the queue's core on a virtual arm."""

    def __init__(self, arm: LockstepArm, task: Task, settings: Settings, delay_s: float) -> None:
        """settings: of the action queue; delay_s: from a question to its answer, s."""
        self._episodes = VirtualEpisodes(arm, task, settings, delay_s)
        self._arm = arm
        self._settings = settings
        self._expert = ExpertPolicy(self._episodes.model)

    def run(self, seed: int) -> bool:
        """One episode of the scene `seed`, from the home pose until the judge has decided; whether it succeeded."""
        return self._episodes.run(seed, self._answer).succeeded

    def _answer(self, question: Question, _seen: Moment) -> NDArray[np.float64]:
        rows = self._expert.rows(
            session=question.session,
            step=question.step,
            positions=np.array(question.positions),
            world=self._arm.state(),
            rows=self._settings.actions_per_chunk,
            fps=self._settings.fps,
        )
        return np.asarray(rows, np.float64)
