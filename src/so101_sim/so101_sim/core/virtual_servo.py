# SPDX-License-Identifier: Apache-2.0
"""One STS3215: its registers, what writing them does, and the torque it asks of its motor.

Stored but without effect here: I coefficient, velocity-loop gains, dead zones, minimum startup force, goal time.
Position mode is the only operating mode that drives the motor; in the others the servo is limp.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from so101_sim.core import servo_registers as reg
from so101_sim.core.motion_profile import MotionProfile
from so101_sim.core.servo_protection import ServoProtection

STALL_CURRENT_A = 2.7  # STS3215 at 12 V, data sheet
SUPPLY_V = 12.1
AMBIENT_C = 31
GAIN_P, GAIN_D = 16, 32
"""Coefficients for which the arm model's own stiffness and damping hold (LeRobot's setting)."""

_MOVING_TICKS_S = 20.0
_WORDS = frozenset(
    {reg.MODEL_NUMBER, reg.MIN_POSITION_LIMIT, reg.MAX_POSITION_LIMIT, reg.MAX_TORQUE_LIMIT, reg.PROTECTION_CURRENT}
    | {reg.HOMING_OFFSET, reg.GOAL_POSITION, reg.GOAL_TIME, reg.GOAL_VELOCITY, reg.TORQUE_LIMIT}
)


@dataclass(frozen=True, slots=True)
class Drive:
    """What a servo wants of its motor. target: encoder ticks, not wrapped; the rest: share of the model's values."""

    target: float
    stiffness: float
    damping: float
    torque_limit: float


_LIMP = Drive(0.0, 0.0, 0.0, 0.0)

_FEEDBACK = struct.Struct("<HHH")  # position, velocity, load


@dataclass(frozen=True, slots=True)
class _Settings:
    """What the position loop needs of the registers, decoded once per write. Ticks, s; shares of the model's values."""

    drives: bool
    homing_offset: int
    goal: int
    max_velocity: float
    acceleration: float
    stiffness: float
    damping: float
    torque_limit: float

    @classmethod
    def of(cls, registers: bytearray) -> _Settings:
        goal = reg.decode_signed(reg.word(registers, reg.GOAL_POSITION), 15)
        lower, upper = reg.word(registers, reg.MIN_POSITION_LIMIT), reg.word(registers, reg.MAX_POSITION_LIMIT)
        velocity = abs(reg.decode_signed(reg.word(registers, reg.GOAL_VELOCITY), 15))
        acceleration = min(registers[reg.ACCELERATION], registers[reg.MAXIMUM_ACCELERATION]) * 100.0
        torque = min(reg.word(registers, reg.TORQUE_LIMIT), reg.word(registers, reg.MAX_TORQUE_LIMIT))
        return cls(
            drives=registers[reg.TORQUE_ENABLE] == 1 and registers[reg.OPERATING_MODE] == reg.POSITION_MODE,
            homing_offset=reg.decode_signed(reg.word(registers, reg.HOMING_OFFSET), 11),
            goal=max(lower, min(upper, goal)) if upper > lower else goal,
            max_velocity=velocity or math.inf,
            acceleration=acceleration or math.inf,
            stiffness=registers[reg.P_COEFFICIENT] / GAIN_P,
            damping=registers[reg.D_COEFFICIENT] / GAIN_D,
            torque_limit=min(1.0, torque / 1000),
        )


class VirtualServo:
    """A servo at an encoder position (ticks, not wrapped to a turn)."""

    def __init__(self, servo_id: int, settings: Mapping[int, int] | None = None, encoder: float = 2048.0) -> None:
        """settings: EEPROM registers that differ from the factory's; two-byte ones by their low address."""
        self.registers = reg.factory_registers()
        self.registers[reg.ID] = servo_id
        for address, value in (settings or {}).items():
            if address in _WORDS:
                reg.put_word(self.registers, address, value)
            else:
                self.registers[address] = value
        self._settings = _Settings.of(self.registers)
        self.protection = ServoProtection()
        self.injected_status = 0
        self.slip = 0
        """Steps by which the encoder's magnet has turned on its shaft: what is measured is that much more."""
        self.powered = True
        self._eeprom = bytes(self.registers[: reg.SRAM_START])
        self._pending: tuple[int, bytes] | None = None
        self._profile = MotionProfile()
        self._encoder = encoder
        self._power_up()

    @property
    def id(self) -> int:
        """The bus address it answers to now."""
        return self.registers[reg.ID]

    @property
    def status(self) -> int:
        """The status byte of its answers."""
        return self.protection.status | self.injected_status

    @property
    def torque_on(self) -> bool:
        """Whether it may drive its motor."""
        return self.powered and self.registers[reg.TORQUE_ENABLE] == 1

    @property
    def homing_offset(self) -> int:
        """Encoder position that reads as zero, ticks."""
        return self._settings.homing_offset

    @property
    def position(self) -> float:
        """Present position before rounding, ticks, [0, 4096)."""
        return (self._encoder - self._settings.homing_offset) % reg.TICKS_PER_TURN

    @property
    def goal(self) -> int:
        """The goal in force: as written, held within the position limits unless these are equal, ticks."""
        return self._settings.goal

    def read(self, address: int, count: int) -> bytes:
        """`count` registers from `address` on; what lies beyond the map reads as zero."""
        return bytes(self.registers[address : address + count]).ljust(count, b"\0")

    def write(self, address: int, data: bytes) -> None:
        """Writes registers as a WRITE does: read-only ones keep their value, EEPROM lasts only if LOCK is 0."""
        persistent = bytearray(self._eeprom)
        unlocked = not self.registers[reg.LOCK]
        was = self._settings
        for at, value in enumerate(data, address):
            if at >= reg.REGISTER_COUNT or at in reg.READ_ONLY:
                continue
            if at == reg.TORQUE_ENABLE and value == reg.CALIBRATE_MIDDLE:
                self._calibrate_middle(persistent)
                continue
            self.registers[at] = value
            if at < reg.SRAM_START and unlocked:
                persistent[at] = value
        self._eeprom = bytes(persistent)
        now = self._settings = _Settings.of(self.registers)
        reg.put_word(self.registers, reg.GOAL_POSITION_2, reg.encode_signed(now.goal, 15))
        if now.drives != was.drives or now.homing_offset != was.homing_offset:
            self._profile.restart(self.position)

    def write_word(self, address: int, value: int) -> None:
        """Writes one two-byte register."""
        self.write(address, bytes((value & 0xFF, value >> 8 & 0xFF)))

    def store(self, address: int, data: bytes) -> None:
        """Keeps a REG_WRITE until its ACTION; a later one replaces it."""
        self._pending = (address, data)
        self.registers[reg.ASYNC_WRITE_FLAG] = 1

    def act(self) -> None:
        """ACTION: does the write that was stored, if there is one."""
        pending, self._pending = self._pending, None
        self.registers[reg.ASYNC_WRITE_FLAG] = 0
        if pending is not None:
            self.write(*pending)

    def cut_power(self) -> None:
        """Unplugs it: silent and limp."""
        self.powered = False

    def restore_power(self) -> None:
        """Plugs it in: EEPROM contents, torque off, goal at the present position."""
        self.powered = True
        self.registers[: reg.SRAM_START] = self._eeprom
        self._power_up()

    def set_voltage(self, volts: float) -> None:
        """What it measures from now on."""
        self.registers[reg.PRESENT_VOLTAGE] = max(0, min(255, round(volts * 10)))

    def set_temperature(self, celsius: float) -> None:
        """What it measures from now on."""
        self.registers[reg.PRESENT_TEMPERATURE] = max(0, min(255, round(celsius)))

    def sense(self, encoder: float, velocity: float, load: float) -> None:
        """Takes over what the motor does. encoder: ticks; velocity: ticks/s; load: -1..1 of the stall torque."""
        encoder += self.slip
        self._encoder = encoder
        registers = self.registers
        _FEEDBACK.pack_into(
            registers,
            reg.PRESENT_POSITION,
            round(encoder - self._settings.homing_offset) % reg.TICKS_PER_TURN,
            reg.encode_signed(round(velocity), 15),
            reg.encode_signed(round(load * 1000), 10),
        )
        reg.put_word(registers, reg.PRESENT_CURRENT, _current(load))
        registers[reg.STATUS] = self.status
        registers[reg.MOVING] = int(abs(velocity) > _MOVING_TICKS_S or self._profile.velocity != 0.0)

    def control(self, dt_s: float, encoder: float, load: float) -> Drive:
        """One step of the position loop, `dt_s` long. encoder: ticks; load: of the step before, -1..1."""
        encoder += self.slip
        self._encoder = encoder
        position, settings = self.position, self._settings
        self.protection.update(self.registers, dt_s, load, _current(load), settings.goal - position)
        if not (settings.drives and self.powered):
            return _LIMP
        target = self._profile.advance(settings.goal, dt_s, settings.max_velocity, settings.acceleration)
        return Drive(
            target=encoder + target - position - self.slip,
            stiffness=settings.stiffness,
            damping=settings.damping,
            torque_limit=min(settings.torque_limit, self.protection.torque_ratio(self.registers)),
        )

    def _calibrate_middle(self, persistent: bytearray) -> None:
        """Chooses the homing offset that makes the present position read 2048, and keeps it forever."""
        offset = round(self._encoder) % reg.TICKS_PER_TURN - reg.MIDDLE_TICKS
        offset = max(-reg.HOMING_OFFSET_MAX, offset)
        encoded = reg.encode_signed(offset, 11)
        reg.put_word(self.registers, reg.HOMING_OFFSET, encoded)
        reg.put_word(persistent, reg.HOMING_OFFSET, encoded)

    def _power_up(self) -> None:
        registers = self.registers
        registers[reg.SRAM_START :] = reg.factory_registers()[reg.SRAM_START :]
        self._settings = _Settings.of(registers)
        reg.put_word(registers, reg.TORQUE_LIMIT, reg.word(registers, reg.MAX_TORQUE_LIMIT))
        self.set_voltage(SUPPLY_V)
        self.set_temperature(AMBIENT_C)
        self._pending = None
        self.protection.reset()
        self.sense(self._encoder, 0.0, 0.0)
        self.write(reg.GOAL_POSITION, bytes(registers[reg.PRESENT_POSITION : reg.PRESENT_POSITION + 2]))
        self._profile.restart(self.position)


def _current(load: float) -> int:
    """The motor's current at `load`, -1..1 of the stall torque, in register units."""
    return round(abs(load) * (STALL_CURRENT_A / reg.CURRENT_UNIT_A))
