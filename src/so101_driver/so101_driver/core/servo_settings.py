# SPDX-License-Identifier: Apache-2.0
"""Servo settings that training relied on: what LeRobot writes into every follower arm, and what differs from it."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from so101_node.protocol import JOINT_NAMES

from so101_driver.core import registers as reg
from so101_driver.core.calibration import FULL_TURN_JOINTS, Calibration
from so101_driver.core.registers import Register

ACCELERATION_VALUE: Final = 254  # LeRobot's; RAM, so the driver writes it at every start
MAXIMUM_ACCELERATION: Final = Register("Maximum_Acceleration", 85, 1)
MAXIMUM_ACCELERATION_VALUE: Final = 254

_EVERY_JOINT: Final = ((reg.RETURN_DELAY_TIME, 0), (reg.RESPONSE_STATUS_LEVEL, 1), (reg.OPERATING_MODE, 0))
_GRIPPER: Final = ((reg.MAX_TORQUE_LIMIT, 500), (reg.PROTECTION_CURRENT, 250), (reg.OVERLOAD_TORQUE, 25))
_CALIBRATED: Final = (reg.HOMING_OFFSET, reg.MIN_POSITION_LIMIT, reg.MAX_POSITION_LIMIT)

GAIN_PARAMETERS: Final = {
    reg.P_COEFFICIENT: "position_p_coefficient",
    reg.I_COEFFICIENT: "position_i_coefficient",
    reg.D_COEFFICIENT: "position_d_coefficient",
}
"""LeRobot's names, which are ours too, by register."""

CONFIGURABLE: Final = (
    *(register for register, _ in (*_EVERY_JOINT, *_GRIPPER)),
    *GAIN_PARAMETERS,
    reg.PHASE,
    *_CALIBRATED,
)
"""EEPROM registers that configure_servos may write."""


@dataclass(frozen=True, slots=True)
class Gains:
    """Gains of the servos' position loop, the same for all joints, 0..254; the defaults are LeRobot's."""

    position_p_coefficient: int = 16
    position_i_coefficient: int = 0
    position_d_coefficient: int = 32

    def __str__(self) -> str:
        """For example `P 32, I 0, D 32`."""
        p, i, d = self.position_p_coefficient, self.position_i_coefficient, self.position_d_coefficient
        return f"P {p}, I {i}, D {d}"

    def wanted(self) -> list[tuple[Register, int]]:
        """Registers and their values."""
        return [(register, int(getattr(self, name))) for register, name in GAIN_PARAMETERS.items()]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One EEPROM register that differs. `from_calibration`: the wanted value is the calibration file's."""

    joint: str
    servo_id: int
    register: Register
    found: int
    wanted: int
    from_calibration: bool

    @property
    def is_gain(self) -> bool:
        """Whether it is one of the gains, which people choose."""
        return self.register in GAIN_PARAMETERS

    def __str__(self) -> str:
        """For example `gripper Max_Torque_Limit is 1000, should be 500`."""
        return f"{self.joint} {self.register.name} is {self.found}, should be {self.wanted}"


def mismatches(calibration: Calibration, eeprom: Mapping[int, bytes], gains: Gains | None = None) -> list[Mismatch]:
    """Registers in `eeprom` (EEPROM_BLOCK by servo id) that differ from the settings or the calibration.

    The settings are LeRobot's, with `gains` (default: LeRobot's too).
    """
    found: list[Mismatch] = []
    for name, joint in zip(JOINT_NAMES, calibration.joints, strict=True):
        block = eeprom[joint.servo_id]
        phase = reg.PHASE.decode(block)
        wanted = [
            *((register, value, False) for register, value in _EVERY_JOINT),
            *((register, value, False) for register, value in (gains or Gains()).wanted()),
            *((register, value, False) for register, value in (_GRIPPER if name == "gripper" else ())),
            (reg.PHASE, phase & ~reg.PHASE_ANGLE_FEEDBACK, False),
            (reg.HOMING_OFFSET, joint.homing_offset, True),
            (reg.MIN_POSITION_LIMIT, joint.range_min, True),
            (reg.MAX_POSITION_LIMIT, joint.range_max, True),
        ]
        for register, value, from_calibration in wanted:
            if (read := register.decode(block)) != value:
                found.append(Mismatch(name, joint.servo_id, register, read, value, from_calibration))
    return found


def are_gains_chosen(found: Sequence[Mismatch]) -> bool:
    """Whether gains that differ are not LeRobot's either: somebody chose them."""
    usual = dict(Gains().wanted())
    return any(mismatch.is_gain and mismatch.found != usual[mismatch.register] for mismatch in found)


def gains_advice(found: Sequence[Mismatch]) -> str:
    """How to keep gains that differ: somebody may have chosen them. Empty where none does."""
    values: dict[str, list[int]] = {}
    for mismatch in found:
        if mismatch.is_gain:
            values.setdefault(GAIN_PARAMETERS[mismatch.register], []).append(mismatch.found)
    if not values:
        return ""
    if any(len(set(each)) > 1 or len(each) < len(JOINT_NAMES) for each in values.values()):
        return "the gains differ from joint to joint; this driver and LeRobot have one set of gains for all joints"
    kept = {name: each[0] for name, each in values.items()}
    parameters = ", ".join(f"{name}: {value}" for name, value in kept.items())
    return f"to keep the servos' gains set {parameters} of so101_driver (configure_servos: {_as_options(kept)})"


def _as_options(gains: Mapping[str, int]) -> str:
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in gains.items())


def repair_command(
    port: str,
    robot_id: str,
    calibration_dir: str,
    gains: Gains,
    full_turn_joints: Sequence[str] = FULL_TURN_JOINTS,
) -> str:
    """The command that shows what differs from these parameters and that writes it where it is asked to."""
    words = ["ros2", "run", "so101_driver", "configure_servos", "--port", port, "--robot-id", robot_id]
    if calibration_dir:
        words += ["--calibration-dir", calibration_dir]
    if set(full_turn_joints) != set(FULL_TURN_JOINTS):
        for name in full_turn_joints:
            words += ["--full-turn-joint", name]
    changed = {
        name: value for name in GAIN_PARAMETERS.values() if (value := getattr(gains, name)) != getattr(Gains(), name)
    }
    return f"{shlex.join(words)} {_as_options(changed)}".rstrip()
