# SPDX-License-Identifier: Apache-2.0
"""Register map of the Feetech STS3215: addresses, factory contents, number formats.

Two-byte registers are little-endian. Signed ones are sign-magnitude: one bit says minus, the bits below it how much.
Addresses below `SRAM_START` are EEPROM and survive a power cycle if they were written while `LOCK` was 0.
"""

from __future__ import annotations

from typing import Final

FIRMWARE_MAJOR: Final = 0
FIRMWARE_MINOR: Final = 1
MODEL_NUMBER: Final = 3  # 2 bytes
ID: Final = 5
BAUD_RATE: Final = 6  # index into BAUD_RATES
RETURN_DELAY_TIME: Final = 7  # 2 us
RESPONSE_STATUS_LEVEL: Final = 8  # 0: answer only PING and READ; 1: answer everything
MIN_POSITION_LIMIT: Final = 9  # 2 bytes, ticks
MAX_POSITION_LIMIT: Final = 11  # 2 bytes, ticks
MAX_TEMPERATURE_LIMIT: Final = 13  # deg C
MAX_VOLTAGE_LIMIT: Final = 14  # 0.1 V
MIN_VOLTAGE_LIMIT: Final = 15  # 0.1 V
MAX_TORQUE_LIMIT: Final = 16  # 2 bytes, 0.1 %
PHASE: Final = 18
UNLOADING_CONDITION: Final = 19  # status bits that reduce or cut the torque
LED_ALARM_CONDITION: Final = 20
P_COEFFICIENT: Final = 21
D_COEFFICIENT: Final = 22
I_COEFFICIENT: Final = 23
MINIMUM_STARTUP_FORCE: Final = 24  # 2 bytes, 0.1 %
CW_DEAD_ZONE: Final = 26
CCW_DEAD_ZONE: Final = 27
PROTECTION_CURRENT: Final = 28  # 2 bytes, 6.5 mA; 0: off
ANGULAR_RESOLUTION: Final = 30
HOMING_OFFSET: Final = 31  # 2 bytes, ticks, sign bit 11
OPERATING_MODE: Final = 33  # 0: position
PROTECTIVE_TORQUE: Final = 34  # %, what is left after an overload
PROTECTION_TIME: Final = 35  # 10 ms
OVERLOAD_TORQUE: Final = 36  # %, load above which the protection time runs; 0: off
OVER_CURRENT_PROTECTION_TIME: Final = 38  # 10 ms

SRAM_START: Final = 40
TORQUE_ENABLE: Final = 40  # 0: off, 1: on, 128: make the present position read 2048
ACCELERATION: Final = 41  # 100 ticks/s^2; 0: no ramp
GOAL_POSITION: Final = 42  # 2 bytes, ticks, sign bit 15
GOAL_TIME: Final = 44  # 2 bytes
GOAL_VELOCITY: Final = 46  # 2 bytes, ticks/s, sign bit 15; 0: as fast as the motor can
TORQUE_LIMIT: Final = 48  # 2 bytes, 0.1 %
LOCK: Final = 55
PRESENT_POSITION: Final = 56  # 2 bytes, ticks, sign bit 15
PRESENT_VELOCITY: Final = 58  # 2 bytes, ticks/s, sign bit 15
PRESENT_LOAD: Final = 60  # 2 bytes, 0.1 %, sign bit 10
PRESENT_VOLTAGE: Final = 62  # 0.1 V
PRESENT_TEMPERATURE: Final = 63  # deg C
ASYNC_WRITE_FLAG: Final = 64  # 1 while a REG_WRITE waits for its ACTION
STATUS: Final = 65
MOVING: Final = 66
PRESENT_CURRENT: Final = 69  # 2 bytes, 6.5 mA, sign bit 15
GOAL_POSITION_2: Final = 71  # 2 bytes, the goal in force, read-only
MOVING_VELOCITY_THRESHOLD: Final = 80
MAXIMUM_ACCELERATION: Final = 85  # 100 ticks/s^2

REGISTER_COUNT: Final = 87
READ_ONLY: Final = frozenset(range(5)) | frozenset(range(PRESENT_POSITION, GOAL_POSITION_2 + 2))

STATUS_VOLTAGE: Final = 1
STATUS_ANGLE: Final = 2
STATUS_OVERHEAT: Final = 4
STATUS_OVERCURRENT: Final = 8
STATUS_OVERLOAD: Final = 32

STS3215_MODEL: Final = 777
TICKS_PER_TURN: Final = 4096
CURRENT_UNIT_A: Final = 0.0065
CALIBRATE_MIDDLE: Final = 128
MIDDLE_TICKS: Final = 2048
HOMING_OFFSET_MAX: Final = 2047
POSITION_MODE: Final = 0

BAUD_RATES: Final = (1_000_000, 500_000, 250_000, 128_000, 115_200, 57_600, 38_400, 19_200)

_FACTORY_BYTES: Final = {
    FIRMWARE_MAJOR: 3,
    FIRMWARE_MINOR: 10,
    ID: 1,
    RETURN_DELAY_TIME: 250,
    RESPONSE_STATUS_LEVEL: 1,
    MAX_TEMPERATURE_LIMIT: 70,
    MAX_VOLTAGE_LIMIT: 140,
    MIN_VOLTAGE_LIMIT: 40,
    PHASE: 12,  # velocities in ticks/s; goal velocity 0 means "as fast as you can"
    UNLOADING_CONDITION: STATUS_OVERLOAD | STATUS_OVERCURRENT | STATUS_OVERHEAT,
    LED_ALARM_CONDITION: 47,
    P_COEFFICIENT: 32,
    D_COEFFICIENT: 32,
    CW_DEAD_ZONE: 1,
    CCW_DEAD_ZONE: 1,
    ANGULAR_RESOLUTION: 1,
    PROTECTIVE_TORQUE: 20,
    PROTECTION_TIME: 200,
    OVERLOAD_TORQUE: 80,
    37: 10,  # velocity loop P
    OVER_CURRENT_PROTECTION_TIME: 200,
    39: 200,  # velocity loop I
    LOCK: 1,
    MOVING_VELOCITY_THRESHOLD: 1,
    MAXIMUM_ACCELERATION: 254,
    86: 1,  # acceleration multiplier
}
_FACTORY_WORDS: Final = {
    MODEL_NUMBER: STS3215_MODEL,
    MAX_POSITION_LIMIT: 4095,
    MAX_TORQUE_LIMIT: 1000,
    MINIMUM_STARTUP_FORCE: 16,
    PROTECTION_CURRENT: 500,
}


def factory_registers() -> bytearray:
    """A servo's registers as shipped: id 1, 1 Mbaud, 500 us return delay, no homing offset, limits 0..4095."""
    registers = bytearray(REGISTER_COUNT)
    for address, value in _FACTORY_BYTES.items():
        registers[address] = value
    for address, value in _FACTORY_WORDS.items():
        put_word(registers, address, value)
    return registers


def word(registers: bytes | bytearray, address: int) -> int:
    """The two-byte register at `address`, 0..65535."""
    return registers[address] | registers[address + 1] << 8


def put_word(registers: bytearray, address: int, value: int) -> None:
    """Stores the low 16 bits of `value` at `address`."""
    registers[address] = value & 0xFF
    registers[address + 1] = value >> 8 & 0xFF


def encode_signed(value: int, sign_bit: int) -> int:
    """Sign-magnitude form of `value`; a magnitude that does not fit is clamped."""
    magnitude = min(abs(value), (1 << sign_bit) - 1)
    return magnitude | (1 << sign_bit) if value < 0 else magnitude


def decode_signed(encoded: int, sign_bit: int) -> int:
    """Inverse of encode_signed; bits above the sign bit are ignored."""
    magnitude = encoded & ((1 << sign_bit) - 1)
    return -magnitude if encoded >> sign_bit & 1 else magnitude
