"""The seam between what was commanded and a new chunk, and the ramp that keeps it small.

At the seam the arm should move as the new chunk itself moves. What it does beyond that is the seam: the change of
`commanded - planned` from one tick to the next, (out_n - new_n) - (out_{n-1} - new_{n-1}) per joint, rad per tick.
"""

import numpy as np

from so101_action_queue.inputs import FloatArray


def seam(previous_out: FloatArray, previous_new: FloatArray, out: FloatArray, new: FloatArray) -> FloatArray:
    """Return the signed seam per joint, rad per tick; every argument is (joints,), rad.

    `previous_*` belong to the tick before the seam. Where the new chunk has no row for it, its first row stands in:
    the arm is taken to rest there.
    """
    return (out - new) - (previous_out - previous_new)


def ramp(rows: FloatArray, jump: FloatArray, max_seam_rad: float) -> tuple[FloatArray, FloatArray]:
    """Spread the seam `jump` over as many rows as keep it at `max_seam_rad` or less, joint by joint.

    Joints are ramped apart, so that a gripper that must open wide does not hold back the arm.

    Returns:
        the ramped rows (steps, joints), and the ramp's length in rows per joint (0: that joint needed none). A length
        beyond the rows means that the ramp is not over when they end.
    """
    lengths = np.ceil(np.abs(jump) / max_seam_rad)
    lengths[lengths <= 1.0] = 0.0  # at most max_seam_rad already: nothing to spread
    if not lengths.any():
        return rows, lengths
    index = np.arange(1, len(rows) + 1, dtype=np.float64)[:, np.newaxis]
    remaining = np.clip(1.0 - index / np.maximum(lengths, 1.0), 0.0, 1.0)
    return rows - remaining * np.where(lengths > 0.0, jump, 0.0), lengths
