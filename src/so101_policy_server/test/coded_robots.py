# SPDX-License-Identifier: Apache-2.0
"""Robots whose frames and joint positions carry a code, and a policy whose chunks bring it back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from so101_policy_server.policy import Leftover, Observation, PolicyDescription, Prediction

FULL_DEG = 80.0
"""What 255 of a colour becomes in a chunk: within every joint's range."""


def code_of(robot: int, request_id: int) -> tuple[int, int, int]:
    """The colour of all frames of a request: no two of 65536 requests of 256 robots have the same."""
    return robot, request_id // 256 % 256, request_id % 256


def positions_of(robot: int, request_id: int) -> npt.NDArray[np.float64]:
    """(6,) rad: where the robot says it is."""
    return np.linspace(0.1, 0.6, 6) + robot / 100 + request_id % 1000 / 10000


def find_mixed(robot: int, request_id: int, chunk: npt.NDArray[np.float32], positions: npt.NDArray[np.float64]) -> str:
    """What of an answer, (rows, 6) rad, belongs to another request; "" when nothing does."""
    code = np.round(np.degrees(chunk[0, :3]) / FULL_DEG * 255).astype(int)
    if tuple(code) != code_of(robot, request_id):
        return f"robot {robot} request {request_id}: frames of robot {code[0]} request {code[1] * 256 + code[2]}"
    if not np.allclose(chunk[0, 3:5], positions[3:5], atol=1e-4):
        return f"robot {robot} request {request_id}: joint positions of another"
    return ""


class CodedPolicy:
    """Row 0 has the colour of the newest frame of the first camera, and the joint positions 3 and 4.

    Row 1 has how many requests of this session came before, as degrees of joint 0; row 2 the first leftover row.
    """

    def __init__(self, description: PolicyDescription) -> None:
        self.description = description
        self.served: dict[str, int] = {}
        self.batches: list[int] = []

    def infer(self, observation: Observation, leftover: Leftover | None) -> Prediction:
        return self.infer_batch([observation], [leftover])[0]

    def infer_batch(
        self, observations: Sequence[Observation], leftovers: Sequence[Leftover | None]
    ) -> list[Prediction]:
        self.batches.append(len(observations))
        return [self._one(*asked) for asked in zip(observations, leftovers, strict=True)]

    def forget(self, session: str) -> None:
        self.served.pop(session, None)

    def reset(self) -> None:
        self.served.clear()

    def _one(self, observation: Observation, leftover: Leftover | None) -> Prediction:
        image = next(iter(observation.images.values()))[-1]
        rows = np.zeros((3, 6), np.float32)
        rows[0, :3] = image[0, 0] / 255 * FULL_DEG
        rows[0, 3:5] = observation.state[-1, 3:5]
        rows[1, 0] = self.served.get(observation.session, 0) % 80
        if leftover is not None:
            rows[2] = leftover.rows[0]
        self.served[observation.session] = self.served.get(observation.session, 0) + 1
        return Prediction(rows)
