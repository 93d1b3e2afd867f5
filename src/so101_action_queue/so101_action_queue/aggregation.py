"""How a new chunk is combined with what is left of the old one, for the steps that both cover.

The first four are LeRobot's, by its names. Each function takes an Overlap and returns rows of the same shape.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from so101_action_queue.inputs import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class AlignedRows:
    """Rows of one accepted chunk as the policy gave them; row i is meant for step `first_step` + i."""

    first_step: int
    rows: FloatArray

    @property
    def end(self) -> int:
        """The step after the last row's."""
        return self.first_step + len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Both answers for the same steps.

    old, new: (steps, joints) float64, rad: what the queue held, and what the newest chunk says. step: of row 0.
    earlier: chunks accepted before, oldest first (only for aggregations that `remember`).
    """

    step: int
    old: FloatArray
    new: FloatArray
    earlier: tuple[AlignedRows, ...] = ()
    ensemble_coeff: float = 0.01


AggregateFn = Callable[[Overlap], FloatArray]


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One way to combine, and what it needs of the queue."""

    combine: AggregateFn
    remembers: bool = False  # `Overlap.earlier` is filled
    always_ramps: bool = False  # every seam is ramped, not only those after a hold
    sends_leftover: bool = False  # requests carry the rows not yet executed


def blend(old_share: float, new_share: float) -> AggregateFn:
    """Return the fixed mix of old and new."""

    def combine(overlap: Overlap) -> FloatArray:
        return old_share * overlap.old + new_share * overlap.new

    return combine


def latest_only(overlap: Overlap) -> FloatArray:
    """Take the newest chunk as it is."""
    return overlap.new.copy()


def crossfade(overlap: Overlap) -> FloatArray:
    """Go from the old rows to the new in equal parts over the whole overlap."""
    steps = len(overlap.new)
    share = (np.arange(1, steps + 1, dtype=np.float64) / (steps + 1))[:, np.newaxis]
    return (1.0 - share) * overlap.old + share * overlap.new


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
    "weighted_average": Aggregation(blend(0.3, 0.7)),
    "latest_only": Aggregation(latest_only),
    "average": Aggregation(blend(0.5, 0.5)),
    "conservative": Aggregation(blend(0.7, 0.3)),
    "crossfade": Aggregation(crossfade, always_ramps=True),
    "temporal_ensemble": Aggregation(temporal_ensemble, remembers=True),
    # Real-time chunking: the server has already continued the leftover that the request carried.
    "rtc": Aggregation(latest_only, sends_leftover=True),
}
