"""Putting a new chunk in place of the rows still to execute: aggregate the overlap, then ramp the seam."""

from dataclasses import dataclass

import numpy as np

from so101_action_queue.admission import Bounds
from so101_action_queue.aggregation import Aggregation, AlignedRows, Overlap
from so101_action_queue.inputs import FloatArray
from so101_action_queue.seam import bound_seams, seam
from so101_action_queue.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Ahead:
    """What the queue holds when an answer arrives.

    step: the next to execute. rows: (steps, joints) float64, rad, for `step` on. setpoint: (joints,), commanded last.
    earlier: chunks accepted before, oldest first.
    """

    step: int
    rows: FloatArray
    setpoint: FloatArray
    earlier: tuple[AlignedRows, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Spliced:
    """Rows to execute from `Ahead.step` on.

    seam: (joints,) rad per tick, its size before it was bounded. rows_ramped: rows up to the last one changed by that;
    if it is all of them, the ramp is not over when they end.
    """

    rows: FloatArray
    seam: FloatArray
    rows_ramped: int = 0


def splice(
    ahead: Ahead,
    chunk: FloatArray,
    trimmed: int,
    aggregation: Aggregation,
    settings: Settings,
    bounds: Bounds,
    must_ramp: bool,
) -> Spliced:
    """Combine `chunk[trimmed:]` with the rows ahead; rows ahead beyond its end are dropped.

    Args:
        chunk: (rows, joints) float64, rad, within limits; row `trimmed` is meant for `ahead.step`.
        trimmed: 0 to rows - 1.
        must_ramp: the arm rests or another ramp is not over, so this seam must be bounded whatever the mode.
    """
    new = chunk[trimmed:]
    overlap = min(len(ahead.rows), len(new))
    merged = new.copy()
    if overlap:
        both = Overlap(ahead.step, ahead.rows[:overlap], new[:overlap], ahead.earlier, settings.temporal_ensemble_coeff)
        merged[:overlap] = aggregation.combine(both)
    previous_new = chunk[trimmed - 1] if trimmed else chunk[0]
    jump = np.abs(seam(ahead.setpoint, previous_new, merged[0], new[0]))
    if not (must_ramp or not overlap or aggregation.always_ramps or settings.seam_ramp == "always"):
        return Spliced(bounds.clip(merged), jump)
    offset = ahead.setpoint - previous_new
    bounded, ramped = bound_seams(bounds.clip(merged), new, offset, settings.max_seam_rad, bounds)
    return Spliced(bounded, jump, ramped)
