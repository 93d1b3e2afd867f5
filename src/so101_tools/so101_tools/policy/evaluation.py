"""How good a checkpoint is, in virtual time: minutes instead of an hour. `./so101 demo` is what counts.

The observation goes through the camera's encoder, the policy server's own decoder, units and adaptor to LeRobot, and
the answer through the core of the action queue; what is left out is DDS and the driver's gate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.decisions import Question
from so101_action_queue.settings import Settings
from so101_policy_server.policy import Observation, Policy
from so101_sim.tasks import Task

from so101_tools.execution_modes import queue_parameters
from so101_tools.policy.dataset import IMAGES
from so101_tools.policy.demonstration import lerobot_units
from so101_tools.policy.lockstep_arm import LockstepArm, Moment
from so101_tools.policy.viewpoint import Viewpoint
from so101_tools.policy.virtual_episode import Outcome, VirtualEpisodes


def queue_settings(policy: Policy, task: Task, mode: str) -> Settings:
    """The action queue's settings as sim.launch.xml makes them for a task and one of MODES."""
    parameters = queue_parameters(task.name, mode)
    rows = min(parameters["actions_per_chunk"], policy.description.horizon)
    cameras = tuple(image.camera for image in policy.description.images)
    return Settings(**{**parameters, "actions_per_chunk": rows, "cameras": cameras})


class Evaluator:
    """Runs a policy on a virtual arm of its own."""

    def __init__(
        self,
        arm: LockstepArm,
        viewpoint: Viewpoint,
        policy: Policy,
        task: Task,
        settings: Settings,
        delay_s: float,
    ) -> None:
        """settings: of the action queue; delay_s: from a question to its answer, s."""
        self._episodes = VirtualEpisodes(arm, task, settings, delay_s)
        self._viewpoint = viewpoint
        self._policy = policy
        self._task = task
        self._units = lerobot_units(arm)

    def run(self, seed: int) -> Outcome:
        """One episode of the scene `seed`, from the home pose until the judge has decided."""
        return self._episodes.run(seed, self._infer, self._policy.reset)

    def _infer(self, _question: Question, moment: Moment) -> NDArray[np.float64]:
        seen = self._viewpoint.see(moment.qpos)
        observation = Observation(
            state=self._units.to_policy(moment.positions)[None],
            images={IMAGES + camera: (pixels,) for camera, (_, pixels) in seen.items()},
            task=self._task.instruction,
        )
        return self._units.to_radians(self._policy.infer(observation, None).actions)
