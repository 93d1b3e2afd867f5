# SPDX-License-Identifier: Apache-2.0
"""What a servo does to protect itself: status bits, and less torque or none.

Voltage and temperature are judged as they are now. Overload and overcurrent trip when they have lasted for their
protection time, and stay tripped until the torque is switched off (overload also: until the goal asks for the
opposite direction). A trip acts on the torque only if `UNLOADING_CONDITION` has its bit.
"""

from __future__ import annotations

from so101_sim.core import servo_registers as reg


class ServoProtection:
    """State of one servo's protection; `update` once a physics step."""

    def __init__(self) -> None:
        self.status = 0
        self._overload_s = 0.0
        self._overload_direction = 0.0
        self._overcurrent_s = 0.0
        self._latched = 0

    def reset(self) -> None:
        """Forgets everything that is latched, as switching the torque off does."""
        self._overload_s = self._overcurrent_s = 0.0
        self._latched = 0

    def update(self, registers: bytearray, dt_s: float, load: float, current: int, direction: float) -> None:
        """Judges one step. load: -1..1 of the stall torque; current: register units; direction: where the goal lies."""
        if not registers[reg.TORQUE_ENABLE]:
            self.reset()
        else:
            self._time_overload(registers, dt_s, load, direction)
            self._time_overcurrent(registers, dt_s, current)
        status = self._latched
        voltage = registers[reg.PRESENT_VOLTAGE]
        if not registers[reg.MIN_VOLTAGE_LIMIT] <= voltage <= registers[reg.MAX_VOLTAGE_LIMIT]:
            status |= reg.STATUS_VOLTAGE
        if registers[reg.PRESENT_TEMPERATURE] > registers[reg.MAX_TEMPERATURE_LIMIT]:
            status |= reg.STATUS_OVERHEAT
        self.status = status

    def torque_ratio(self, registers: bytearray) -> float:
        """Ratio of the stall torque that protection leaves, 0..1."""
        acting = self.status & registers[reg.UNLOADING_CONDITION]
        if acting & ~reg.STATUS_OVERLOAD:
            return 0.0
        if acting & reg.STATUS_OVERLOAD:
            return min(1.0, registers[reg.PROTECTIVE_TORQUE] / 100)
        return 1.0

    def _time_overload(self, registers: bytearray, dt_s: float, load: float, direction: float) -> None:
        if self._latched & reg.STATUS_OVERLOAD:
            if direction * self._overload_direction < 0:
                self._latched &= ~reg.STATUS_OVERLOAD
                self._overload_s = 0.0
            return
        threshold = registers[reg.OVERLOAD_TORQUE]
        if not threshold or abs(load) * 100 <= threshold:
            self._overload_s = 0.0
            return
        self._overload_s += dt_s
        if self._overload_s >= registers[reg.PROTECTION_TIME] * 0.01:
            self._latched |= reg.STATUS_OVERLOAD
            self._overload_direction = load

    def _time_overcurrent(self, registers: bytearray, dt_s: float, current: int) -> None:
        threshold = reg.word(registers, reg.PROTECTION_CURRENT)
        if not threshold or current <= threshold:
            self._overcurrent_s = 0.0
            return
        self._overcurrent_s += dt_s
        if self._overcurrent_s >= registers[reg.OVER_CURRENT_PROTECTION_TIME] * 0.01:
            self._latched |= reg.STATUS_OVERCURRENT
