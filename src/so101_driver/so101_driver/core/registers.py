# SPDX-License-Identifier: Apache-2.0
"""Register table of the Feetech STS3215 and the settings that LeRobot leaves in it.

Addresses, lengths and sign bits are those of Feetech's memory table for the STS series, which LeRobot uses too.
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import Final

MODEL_STS3215: Final = 777
BAUD_RATE: Final = 1_000_000

SPEED_TICKS_TO_RAD: Final = 2.0 * 3.141592653589793 / 4096.0  # Present_Velocity counts encoder steps per second
VOLT_PER_UNIT: Final = 0.1
AMPERE_PER_UNIT: Final = 0.0065
LOAD_PER_UNIT: Final = 0.001  # ratio to the largest torque


class StatusBits(IntFlag):
    """Error byte of every status packet, and of register 65."""

    VOLTAGE = 1
    ANGLE = 2
    OVERHEAT = 4
    OVERCURRENT = 8
    OVERLOAD = 32


@dataclass(frozen=True, slots=True)
class Register:
    """One little-endian register. With `sign_bit` the value is sign-magnitude, that bit being the sign."""

    name: str
    address: int
    length: int
    sign_bit: int | None = None

    def decode(self, block: bytes | bytearray, start: int = 0) -> int:
        """Value of this register within `block`, which was read from address `start` on."""
        offset = self.address - start
        if offset < 0 or offset + self.length > len(block):
            raise ValueError(f"{self.name} ({self.address}) is outside the block {start}..{start + len(block) - 1}")
        value = int.from_bytes(block[offset : offset + self.length], "little")
        if self.sign_bit is None or not value >> self.sign_bit & 1:
            return value
        return -(value & ((1 << self.sign_bit) - 1))

    def encode(self, value: int) -> bytes:
        """Bytes of `value`. Raises ValueError when the register cannot hold it."""
        bits = 8 * self.length if self.sign_bit is None else self.sign_bit
        if abs(value) >= 1 << bits or (value < 0 and self.sign_bit is None):
            raise ValueError(f"{self.name} cannot hold {value}")
        if value < 0 and self.sign_bit is not None:
            value = -value | 1 << self.sign_bit
        return value.to_bytes(self.length, "little")


# EEPROM: written only by configure_servos.
FIRMWARE_MAJOR: Final = Register("Firmware_Major_Version", 0, 1)
FIRMWARE_MINOR: Final = Register("Firmware_Minor_Version", 1, 1)
MODEL_NUMBER: Final = Register("Model_Number", 3, 2)
RETURN_DELAY_TIME: Final = Register("Return_Delay_Time", 7, 1)
RESPONSE_STATUS_LEVEL: Final = Register("Response_Status_Level", 8, 1)
MIN_POSITION_LIMIT: Final = Register("Min_Position_Limit", 9, 2)
MAX_POSITION_LIMIT: Final = Register("Max_Position_Limit", 11, 2)
MAX_VOLTAGE_LIMIT: Final = Register("Max_Voltage_Limit", 14, 1)
MIN_VOLTAGE_LIMIT: Final = Register("Min_Voltage_Limit", 15, 1)
MAX_TORQUE_LIMIT: Final = Register("Max_Torque_Limit", 16, 2)
PHASE: Final = Register("Phase", 18, 1)
P_COEFFICIENT: Final = Register("P_Coefficient", 21, 1)
D_COEFFICIENT: Final = Register("D_Coefficient", 22, 1)
I_COEFFICIENT: Final = Register("I_Coefficient", 23, 1)
PROTECTION_CURRENT: Final = Register("Protection_Current", 28, 2)
HOMING_OFFSET: Final = Register("Homing_Offset", 31, 2, sign_bit=11)
OPERATING_MODE: Final = Register("Operating_Mode", 33, 1)
OVERLOAD_TORQUE: Final = Register("Overload_Torque", 36, 1)

# RAM: lost at power-off.
TORQUE_ENABLE: Final = Register("Torque_Enable", 40, 1)
ACCELERATION: Final = Register("Acceleration", 41, 1)
GOAL_POSITION: Final = Register("Goal_Position", 42, 2, sign_bit=15)
TORQUE_LIMIT: Final = Register("Torque_Limit", 48, 2)
LOCK: Final = Register("Lock", 55, 1)
PRESENT_POSITION: Final = Register("Present_Position", 56, 2, sign_bit=15)
PRESENT_VELOCITY: Final = Register("Present_Velocity", 58, 2, sign_bit=15)
PRESENT_LOAD: Final = Register("Present_Load", 60, 2, sign_bit=10)
PRESENT_VOLTAGE: Final = Register("Present_Voltage", 62, 1)
PRESENT_TEMPERATURE: Final = Register("Present_Temperature", 63, 1)
STATUS: Final = Register("Status", 65, 1)
PRESENT_CURRENT: Final = Register("Present_Current", 69, 2, sign_bit=15)

# Blocks that are read in one transaction. Their lengths differ, so that a late reply to one question can never
# pass for the answer to another: a status packet carries its length, but not the address it was read from.
EEPROM_BLOCK: Final = (0, 40)
CONTROL_BLOCK: Final = (40, 16)
STATE_BLOCK: Final = (56, 15)

PHASE_ANGLE_FEEDBACK: Final = 0x10  # set: positions run beyond one turn; LeRobot clears it


@dataclass(frozen=True, slots=True)
class ServoState:
    """State block of one servo, in the servo's own units."""

    position: int  # encoder steps after the homing offset
    velocity: int  # steps/s
    load: int  # 0.1 % of the largest torque
    voltage: int  # 0.1 V
    temperature: int  # deg C
    status: int  # StatusBits of register 65 and of the packet that carried the block
    current: int  # 6.5 mA

    @classmethod
    def decode(cls, block: bytes, packet_status: int) -> "ServoState":
        """State from the bytes of STATE_BLOCK and the error byte of the packet."""
        start = STATE_BLOCK[0]
        return cls(
            position=PRESENT_POSITION.decode(block, start),
            velocity=PRESENT_VELOCITY.decode(block, start),
            load=PRESENT_LOAD.decode(block, start),
            voltage=PRESENT_VOLTAGE.decode(block, start),
            temperature=PRESENT_TEMPERATURE.decode(block, start),
            status=STATUS.decode(block, start) | packet_status,
            current=PRESENT_CURRENT.decode(block, start),
        )
