# SPDX-License-Identifier: Apache-2.0
"""How a new chunk is combined with what is left of the old one, for the steps that both cover.

The first four are LeRobot's, by its names. Each function takes an Overlap and returns rows of the same shape.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from so101_node.protocol import FloatArray

from so101_action_queue.core.inputs import AlignedRows
from so101_action_queue.errors import expect_shape


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Both chunks' rows for the same steps.

    old, new: (steps, joints) float64, rad: what the queue held, and what the newest chunk says. step: of row 0.
    earlier: chunks accepted before, oldest first (only for aggregations that `remember`).

    Raises:
        ShapeError: `new` has another shape than `old`.
    """

    step: int
    old: FloatArray
    new: FloatArray
    earlier: tuple[AlignedRows, ...] = ()
    ensemble_coeff: float = 0.01

    def __post_init__(self) -> None:
        expect_shape("overlap, old", self.old.shape, ("steps", "joints"))
        expect_shape("overlap, new", self.new.shape, self.old.shape)


AggregateFn = Callable[[Overlap], FloatArray]


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One way to combine, and what it needs of the queue."""

    combine: AggregateFn
    remembers: bool = False  # `Overlap.earlier` is filled
    always_ramps: bool = False  # every seam is ramped, not only those after a hold
    sends_leftover: bool = False  # requests carry the rows not yet executed

    def merge(
        self, step: int, old: FloatArray, new: FloatArray, earlier: tuple[AlignedRows, ...], ensemble_coeff: float
    ) -> FloatArray:
        """Return rows for the steps from `step` on that both cover; the arguments are those of an Overlap."""
        return self.combine(Overlap(step, old, new, earlier, ensemble_coeff))


def fixed_mix(old_ratio: float, new_ratio: float) -> AggregateFn:
    """Return the fixed mix of old and new."""

    def combine(overlap: Overlap) -> FloatArray:
        return old_ratio * overlap.old + new_ratio * overlap.new

    return combine


def latest_only(overlap: Overlap) -> FloatArray:
    """Take the newest chunk as it is."""
    return overlap.new.copy()


def crossfade(overlap: Overlap) -> FloatArray:
    """Go from the old rows to the new in equal parts over the whole overlap."""
    steps = len(overlap.new)
    ratio = (np.arange(1, steps + 1, dtype=np.float64) / (steps + 1))[:, np.newaxis]
    return (1.0 - ratio) * overlap.old + ratio * overlap.new


def temporal_ensemble(overlap: Overlap) -> FloatArray:
    """Average all chunks that cover a step, the i-th oldest with weight exp(-coefficient x i), as ACT does."""
    total = np.zeros_like(overlap.new)
    weight_sum = np.zeros((len(overlap.new), 1))
    count = np.zeros((len(overlap.new), 1))  # chunks added so far, per step: the next one's place in age
    for chunk in (*overlap.earlier, AlignedRows(overlap.step, overlap.new)):
        begin = max(chunk.first_step, overlap.step)
        end = min(chunk.end, overlap.step + len(overlap.new))
        if begin >= end:
            continue
        here = slice(begin - overlap.step, end - overlap.step)
        weight = np.exp(-overlap.ensemble_coeff * count[here])
        total[here] += weight * chunk.rows[begin - chunk.first_step : end - chunk.first_step]
        weight_sum[here] += weight
        count[here] += 1.0
    return total / weight_sum


AGGREGATIONS: dict[str, Aggregation] = {
    "weighted_average": Aggregation(fixed_mix(0.3, 0.7)),
    "latest_only": Aggregation(latest_only),
    "average": Aggregation(fixed_mix(0.5, 0.5)),
    "conservative": Aggregation(fixed_mix(0.7, 0.3)),
    "crossfade": Aggregation(crossfade, always_ramps=True),
    "temporal_ensemble": Aggregation(temporal_ensemble, remembers=True),
    # Real-time chunking: the server has already continued the leftover that the request carried.
    "rtc": Aggregation(latest_only, sends_leftover=True),
}
