# SPDX-License-Identifier: Apache-2.0
"""How good a checkpoint is, in virtual time: minutes instead of an hour. `./so101 demo` is what counts.

The observation goes through the camera's encoder, the policy server's own decoder, units and adaptor to LeRobot, and
the chunk through the core of the action queue; what is left out is DDS and the driver's gate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.core.decisions import ChunkRequest
from so101_action_queue.core.settings import QueueSettings
from so101_demo.execution_modes import queue_parameters
from so101_policy_server.policy import Observation, Policy
from so101_sim.core.tasks import Task

from so101_training.policy.dataset import IMAGES
from so101_training.policy.demonstration import lerobot_units
from so101_training.policy.lockstep_arm import ArmMoment, LockstepArm
from so101_training.policy.viewpoint import Viewpoint
from so101_training.policy.virtual_episode import Outcome, PolicyDelay, SessionCorrection, VirtualEpisodes


def queue_settings(policy: Policy, task: Task, mode: str) -> QueueSettings:
    """The action queue's settings as sim.launch.xml makes them for a task and one of MODES."""
    parameters = queue_parameters(task.name, mode)
    rows = min(parameters["actions_per_chunk"], policy.description.horizon)
    cameras = tuple(image.camera for image in policy.description.images)
    return QueueSettings(**{**parameters, "actions_per_chunk": rows, "cameras": cameras})


class Evaluator:
    """Runs a policy on a virtual arm of its own."""

    def __init__(
        self,
        arm: LockstepArm,
        viewpoint: Viewpoint,
        policy: Policy,
        task: Task,
        settings: QueueSettings,
        delay: PolicyDelay,
        correction: SessionCorrection | None = None,
    ) -> None:
        """settings: of the action queue."""
        self._episodes = VirtualEpisodes(arm, task, settings, delay, correction)
        self._viewpoint = viewpoint
        self._policy = policy
        self._task = task
        self._units = lerobot_units(arm)

    def run(self, seed: int) -> Outcome:
        """Run one episode of the scene `seed`, from the home positions until the judge has decided."""
        return self._episodes.run(seed, self._infer, self._policy.reset)

    def _infer(self, _request: ChunkRequest, moment: ArmMoment) -> NDArray[np.float64]:
        seen = self._viewpoint.see(moment.qpos)
        observation = Observation(
            state=self._units.to_policy(moment.positions)[None],
            images={IMAGES + camera: (pixels,) for camera, (_, pixels) in seen.items()},
            task=self._task.instruction,
        )
        return self._units.to_radians(self._policy.infer(observation, None).actions)
