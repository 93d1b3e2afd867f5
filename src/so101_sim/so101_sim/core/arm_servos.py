# SPDX-License-Identifier: Apache-2.0
"""The six servos of a calibrated SO-101 and the calibration file that LeRobot would have written for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import tau
from pathlib import Path

from so101_node.protocol import GRIPPER, JOINT_NAMES

from so101_sim.core import servo_registers as reg
from so101_sim.core.joints import JointRanges
from so101_sim.core.virtual_servo import VirtualServo

TICKS_PER_RAD = reg.TICKS_PER_TURN / tau

_HOMING_OFFSETS = (137, -342, 611, -88, 1003, -501)
"""How the servos happen to be mounted, ticks; none is zero, so that nobody can get away with ignoring them."""

_FULL_TURN = JOINT_NAMES.index("wrist_roll")  # LeRobot calibrates it to the whole turn
_ACCELERATION = 254
_COMMON_SETTINGS = {
    reg.RETURN_DELAY_TIME: 0,
    reg.P_COEFFICIENT: 16,
    reg.I_COEFFICIENT: 0,
    reg.D_COEFFICIENT: 32,
    reg.OPERATING_MODE: reg.POSITION_MODE,
}
_GRIPPER_SETTINGS = {reg.MAX_TORQUE_LIMIT: 500, reg.PROTECTION_CURRENT: 250, reg.OVERLOAD_TORQUE: 25}


@dataclass(frozen=True, slots=True)
class ServoCalibration:
    """One joint in LeRobot's calibration file; offsets and ranges in ticks."""

    id: int
    drive_mode: int
    homing_offset: int
    range_min: int
    range_max: int


def calibration_of(ranges: JointRanges) -> dict[str, ServoCalibration]:
    """What calibrating an arm with these joint ranges by LeRobot's procedure gives, by joint name."""
    calibration = {}
    for index, name in enumerate(JOINT_NAMES):
        half = (ranges.upper[index] - ranges.lower[index]) / 2 * TICKS_PER_RAD
        lower, upper = round(reg.MIDDLE_TICKS - half), round(reg.MIDDLE_TICKS + half)
        if index == _FULL_TURN:
            lower, upper = 0, reg.TICKS_PER_TURN - 1
        calibration[name] = ServoCalibration(index + 1, 0, _HOMING_OFFSETS[index], lower, upper)
    return calibration


def write_calibration(path: Path, calibration: dict[str, ServoCalibration]) -> None:
    """Writes LeRobot's file; a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({name: asdict(joint) for name, joint in calibration.items()}, indent=4) + "\n")
    temporary.replace(path)


@dataclass(frozen=True, slots=True)
class EncoderMount:
    """How a joint's MuJoCo angle (rad) and its servo's encoder (ticks, not wrapped) go together."""

    middle_rad: float
    middle_encoder: float

    @classmethod
    def of(cls, ranges: JointRanges, calibration: dict[str, ServoCalibration]) -> tuple[EncoderMount, ...]:
        """The mounts of a calibrated arm, in JOINT_NAMES order."""
        middles = ranges.middle
        return tuple(
            cls(float(middles[index]), (joint.range_min + joint.range_max) / 2 + joint.homing_offset)
            for index, joint in enumerate(calibration[name] for name in JOINT_NAMES)
        )

    def encoder(self, angle: float) -> float:
        """MuJoCo angle, rad -> encoder ticks."""
        return self.middle_encoder + (angle - self.middle_rad) * TICKS_PER_RAD

    def angle(self, encoder: float) -> float:
        """Encoder ticks -> MuJoCo angle, rad."""
        return self.middle_rad + (encoder - self.middle_encoder) / TICKS_PER_RAD


def configured_servos(calibration: dict[str, ServoCalibration], encoders: Sequence[float]) -> list[VirtualServo]:
    """Servos set as LeRobot's configure() leaves them, torque off, goals at the present positions (encoders: ticks)."""
    servos = []
    for index, joint in enumerate(calibration[name] for name in JOINT_NAMES):
        settings = _COMMON_SETTINGS | {
            reg.HOMING_OFFSET: reg.encode_signed(joint.homing_offset, 11),
            reg.MIN_POSITION_LIMIT: joint.range_min,
            reg.MAX_POSITION_LIMIT: joint.range_max,
        }
        if index == GRIPPER:
            settings |= _GRIPPER_SETTINGS
        servo = VirtualServo(joint.id, settings, encoders[index])
        servo.write(reg.ACCELERATION, bytes((_ACCELERATION,)))
        servos.append(servo)
    return servos
