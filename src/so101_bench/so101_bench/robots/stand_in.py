# SPDX-License-Identifier: Apache-2.0
"""A policy that takes 30 ms for a batch, however large: what a GPU does with a small one. It needs no torch.

The entry point `bench_stand_in` of the group `so101.policies`. What it saw comes back in its chunks, see `code`.
"""

import time
from collections.abc import Sequence

import numpy as np
from so101_policy_server.policy import (
    ImageFeature,
    Leftover,
    Observation,
    PolicyDescription,
    PolicySource,
    Prediction,
    Progress,
)

from so101_bench.robots.code import COLOUR, ECHO, FULL_DEG, HEIGHT, JOINTS, WIDTH

LIBRARY = "bench_stand_in"
CAMERA = "front"
BATCH_S = 0.03
HORIZON = 50


class StandIn:
    """`so101_policy_server.policy.BatchingPolicy`."""

    description = PolicyDescription(
        "stand_in",
        path="",
        device="cpu",
        horizon=HORIZON,
        images=(ImageFeature(f"observation.images.{CAMERA}", CAMERA, 3, HEIGHT, WIDTH),),
        state_dim=JOINTS,
        action_dim=JOINTS,
        batches=True,
        remembers=False,
    )

    def infer(self, observation: Observation, leftover: Leftover | None) -> Prediction:
        """A batch of one."""
        return self.infer_batch([observation], [leftover])[0]

    def infer_batch(
        self, observations: Sequence[Observation], leftovers: Sequence[Leftover | None]
    ) -> list[Prediction]:
        """Sleep, and tell each what it showed: colour and joint positions, in every row."""
        time.sleep(BATCH_S)
        return [_echo(observation) for observation in observations]

    def forget(self, session: str) -> None:
        """Nothing is remembered."""

    def reset(self) -> None:
        """Nothing is remembered."""


def _echo(observation: Observation) -> Prediction:
    ((newest,),) = observation.images.values()
    row = np.zeros(JOINTS, np.float32)
    row[COLOUR] = newest[HEIGHT // 2, WIDTH // 2] / 255 * FULL_DEG
    row[ECHO] = observation.state[-1, ECHO]
    return Prediction(np.tile(row, (HORIZON, 1)))


def load(source: PolicySource, progress: Progress) -> StandIn:
    """Nothing to load."""
    return StandIn()
