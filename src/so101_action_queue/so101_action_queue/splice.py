"""Putting a new chunk in place of the rows still to execute: aggregate the overlap, then ramp the seam."""

from dataclasses import dataclass

import numpy as np

from so101_action_queue.admission import Bounds
from so101_action_queue.aggregation import Aggregation, AlignedRows, Overlap
from so101_action_queue.inputs import FloatArray
from so101_action_queue.seam import ramp, seam
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
    """Rows to execute from `Ahead.step` on, |seam| per joint before ramping, rows the ramp changed, rows it lasts."""

    rows: FloatArray
    seam: FloatArray
    rows_ramped: int
    ramp_rows: int


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
        must_ramp: the arm rests or another ramp is not over, so this seam must be ramped.
    """
    new = chunk[trimmed:]
    overlap = min(len(ahead.rows), len(new))
    merged = new.copy()
    if overlap:
        both = Overlap(ahead.step, ahead.rows[:overlap], new[:overlap], ahead.earlier, settings.temporal_ensemble_coeff)
        merged[:overlap] = aggregation.combine(both)
    previous_new = chunk[trimmed - 1] if trimmed else chunk[0]
    jump = seam(ahead.setpoint, previous_new, merged[0], new[0])
    if not (must_ramp or not overlap or aggregation.always_ramps or settings.seam_ramp == "always"):
        return Spliced(bounds.clip(merged), np.abs(jump), 0, 0)
    ramped, lengths = ramp(merged, jump, settings.max_seam_rad)
    ramp_rows = int(lengths.max(initial=0.0))
    # A ramp of K rows changes the first K - 1: the K-th is where it has arrived.
    return Spliced(bounds.clip(ramped), np.abs(jump), min(max(ramp_rows - 1, 0), len(ramped)), ramp_rows)
