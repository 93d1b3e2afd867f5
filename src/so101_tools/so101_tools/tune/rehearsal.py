"""A policy for the core alone: the expert's way, seen anew by each chunk with the disagreement of a learned policy.

Starvation depends on nothing but times. Jerk and seams come from chunks that disagree about the same steps: that is
measured on the shipped ACT and put onto the expert's way.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.decisions import Question
from so101_sim.expert import Expert
from so101_sim.joints import HOME, JointRanges
from so101_sim.tasks import task_named

from so101_sim import scene

SCENES: Final = 4

ERROR_FIRST_RAD: Final = 0.010
ERROR_PER_ROW_RAD: Final = 0.0006
"""Standard deviation of a chunk's error at its first row, and how it grows: 0.01 to 0.04 rad over 50 rows. Two ACT
chunks asked 25 steps apart disagree by this much (root mean square over 8 episodes of the shipped policy)."""


def expert_way(seed: int = 0) -> NDArray[np.float64]:
    """Return picks and places of some scenes one after the other, (steps, 6), driver rad; it ends where it begins."""
    model = scene.build_model()
    expert, ranges, task = Expert(model), JointRanges.of(model), task_named("static")
    home = np.array(HOME)
    plans = [expert.plan(task.cube_start(seed + number), home) for number in range(SCENES)]
    return ranges.to_driver(np.concatenate(plans))


class RehearsedPolicy:
    """Answers with `rows` rows of the way from the question's step on, each chunk off by its own drift."""

    def __init__(self, way: NDArray[np.float64], rows: int, seed: int) -> None:
        self._way = way
        self._rows = np.arange(rows)
        self._seed = seed

    def __call__(self, question: Question) -> NDArray[np.float64]:
        """Return (rows, 6), driver rad."""
        drift = np.random.default_rng((self._seed, question.request_id)).standard_normal(self._way.shape[1])
        size = ERROR_FIRST_RAD + ERROR_PER_ROW_RAD * self._rows
        steps = (question.step + self._rows) % len(self._way)
        rows: NDArray[np.float64] = self._way[steps] + size[:, np.newaxis] * drift
        return rows
