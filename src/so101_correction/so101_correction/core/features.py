# SPDX-License-Identifier: Apache-2.0
"""What the network is told besides frames: where the joints are, and where the plan sends them."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from so101_node.protocol import Float32Array, FloatArray

from so101_correction.errors import CorrectionInputError, expect_array

LOOK_AHEAD_ROWS: Final = (0, 3, 8)
"""Rows of the plan that the network is told, counted from the one to be executed now."""

OLDEST_TOLD_AGE_STEPS: Final = 54
"""An age above is told as this one."""

_AGE_UNIT_STEPS: Final = 50
_RELATIVE_GAIN: Final = 2.0


def look_ahead(setpoint: FloatArray, rows_ahead: FloatArray) -> FloatArray:
    """Return the rows of the plan that the network is told; where the plan ends before one, its last row.

    Args:
        setpoint: (joints,) the row of this tick, rad.
        rows_ahead: (rows, joints) the rows after it, rad; none = the setpoint stands for all.

    Returns:
        (len(LOOK_AHEAD_ROWS), joints), rad.
    """
    setpoint = np.asarray(setpoint, np.float64)
    rows_ahead = np.asarray(rows_ahead, np.float64)
    expect_array("setpoint", setpoint.shape, ("joints",))
    expect_array("rows_ahead", rows_ahead.shape, ("rows", setpoint.size))
    last = len(rows_ahead)
    return np.stack([setpoint if min(k, last) == 0 else rows_ahead[min(k, last) - 1] for k in LOOK_AHEAD_ROWS])


def proprioception(joint_positions: ArrayLike, rows: ArrayLike, age_steps: ArrayLike) -> Float32Array:
    """Return the numbers that the network is told, of one tick or of many at once.

    The command of the tick before is not among them: a network that sees it learns to copy it.

    Args:
        joint_positions: (..., joints) measured, rad.
        rows: (..., len(LOOK_AHEAD_ROWS), joints) of the plan, rad: `look_ahead`.
        age_steps: (...) control steps from the request behind the plan to now, not negative.

    Returns:
        (..., 5 * joints + 1): positions, the row of now, twice each row less the positions, the age.

    Raises:
        CorrectionInputError: the shapes do not agree, or an age is negative.
    """
    positions = np.asarray(joint_positions, np.float64)
    plan = np.asarray(rows, np.float64)
    age = np.asarray(age_steps, np.float64)
    if positions.ndim < 1:
        raise CorrectionInputError("joint_positions: expected at least one dimension, got a single value")
    many, joints = positions.shape[:-1], positions.shape[-1]
    expect_array("rows", plan.shape, (*many, len(LOOK_AHEAD_ROWS), joints))
    expect_array("age_steps", age.shape, many)
    if np.any(age < 0):
        raise CorrectionInputError(f"age_steps: expected 0 or more, got {age.min():g}")
    relative = (_RELATIVE_GAIN * (plan - positions[..., None, :])).reshape(*many, -1)
    told_age = np.minimum(age, OLDEST_TOLD_AGE_STEPS)[..., None] / _AGE_UNIT_STEPS
    return np.concatenate([positions, plan[..., 0, :], relative, told_age], axis=-1).astype(np.float32)


def feature_count(joints: int) -> int:
    """Return the length of `proprioception` for so many joints."""
    return joints * (2 + len(LOOK_AHEAD_ROWS)) + 1
