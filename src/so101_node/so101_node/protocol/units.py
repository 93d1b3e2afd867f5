# SPDX-License-Identifier: Apache-2.0
"""Radians on topics to the numbers a LeRobot policy was trained on, and back.

LeRobot's SO-101 motor bus knows three modes, and so does this module, value for value (`test_units.py` holds it against
`MotorsBus._normalize` and `_unnormalize`):

- arm joints, DEGREES: degrees from the middle of the calibrated range; no clamp, drive_mode ignored;
- arm joints, NORMALIZED: -100..100 over the calibrated range; clamped, mirrored where drive_mode is set;
- the gripper, in both: 0..100 over the calibrated range; clamped, mirrored where drive_mode is set.

Data recording calls the same converter, so a policy is served the numbers it was trained on.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from so101_node.errors import So101NodeError
from so101_node.protocol.arrays import FloatArray


class Units(enum.IntEnum):
    """How arm joints are expressed; values as in `so101_msgs/PolicySpec`."""

    DEGREES = 0
    NORMALIZED = 1


class UnitsError(So101NodeError, ValueError):
    """The calibration cannot be used. The message is one line that names the joint."""


def is_gripper(joint: str) -> bool:
    """Whether LeRobot would call this joint a gripper ("gripper", or "left_gripper" of a pair of arms)."""
    return joint == "gripper" or joint.endswith("_gripper")


class UnitConverter:
    """Converts whole arrays between radians and a policy's units, joint by joint along the last axis.

    Args:
        joint_names: order of the last axis.
        units: mode of the arm joints.
        range_lower: lower end of the calibrated range per joint, rad.
        range_upper: upper end of the calibrated range per joint, rad.
        drive_mode: LeRobot's drive_mode per joint, 0 or 1.

    Raises:
        UnitsError: lengths differ, or a range is empty or not finite.
    """

    def __init__(
        self,
        joint_names: Sequence[str],
        units: Units,
        range_lower: Sequence[float],
        range_upper: Sequence[float],
        drive_mode: Sequence[int],
    ) -> None:
        for name, values in (("range_lower", range_lower), ("range_upper", range_upper), ("drive_mode", drive_mode)):
            if len(values) != len(joint_names):
                raise UnitsError(f"{name} has {len(values)} values: expected {len(joint_names)}, one per joint")
        for joint, lower, upper in zip(joint_names, range_lower, range_upper, strict=True):
            if not (np.isfinite(lower) and np.isfinite(upper) and lower < upper):
                raise UnitsError(f"calibrated range of {joint} is {lower} to {upper} rad: expected lower < upper")
        self.joint_names = tuple(joint_names)
        self.units = units
        gripper = np.array([is_gripper(joint) for joint in joint_names], dtype=bool)
        self._in_degrees = ~gripper if units is Units.DEGREES else np.zeros(len(gripper), dtype=bool)
        self._lower = np.asarray(range_lower, dtype=np.float64)
        self._upper = np.asarray(range_upper, dtype=np.float64)
        self._span = self._upper - self._lower
        mirrored = np.array([mode != 0 for mode in drive_mode], dtype=bool) & ~self._in_degrees
        self._low_end = np.where(gripper, 0.0, -100.0)
        self._scale = 100.0 - self._low_end
        # Mirroring is 100 - x for the gripper's 0..100 and -x for -100..100.
        self._mirror_sum = np.where(gripper, 100.0, 0.0)
        self._mirrored = mirrored

    def to_policy(self, radians: npt.ArrayLike) -> FloatArray:
        """Convert (..., joints) rad to the policy's units, float64."""
        rad = np.asarray(radians, dtype=np.float64)
        share = (np.clip(rad, self._lower, self._upper) - self._lower) / self._span
        scaled = share * self._scale + self._low_end
        scaled = np.where(self._mirrored, self._mirror_sum - scaled, scaled)
        return np.where(self._in_degrees, np.degrees(rad), scaled)

    def to_radians(self, values: npt.ArrayLike) -> FloatArray:
        """Convert (..., joints) in the policy's units to rad, float64; clamped to the range except in degrees."""
        given = np.asarray(values, dtype=np.float64)
        scaled = np.where(self._mirrored, self._mirror_sum - given, given)
        share = (np.clip(scaled, self._low_end, 100.0) - self._low_end) / self._scale
        return np.where(self._in_degrees, np.radians(given), share * self._span + self._lower)

    def clamped(self, values: npt.ArrayLike) -> FloatArray:
        """How far `to_radians` takes (..., joints) values back to the end of the range, in ranges; 0 in degrees."""
        given = np.asarray(values, dtype=np.float64)
        scaled = np.where(self._mirrored, self._mirror_sum - given, given)
        beyond = np.maximum(np.maximum(self._low_end - scaled, scaled - 100.0), 0.0)
        return np.where(self._in_degrees, 0.0, beyond / self._scale)
