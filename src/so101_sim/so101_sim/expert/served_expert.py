# SPDX-License-Identifier: Apache-2.0
"""The expert in the form that the policy server serves: `so101_policy_server.policy.Policy`."""

from __future__ import annotations

from pathlib import Path

from so101_node.protocol import JOINT_NAMES
from so101_policy_server.policy import (
    ImageFeature,
    Leftover,
    Observation,
    PolicyDescription,
    PolicyError,
    PolicyNotReadyError,
    Prediction,
)

from so101_sim.errors import OutOfReachError
from so101_sim.expert.expert_policy import HORIZON, ExpertPolicy
from so101_sim.world.scene import IMAGE_HEIGHT, IMAGE_WIDTH, build_model
from so101_sim.world.world_view import WorldView

_CAMERAS = ("top", "wrist")
"""It looks at no picture, but waits for those of the cameras that the shipped policies read: a chunk that did not wait
would prove nothing about the cameras, and would be quicker than any policy's."""


class ServedExpert:
    """Predicts from the simulator's state; in rad, at any rate.

    Args:
        sim_dir: run folder of virtual_arm.

    Raises:
        SimulationError: the scene cannot be built.
    """

    def __init__(self, sim_dir: Path) -> None:
        model = build_model()
        self._expert = ExpertPolicy(model)
        self._world = WorldView(sim_dir, model)
        self._session = 0
        self._description = PolicyDescription(
            policy_type="expert",
            path=str(sim_dir),
            device="cpu",
            horizon=HORIZON,
            images=tuple(
                ImageFeature(
                    f"observation.images.{camera}",
                    camera,
                    3,
                    IMAGE_HEIGHT,
                    IMAGE_WIDTH,
                    native=True,
                    trained_size=False,
                )
                for camera in _CAMERAS
            ),
            state_dim=len(JOINT_NAMES),
            action_dim=len(JOINT_NAMES),
            action_names=tuple(JOINT_NAMES),
            in_radians=True,
            any_fps=True,
        )

    @property
    def description(self) -> PolicyDescription:
        """What it waits for and gives."""
        return self._description

    def infer(self, observation: Observation, leftover: Leftover | None) -> Prediction:
        """Go on with the plan of this session and scene, or make it.

        Raises:
            PolicyNotReadyError: there is no virtual arm.
            PolicyError: the cube cannot be grasped.
        """
        world = self._world.read()
        if world is None:
            raise PolicyNotReadyError(self._world.problem)
        try:
            rows = self._expert.rows(
                session=self._session,
                step=observation.step,
                positions=observation.state[-1],
                world=world,
                rows=HORIZON,
                fps=1 / observation.period_s,
            )
        except OutOfReachError as error:
            raise PolicyError(str(error)) from error
        return Prediction(rows)

    def reset(self) -> None:
        """The next prediction is for another session and makes a new plan."""
        self._session += 1
