# SPDX-License-Identifier: Apache-2.0
"""LeRobot's calibration of an SO-101 follower: what its file says, and encoder steps <-> radians.

rad = (raw - (range_min + range_max) / 2) * 2 pi / 4095, so that degrees(rad) is exactly the value that LeRobot
records in its unit mode DEGREES. `drive_mode` has no part in it, as in that mode; it is passed on for the policy
server, which needs it for LeRobot's other modes.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from so101_node.protocol import JOINT_NAMES, FloatArray, IntArray

from so101_driver.core.errors import CalibrationError

MAX_RAW: Final = 4095  # LeRobot divides a turn by 4095, not 4096; what it recorded stays comparable only this way
RAD_PER_STEP: Final = 2.0 * math.pi / MAX_RAW
FULL_TURN_JOINTS: Final = ("wrist_roll",)  # LeRobot does not record its range, but writes 0..4095
SEAM_STEPS: Final = 20
"""Commands keep this far from the encoder's 0/4095 seam, 0.03 rad: held there a joint would tremble over it."""
_NEAR_SEAM_STEPS: Final = 200  # an SO-101's wrist is made to turn by 2.8 rad to either side of its middle

# The other joints have stops: an SO-101's turn by 190 to 220 degrees. A recorded range of nearly a turn is what remains
# of a travel that crossed the seam, since the smallest and the largest count are then those beside the seam.
_CROSSED_STEPS: Final = 3600
_WIDE_STEPS: Final = 2900  # 255 degrees
_NARROW_STEPS: Final = 300  # 26 degrees
_PUT_BACK: Final = (
    "put a copy of the file back; only without one run lerobot-calibrate again, which moves the zero of policies that "
    "were trained before"
)
_NUMBERED: Final = tuple(enumerate(JOINT_NAMES, start=1))  # LeRobot's ids, from the base to the gripper
_FIRST_FORMAT: Final = {"homing_offset", "drive_mode", "motor_names"}  # LeRobot up to May 2025: lists, no joints


@dataclass(frozen=True, slots=True)
class JointCalibration:
    """One joint as LeRobot wrote it, in encoder steps."""

    servo_id: int
    drive_mode: int
    homing_offset: int
    range_min: int
    range_max: int

    @property
    def middle(self) -> float:
        """Encoder position of 0 rad; a half step where the ends add up to an odd number."""
        return (self.range_min + self.range_max) / 2


@dataclass(frozen=True, slots=True)
class Calibration:
    """All joints, in JOINT_NAMES order."""

    joints: tuple[JointCalibration, ...]
    path: Path

    @property
    def servo_ids(self) -> tuple[int, ...]:
        """Bus ids in JOINT_NAMES order."""
        return tuple(joint.servo_id for joint in self.joints)

    def to_rad(self, raw: Sequence[float] | npt.NDArray[Any]) -> FloatArray:
        """Radians of encoder positions, shape (6,), JOINT_NAMES order. NaN stays NaN."""
        return (np.asarray(raw, dtype=np.float64) - self._middles()) * RAD_PER_STEP

    def to_raw(self, rad: Sequence[float] | npt.NDArray[Any]) -> IntArray:
        """Nearest encoder positions of radians, shape (6,). Raises ValueError for NaN and infinity."""
        steps = np.asarray(rad, dtype=np.float64) / RAD_PER_STEP + self._middles()
        if not np.all(np.isfinite(steps)):
            raise ValueError(f"positions must be finite, got {list(np.asarray(rad))}")
        return np.rint(steps).astype(np.int64)

    def lower_rad(self) -> FloatArray:
        """Lower ends of the calibrated ranges, shape (6,), rad."""
        return self.to_rad([joint.range_min for joint in self.joints])

    def upper_rad(self) -> FloatArray:
        """Upper ends of the calibrated ranges, shape (6,), rad."""
        return self.to_rad([joint.range_max for joint in self.joints])

    def soft_lower_rad(self) -> FloatArray:
        """Lower ends of what may be commanded: the ranges without what lies at the encoder's seam, (6,), rad."""
        return self.to_rad([max(joint.range_min, SEAM_STEPS) for joint in self.joints])

    def soft_upper_rad(self) -> FloatArray:
        """Upper ends likewise, (6,), rad."""
        return self.to_rad([min(joint.range_max, MAX_RAW - SEAM_STEPS) for joint in self.joints])

    def notes(self, full_turn_joints: Sequence[str] = FULL_TURN_JOINTS) -> list[str]:
        """What is odd about the ranges but can be right, one line for each joint."""
        found: list[str] = []
        again = "check it, and run lerobot-calibrate again, beginning with the joint in its middle"
        for name, joint in zip(JOINT_NAMES, self.joints, strict=True):
            span = joint.range_max - joint.range_min
            said = f"{name}: calibrated range {joint.range_min}..{joint.range_max}"
            if name in full_turn_joints and span >= _CROSSED_STEPS:
                continue
            if span >= _WIDE_STEPS and name not in full_turn_joints:
                found.append(f"{said} is wider than an SO-101's joint can turn: {again}")
            elif span < _NARROW_STEPS:
                found.append(f"{said} is narrow ({span} steps of 4096): was the joint moved through its whole range?")
            if joint.range_min < SEAM_STEPS or joint.range_max > MAX_RAW - SEAM_STEPS:
                found.append(f"{said} ends at the encoder's 0/{MAX_RAW} seam, where the count begins again: {again}")
        return found

    def at_seam(self, positions: FloatArray) -> list[str]:
        """Joints that stand at the encoder's seam, as lines for people. `positions`: rad, (6,); NaN: unknown."""
        steps = positions / RAD_PER_STEP + self._middles()
        found: list[str] = []
        for name, joint, step in zip(JOINT_NAMES, self.joints, steps, strict=True):
            to_seam = min(step, MAX_RAW - step)
            if to_seam < SEAM_STEPS:
                found.append(
                    f"{name} stands at step {step:.0f}, at the encoder's 0/{MAX_RAW} seam: turn it towards its middle "
                    "by hand, without torque; if that is where it should be, run lerobot-calibrate with the joint in "
                    "its middle"
                )
            elif to_seam < _NEAR_SEAM_STEPS and joint.range_max - joint.range_min >= _CROSSED_STEPS:
                found.append(
                    f"{name} stands at step {step:.0f}, near the encoder's 0/{MAX_RAW} seam: whether it was turned "
                    "over it while no driver ran, its cable with it, cannot be told; look, and turn it towards its "
                    "middle by hand, without torque"
                )
        return found

    def _middles(self) -> FloatArray:
        return np.array([joint.middle for joint in self.joints])


def load_calibration(path: Path, full_turn_joints: Sequence[str] = FULL_TURN_JOINTS) -> Calibration:
    """Calibration from LeRobot's JSON. `full_turn_joints` may have a range of a whole turn, since they have no stops.

    Raises CalibrationError naming the file, the joint and the key.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))  # editors of Windows begin a file with a mark
    except OSError as error:
        raise CalibrationError(f"cannot read calibration {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CalibrationError(f"calibration {path} is not JSON ({error}): {_PUT_BACK}") from error
    if not isinstance(document, dict):
        raise CalibrationError(f"calibration {path} must be an object of joints: {_PUT_BACK}")
    if document.keys() >= _FIRST_FORMAT:
        raise CalibrationError(
            f"calibration {path} has the format of LeRobot before June 2025, whose zero was another one: run "
            "lerobot-calibrate of a newer LeRobot; policies that were trained with this one need their data converted"
        )
    missing = [name for name in JOINT_NAMES if name not in document]
    foreign = [name for name in document if name not in JOINT_NAMES]
    if missing or foreign:
        raise CalibrationError(
            f"calibration {path} is not of an SO-101 follower: missing joints [{', '.join(missing)}], "
            f"unknown joints [{', '.join(foreign)}]"
        )
    joints = tuple(_joint(path, name, document[name]) for name in JOINT_NAMES)
    ids = [joint.servo_id for joint in joints]
    if len(set(ids)) != len(ids):
        raise CalibrationError(f"calibration {path} uses a servo id twice: {ids}")
    swapped = [
        f"{name} has {joint_id}" for joint_id, (number, name) in zip(ids, _NUMBERED, strict=True) if joint_id != number
    ]
    if swapped and set(ids) == {number for number, _ in _NUMBERED}:
        raise CalibrationError(
            f"calibration {path} has ids of servos in another order than LeRobot: {', '.join(swapped)}, and one joint "
            f"would move in place of another: {_PUT_BACK}"
        )
    for name, joint in zip(JOINT_NAMES, joints, strict=True):
        if name not in full_turn_joints and joint.range_max - joint.range_min >= _CROSSED_STEPS:
            if name in FULL_TURN_JOINTS:
                raise CalibrationError(
                    f"calibration {path}: {name} has the range {joint.range_min}..{joint.range_max}, a full turn, as "
                    f"LeRobot always writes for it: name {name} in full_turn_joints too"
                )
            raise CalibrationError(
                f"calibration {path}: {name} has the range {joint.range_min}..{joint.range_max}, nearly a full turn, "
                f"but this joint has stops: while it was recorded its travel crossed the encoder's 0/{MAX_RAW} seam. "
                "Run lerobot-calibrate again, every joint in its middle at the first step (a joint that was rebuilt to "
                "turn without stops is named in full_turn_joints)"
            )
    return Calibration(joints=joints, path=path)


def _joint(path: Path, name: str, entry: object) -> JointCalibration:
    if not isinstance(entry, dict):
        raise CalibrationError(f"calibration {path}: {name} must be an object: {_PUT_BACK}")
    values: dict[str, int] = {}
    for key, lower, upper in (
        ("id", 0, 252),
        ("drive_mode", 0, 1),
        ("homing_offset", -2047, 2047),
        ("range_min", 0, MAX_RAW),
        ("range_max", 0, MAX_RAW),
    ):
        value = entry.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not lower <= value <= upper:
            raise CalibrationError(
                f"calibration {path}: {name}.{key} = {value!r}, expected a whole number {lower}..{upper}: {_PUT_BACK}"
            )
        values[key] = value
    if values["range_min"] >= values["range_max"]:
        raise CalibrationError(
            f"calibration {path}: {name} has range_min {values['range_min']} >= range_max {values['range_max']}; "
            f"its travel crosses the encoder's 0/{MAX_RAW} seam, or it was not moved; run lerobot-calibrate again with "
            "the joint in its middle at the first step, and move it through its whole range"
        )
    return JointCalibration(
        servo_id=values["id"],
        drive_mode=values["drive_mode"],
        homing_offset=values["homing_offset"],
        range_min=values["range_min"],
        range_max=values["range_max"],
    )
