"""Servo settings that training relied on: what LeRobot writes into every follower arm, and what differs from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from so101_driver import registers as reg
from so101_driver.calibration import JOINT_NAMES, Calibration
from so101_driver.registers import Register

ACCELERATION_VALUE: Final = 254  # LeRobot's; RAM, so the driver writes it at every start
MAXIMUM_ACCELERATION: Final = Register("Maximum_Acceleration", 85, 1)

_EVERY_JOINT: Final = (
    (reg.RETURN_DELAY_TIME, 0),
    (reg.RESPONSE_STATUS_LEVEL, 1),
    (reg.P_COEFFICIENT, 16),
    (reg.I_COEFFICIENT, 0),
    (reg.D_COEFFICIENT, 32),
    (reg.OPERATING_MODE, 0),
)
_GRIPPER: Final = ((reg.MAX_TORQUE_LIMIT, 500), (reg.PROTECTION_CURRENT, 250), (reg.OVERLOAD_TORQUE, 25))


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One EEPROM register that differs. `from_calibration`: the wanted value is the calibration file's."""

    joint: str
    servo_id: int
    register: Register
    found: int
    wanted: int
    from_calibration: bool

    def __str__(self) -> str:
        """For example `gripper Max_Torque_Limit is 1000, should be 500`."""
        return f"{self.joint} {self.register.name} is {self.found}, should be {self.wanted}"


def mismatches(calibration: Calibration, eeprom: Mapping[int, bytes]) -> list[Mismatch]:
    """Registers in `eeprom` (EEPROM_BLOCK by servo id) that differ from LeRobot's settings or the calibration."""
    found: list[Mismatch] = []
    for name, joint in zip(JOINT_NAMES, calibration.joints, strict=True):
        block = eeprom[joint.servo_id]
        phase = reg.PHASE.decode(block)
        wanted = [
            *((register, value, False) for register, value in _EVERY_JOINT),
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
