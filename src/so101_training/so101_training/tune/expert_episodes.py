# SPDX-License-Identifier: Apache-2.0
"""Episodes in which the scripted expert stands for a policy with a longer horizon than the shipped one has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.core.decisions import ChunkRequest
from so101_action_queue.core.settings import QueueSettings
from so101_sim.core.tasks import Task
from so101_sim.errors import OutOfReachError
from so101_sim.expert.expert_policy import ExpertPolicy

from so101_training.policy.lockstep_arm import ArmMoment, LockstepArm
from so101_training.policy.virtual_episode import PolicyDelay, VirtualEpisodes


class ExpertEpisodes:
    """Runs the expert behind the queue's core on a virtual arm."""

    def __init__(self, arm: LockstepArm, task: Task, settings: QueueSettings, delay_s: float) -> None:
        """settings: of the action queue; delay_s: from a request to its chunk, s."""
        self._episodes = VirtualEpisodes(arm, task, settings, PolicyDelay(delay_s))
        self._arm = arm
        self._settings = settings
        self._expert = ExpertPolicy(self._episodes.model)

    def run(self, seed: int) -> bool:
        """Run one episode of the scene `seed`, from the home positions to the verdict; tell whether it succeeded.

        A cube that is out of the expert's reach, since a belt has carried it on, is a failure.
        """
        try:
            return self._episodes.run(seed, self._compute).succeeded
        except OutOfReachError:
            return False

    def _compute(self, request: ChunkRequest, _seen: ArmMoment) -> NDArray[np.float64]:
        rows = self._expert.rows(
            session=request.session,
            step=request.step,
            positions=np.array(request.positions),
            world=self._arm.state(),
            rows=self._settings.actions_per_chunk,
            fps=self._settings.fps,
        )
        return np.asarray(rows, np.float64)
