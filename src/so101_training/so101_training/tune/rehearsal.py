# SPDX-License-Identifier: Apache-2.0
"""A policy for the core alone: the expert's way, seen afresh by each chunk with the disagreement of a learned policy.

Starvation depends on nothing but times. Jerk and seams come from chunks that disagree about the same steps: that is
measured on the shipped ACT and put onto the expert's way.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.core.decisions import ChunkRequest
from so101_sim.core.joints import HOME, JointRanges
from so101_sim.core.tasks import task_named
from so101_sim.expert.expert import Expert
from so101_sim.world import scene

SCENES: Final = 4

AHEAD_STEPS: Final = 1.6
OFFSET_RAD: Final = 0.01
"""Standard deviations of how far a chunk runs ahead of the others, and of how far it lies beside them, joint by joint.

Measured on the shipped ACT, 8 episodes, chunks requested 25 steps apart: they differ at the same step by 0.06 rad
(0.13 at the gripper), most where the arm is fast and as much in the first rows as in the later ones: they disagree
about when more than about where. Seams come out at 0.02 to 0.03 rad per tick in the median, 0.06 to 0.3 at worst.
"""


def expert_way(seed: int = 0) -> NDArray[np.float64]:
    """Return picks and places of some scenes one after the other, (steps, 6), driver rad; it ends where it begins."""
    model = scene.build_model()
    expert, ranges, task = Expert(model), JointRanges.of(model), task_named("static")
    home = np.array(HOME)
    plans = [expert.plan(task.cube_start(seed + number), home) for number in range(SCENES)]
    return ranges.to_driver(np.concatenate(plans))


class RehearsedPolicy:
    """Chunks with `rows` rows of the way from the request's step on, each chunk off by its own drift."""

    def __init__(self, way: NDArray[np.float64], rows: int, seed: int) -> None:
        self._way = way
        self._rows = np.arange(rows)
        self._seed = seed

    def __call__(self, request: ChunkRequest) -> NDArray[np.float64]:
        """Return (rows, 6), driver rad."""
        source = np.random.default_rng((self._seed, request.request_id))
        ahead = source.normal(0.0, AHEAD_STEPS)
        beside = source.normal(0.0, OFFSET_RAD, self._way.shape[1])
        steps = (request.step + self._rows + ahead) % len(self._way)
        before = np.floor(steps).astype(np.intp)
        ratio = (steps - before)[:, np.newaxis]
        rows: NDArray[np.float64] = (1.0 - ratio) * self._way[before] + ratio * self._way[(before + 1) % len(self._way)]
        return rows + beside
