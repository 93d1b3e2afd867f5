"""The seam between what was commanded and a new chunk, and the bound that keeps it small.

At the seam the arm should move as the new chunk itself moves. What it does beyond that is the seam: the change of
`commanded - planned` from one tick to the next, (out_n - new_n) - (out_{n-1} - new_{n-1}) per joint, rad per tick.
"""

import numpy as np

from so101_action_queue.admission import Bounds
from so101_action_queue.inputs import FloatArray

ROUNDING = 1e-9  # of max_seam_rad: steps that should add up to the whole way but for rounding have arrived


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
