"""One STS3215: its registers, what writing them does, and the torque it asks of its motor.

Stored but without effect here: I coefficient, velocity-loop gains, dead zones, minimum startup force, goal time.
Position mode is the only operating mode that drives the motor; in the others the servo is limp.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from so101_sim import servo_registers as reg
from so101_sim.motion_profile import MotionProfile
from so101_sim.servo_protection import ServoProtection

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
        self.protection = ServoProtection()
        self.injected_status = 0
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
        return reg.decode_signed(reg.word(self.registers, reg.HOMING_OFFSET), 11)

    @property
    def position(self) -> float:
        """Present position before rounding, ticks, [0, 4096)."""
        return (self._encoder - self.homing_offset) % reg.TICKS_PER_TURN

    @property
    def goal(self) -> int:
        """The goal in force: as written, held within the position limits unless these are equal, ticks."""
        goal = reg.decode_signed(reg.word(self.registers, reg.GOAL_POSITION), 15)
        lower = reg.word(self.registers, reg.MIN_POSITION_LIMIT)
        upper = reg.word(self.registers, reg.MAX_POSITION_LIMIT)
        return max(lower, min(upper, goal)) if upper > lower else goal

    def read(self, address: int, count: int) -> bytes:
        """`count` registers from `address` on; what lies beyond the map reads as zero."""
        return bytes(self.registers[address : address + count]).ljust(count, b"\0")

    def write(self, address: int, data: bytes) -> None:
        """Writes registers as a WRITE does: read-only ones keep their value, EEPROM lasts only if LOCK is 0."""
        persistent = bytearray(self._eeprom)
        unlocked = not self.registers[reg.LOCK]
        torque_was_on, homing_was = self.torque_on, self.homing_offset
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
        reg.put_word(self.registers, reg.GOAL_POSITION_2, reg.encode_signed(self.goal, 15))
        if self.torque_on != torque_was_on or self.homing_offset != homing_was:
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
        self._encoder = encoder
        registers = self.registers
        present = round(encoder - self.homing_offset) % reg.TICKS_PER_TURN
        reg.put_word(registers, reg.PRESENT_POSITION, present)
        reg.put_word(registers, reg.PRESENT_VELOCITY, reg.encode_signed(round(velocity), 15))
        reg.put_word(registers, reg.PRESENT_LOAD, reg.encode_signed(round(load * 1000), 10))
        reg.put_word(registers, reg.PRESENT_CURRENT, self._current(load))
        registers[reg.STATUS] = self.status
        registers[reg.MOVING] = int(abs(velocity) > _MOVING_TICKS_S or self._profile.velocity != 0.0)

    def control(self, dt_s: float, encoder: float, load: float) -> Drive:
        """One step of the position loop, `dt_s` long. encoder: ticks; load: of the step before, -1..1."""
        self._encoder = encoder
        registers = self.registers
        position = self.position
        goal = self.goal
        self.protection.update(registers, dt_s, load, self._current(load), goal - position)
        if not self.torque_on or registers[reg.OPERATING_MODE] != reg.POSITION_MODE:
            return _LIMP
        target = self._profile.advance(goal, dt_s, self._max_velocity(), self._acceleration())
        limit = min(reg.word(registers, reg.TORQUE_LIMIT), reg.word(registers, reg.MAX_TORQUE_LIMIT)) / 1000
        return Drive(
            target=encoder + target - position,
            stiffness=registers[reg.P_COEFFICIENT] / GAIN_P,
            damping=registers[reg.D_COEFFICIENT] / GAIN_D,
            torque_limit=min(limit, 1.0, self.protection.torque_share(registers)),
        )

    def _max_velocity(self) -> float:
        velocity = abs(reg.decode_signed(reg.word(self.registers, reg.GOAL_VELOCITY), 15))
        return velocity or math.inf

    def _acceleration(self) -> float:
        asked, highest = self.registers[reg.ACCELERATION], self.registers[reg.MAXIMUM_ACCELERATION]
        return min(asked, highest) * 100.0 or math.inf

    def _current(self, load: float) -> int:
        return round(abs(load) * STALL_CURRENT_A / reg.CURRENT_UNIT_A)

    def _calibrate_middle(self, persistent: bytearray) -> None:
        """Chooses the homing offset that makes the present position read 2048, and keeps it for ever."""
        offset = round(self._encoder) % reg.TICKS_PER_TURN - reg.MIDDLE_TICKS
        offset = max(-reg.HOMING_OFFSET_MAX, offset)
        encoded = reg.encode_signed(offset, 11)
        reg.put_word(self.registers, reg.HOMING_OFFSET, encoded)
        reg.put_word(persistent, reg.HOMING_OFFSET, encoded)

    def _power_up(self) -> None:
        registers = self.registers
        registers[reg.SRAM_START :] = reg.factory_registers()[reg.SRAM_START :]
        reg.put_word(registers, reg.TORQUE_LIMIT, reg.word(registers, reg.MAX_TORQUE_LIMIT))
        self.set_voltage(SUPPLY_V)
        self.set_temperature(AMBIENT_C)
        self._pending = None
        self.protection.reset()
        self.sense(self._encoder, 0.0, 0.0)
        self.write(reg.GOAL_POSITION, bytes(registers[reg.PRESENT_POSITION : reg.PRESENT_POSITION + 2]))
        self._profile.restart(self.position)
