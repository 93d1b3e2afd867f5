# SPDX-License-Identifier: Apache-2.0
"""Putting a new chunk in place of the rows still to execute: aggregate the overlap, then bound the seam.

At the seam the arm should move as the new chunk itself moves. What it does beyond that is the seam: the change of
`commanded - planned` from one tick to the next, (out_n - new_n) - (out_{n-1} - new_{n-1}) per joint, rad per tick.
"""

from dataclasses import dataclass

import numpy as np
from so101_node.protocol import FloatArray

from so101_action_queue.core.aggregation import Aggregation
from so101_action_queue.core.inputs import AlignedRows, Bounds
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.errors import ShapeError, expect_shape

ROUNDING = 1e-9  # of max_seam_rad: steps that should add up to the whole way but for rounding have arrived


@dataclass(frozen=True, slots=True, eq=False)
class RowsAhead:
    """What the queue holds when a chunk arrives.

    step: the next to execute. rows: (steps, joints) float64, rad, for `step` on. setpoint: (joints,), commanded last.
    earlier: chunks accepted before, oldest first.

    Raises:
        ShapeError: `rows` are of other joints than `setpoint`.
    """

    step: int
    rows: FloatArray
    setpoint: FloatArray
    earlier: tuple[AlignedRows, ...] = ()

    def __post_init__(self) -> None:
        expect_shape("rows ahead", self.rows.shape, ("steps", *self.setpoint.shape))


@dataclass(frozen=True, slots=True, eq=False)
class BlendedRows:
    """Rows to execute from `RowsAhead.step` on.

    seam: (joints,) rad per tick, its size before it was bounded. rows_ramped: rows up to the last one changed by that;
    if it is all of them, the ramp is not over when they end.
    """

    rows: FloatArray
    seam: FloatArray
    rows_ramped: int = 0


def blend(
    ahead: RowsAhead,
    chunk: FloatArray,
    trimmed: int,
    aggregation: Aggregation,
    settings: QueueSettings,
    bounds: Bounds,
    must_ramp: bool,
) -> BlendedRows:
    """Combine `chunk[trimmed:]` with the rows ahead; rows ahead beyond its end are dropped.

    Args:
        chunk: (rows, joints) float64, rad, within limits; row `trimmed` is meant for `ahead.step`.
        trimmed: 0 to rows - 1.
        must_ramp: the arm rests or another ramp is not over, so this seam must be bounded whatever the mode.

    Raises:
        ShapeError: `chunk` is of other joints than the rows ahead, or `trimmed` leaves none of it.
    """
    expect_shape("chunk", chunk.shape, ("rows", *ahead.setpoint.shape))
    if not 0 <= trimmed < len(chunk):
        raise ShapeError(f"chunk: {trimmed} rows trimmed, expected 0 to {len(chunk) - 1} of {len(chunk)}")
    new = chunk[trimmed:]
    overlap = min(len(ahead.rows), len(new))
    merged = new.copy()
    if overlap:
        coeff = settings.temporal_ensemble_coeff
        merged[:overlap] = aggregation.merge(ahead.step, ahead.rows[:overlap], new[:overlap], ahead.earlier, coeff)
    previous_new = chunk[trimmed - 1] if trimmed else chunk[0]
    jump = np.abs(seam(ahead.setpoint, previous_new, merged[0], new[0]))
    if not (must_ramp or not overlap or aggregation.always_ramps or settings.seam_ramp == "always"):
        return BlendedRows(bounds.clip(merged), jump)
    offset = ahead.setpoint - previous_new
    bounded, ramped = bound_seams(bounds.clip(merged), new, offset, settings.max_seam_rad, bounds)
    return BlendedRows(bounded, jump, ramped)


def seam(previous_out: FloatArray, previous_new: FloatArray, out: FloatArray, new: FloatArray) -> FloatArray:
    """Return the signed seam per joint, rad per tick; every argument is (joints,), rad.

    `previous_*` belong to the tick before the seam. Where the new chunk has no row for it, its first row stands in:
    the arm is taken to rest there.
    """
    return (out - new) - (previous_out - previous_new)


def bound_seams(
    rows: FloatArray, new: FloatArray, offset: FloatArray, max_seam_rad: float, bounds: Bounds
) -> tuple[FloatArray, int]:
    """Return `rows` with every seam in them at `max_seam_rad` or less, joint by joint.

    `commanded - planned` walks from where it is to where `rows` want it, by at most `max_seam_rad` a tick: a jump of D
    takes ceil(D / max_seam_rad) rows. That bounds the seam at the splice and every later one too, such as the end of
    the rows that the old chunk still covers. Joints walk apart, so that a gripper that must open wide does not hold
    back the arm. Only at a joint limit a seam may be larger: the arm stops there while the plan goes on.

    Args:
        rows: (steps, joints) rad, what aggregation made of old and new, within `bounds`.
        new: (steps, joints) rad, the new chunk's own rows for the same steps, within `bounds`.
        offset: (joints,) rad, `commanded - planned` in the tick before row 0.

    Returns:
        the rows, (steps, joints) rad, and how many there are up to the last one that differs from what was wanted. If
        that is all of them, the walk is not over when they end.
    """
    wanted = rows - new
    if not len(rows) or np.abs(np.diff(wanted, axis=0, prepend=offset[np.newaxis])).max() <= max_seam_rad:
        return rows, 0
    bounded = np.empty_like(rows)
    reach = max_seam_rad * (1.0 + ROUNDING)
    for index, aim in enumerate(wanted):
        near = np.abs(aim - offset) <= reach
        walked = new[index] + offset + np.copysign(max_seam_rad, aim - offset)
        bounded[index] = np.where(near, rows[index], bounds.clip(walked))
        offset = bounded[index] - new[index]
    changed = np.flatnonzero(np.any(bounded != rows, axis=1))
    return bounded, int(changed[-1]) + 1 if len(changed) else 0
