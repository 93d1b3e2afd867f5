# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the arm, judged from one reading per tick. ROS-free; time comes in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from so101_node.protocol import GRIPPER, JOINT_NAMES, BoolArray, FloatArray, IntArray

from so101_driver.core import causes
from so101_driver.core.arm import JOINTS, ArmReading
from so101_driver.core.registers import StatusBits

_NEVER_READ_NS: Final = 1_000_000_000  # noise excuses a silent servo for this long
_SLOW_TICK_NS: Final = 25_000_000  # where ticks take this long, two without an answer make a servo lost
_LOST_TICKS: Final = 3  # undamaged reads without one servo, each tried twice; 50 ms, for a LATCHED within 0.1 s
_NOISE_NS: Final = 80_000_000  # damaged for this long is noise though ticks that wait for answers are few
_NOISE_TICKS: Final = 3
_SILENCE_NS: Final = 300_000_000  # all servos at once: the power supply, or a computer that is busy elsewhere

_BITS: Final = (
    (StatusBits.OVERLOAD, causes.OVERLOAD, "reports overload: clear what blocks it, let it cool down, then reset"),
    (StatusBits.OVERCURRENT, causes.OVERCURRENT, "reports overcurrent: clear what blocks it, then reset"),
    (StatusBits.OVERHEAT, causes.OVERHEAT, "reports overheating: let it cool down, then reset"),
    (StatusBits.VOLTAGE, causes.VOLTAGE, "reports a supply voltage outside its limits: check the supply, then reset"),
    (StatusBits.ANGLE, causes.ANGLE_SENSOR, "reports a broken angle sensor: replace the servo"),
)


@dataclass(frozen=True, slots=True)
class FaultLimits:
    """When a reading counts as a fault."""

    stall_current_a: float = 1.3  # a stalled STS3215 draws 2.4-2.7 A, a lifting one up to about 1 A
    stall_error_rad: float = 0.2
    stall_time_s: float = 0.5
    max_temperature_c: float = 65.0  # the servo itself cuts torque at 70
    min_voltage_v: float = 4.0  # a 5 V supply sags below 4.5 when the arm lifts
    bad_ticks: int = 5  # consecutive ticks; 83 ms at 60 Hz
    confirm_ticks: int = 3  # consecutive ticks before a health fault counts; 50 ms
    gripper_overload_latches: bool = False  # LeRobot sets it to 25 % on purpose: holding an object may report it


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: named cause, the joints it concerns (indices), and a line for people with the remedy."""

    cause: str
    joints: tuple[int, ...]
    message: str


@dataclass(frozen=True, slots=True)
class FaultFindings:
    """Judgement of one tick."""

    silent: bool  # no servo has answered for 0.3 s
    noisy: bool  # servos were missing in each of the last bad_ticks, or of fewer that took as long
    faults: tuple[Fault, ...]  # to be latched; one per cause, the first goes before the others
    late: bool = False  # noisy, but nothing came damaged: no servo was heard at all

    @property
    def fault(self) -> Fault | None:
        """The first of them."""
        return self.faults[0] if self.faults else None


class FaultMonitor:
    """Counts consecutive bad ticks per joint and cause."""

    def __init__(self, limits: FaultLimits) -> None:
        self._limits = limits
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a reset or a reconnection."""
        self._last_answer_ns: int | None = None
        self._bad_ticks = 0
        self._bad_since_ns = 0
        self._garbled = False  # since then
        self._heard = False  # any servo, since then
        self._missing_ticks: IntArray = np.zeros(JOINTS, dtype=np.int64)
        self._last_read_ns: IntArray = np.full(JOINTS, -1, dtype=np.int64)  # -1: not yet
        self._confirmed: dict[tuple[str, int], int] = {}
        self._stalled_since_ns: IntArray = np.full(JOINTS, -1, dtype=np.int64)  # -1: moves freely

    def standing(self, reading: ArmReading) -> list[Fault]:
        """Faults of the present moment, without waiting for confirmation. `reading`: the one judged last."""
        faults = _jumps(reading, reading.jumps)
        missing = [index for index in range(JOINTS) if self._missing_ticks[index] > 1]
        if missing:
            faults.append(_lost(missing))
        for index in range(JOINTS):
            faults += self._health(reading, index)
        return faults

    def update(self, reading: ArmReading, goal: FloatArray, torque: BoolArray, now_ns: int) -> FaultFindings:
        """Judge one tick. `goal` in force, (6,), rad; `torque` per joint, (6,)."""
        if self._last_answer_ns is None or reading.answered.any() or reading.garbled:
            self._last_answer_ns = now_ns
        if reading.complete or self._bad_ticks == 0:
            self._bad_since_ns, self._garbled, self._heard = now_ns, False, False
        self._bad_ticks = 0 if reading.complete else self._bad_ticks + 1
        self._garbled |= reading.garbled
        self._heard |= bool(reading.answered.any())
        bad_for_long = self._garbled and self._bad_ticks >= _NOISE_TICKS and now_ns - self._bad_since_ns >= _NOISE_NS
        faults = _jumps(reading, reading.jumped) or _jumps(reading, reading.jumps)
        faults += self._find_lost(reading, now_ns) + self._find_unhealthy(reading)
        faults = faults or self._find_stalled(reading, goal, torque, now_ns)
        noisy = bad_for_long or self._bad_ticks >= self._limits.bad_ticks
        return FaultFindings(
            silent=now_ns - self._last_answer_ns >= _SILENCE_NS and self._bad_ticks >= self._limits.bad_ticks,
            noisy=noisy,
            faults=tuple(faults),
            late=noisy and not self._garbled and not self._heard,
        )

    def _find_lost(self, reading: ArmReading, now_ns: int) -> list[Fault]:
        self._missing_ticks[reading.answered] = 0
        self._last_read_ns[reading.answered] = now_ns
        if reading.complete:
            return []
        missing = ~reading.answered
        some_answered = bool(reading.answered.any())
        self._last_read_ns[missing & (self._last_read_ns < 0)] = now_ns
        if some_answered and not reading.garbled:
            self._missing_ticks[missing] += 1
        silent_ns = now_ns - self._last_read_ns
        slow_bus = (self._missing_ticks >= 2) & (silent_ns >= _SLOW_TICK_NS * self._missing_ticks)
        lost = missing & ((self._missing_ticks >= _LOST_TICKS) | slow_bus | (silent_ns > _NEVER_READ_NS))
        return [_lost(np.flatnonzero(lost).tolist())] if some_answered and lost.any() else []

    def _find_unhealthy(self, reading: ArmReading) -> list[Fault]:
        """Every joint that is not well, since each of them has to be relieved."""
        if reading.complete and self._is_sound(reading):
            self._confirmed = {}
            return []
        counts: dict[tuple[str, int], int] = {}
        confirmed: list[Fault] = []
        for index in range(JOINTS):
            if not reading.answered[index]:  # nothing new is known of it
                counts |= {key: count for key, count in self._confirmed.items() if key[1] == index}
                continue
            for fault in self._health(reading, index):
                count = self._confirmed.get((fault.cause, index), 0) + 1
                counts[fault.cause, index] = count
                if count >= self._limits.confirm_ticks:
                    confirmed.append(fault)
        self._confirmed = counts
        return _by_cause(confirmed)

    def _is_sound(self, reading: ArmReading) -> bool:
        """Whether no joint can have a health fault: the usual case, judged at once."""
        return not reading.error_bits.any() and bool(
            reading.temperatures.max() <= self._limits.max_temperature_c
            and reading.voltages.min() >= self._limits.min_voltage_v
        )

    def _health(self, reading: ArmReading, index: int) -> list[Fault]:
        if not reading.answered[index]:
            return []
        name = JOINT_NAMES[index]
        bits = int(reading.error_bits[index])
        if index == GRIPPER and not self._limits.gripper_overload_latches:
            bits &= ~(StatusBits.OVERLOAD | StatusBits.OVERCURRENT)
        faults = [Fault(cause, (index,), f"{name} {text}") for bit, cause, text in _BITS if bits & bit]
        temperature, voltage = reading.temperatures[index], reading.voltages[index]
        if temperature > self._limits.max_temperature_c:
            limit = self._limits.max_temperature_c
            text = f"{name} is at {temperature:.0f} deg C, above {limit:.0f}: let it cool down, then reset"
            faults.append(Fault(causes.OVERHEAT, (index,), text))
        if voltage < self._limits.min_voltage_v:
            text = f"{name} gets {voltage:.1f} V, below {self._limits.min_voltage_v:.1f}: check the supply, then reset"
            faults.append(Fault(causes.VOLTAGE, (index,), text))
        return faults

    def _find_stalled(self, reading: ArmReading, goal: FloatArray, torque: BoolArray, now_ns: int) -> list[Fault]:
        """Current and tracking error and time. The gripper is left to its own torque and current limits."""
        error = np.abs(goal - reading.positions)
        pressing = (error > self._limits.stall_error_rad) & (reading.currents > self._limits.stall_current_a)
        pressing |= ~reading.answered & (self._stalled_since_ns >= 0)  # nothing new is known of it
        pressing &= torque
        pressing[GRIPPER] = False
        self._stalled_since_ns[~pressing] = -1
        if not pressing.any():
            return []
        self._stalled_since_ns[pressing & (self._stalled_since_ns < 0)] = now_ns
        long_enough = now_ns - self._stalled_since_ns >= self._limits.stall_time_s * 1e9
        stalled = np.flatnonzero(pressing & long_enough).tolist()
        if not stalled:
            return []
        text = f"{_names(stalled)} is blocked; it was moved back to where it stands: clear the way, then reset"
        return [Fault(causes.STALL, tuple(stalled), text)]


def _by_cause(faults: Sequence[Fault]) -> list[Fault]:
    """One fault for each cause with all joints that have it; the first joint's line tells what to do."""
    merged: list[Fault] = []
    for cause in dict.fromkeys(fault.cause for fault in faults):
        same = [fault for fault in faults if fault.cause == cause]
        joints = tuple(dict.fromkeys(joint for fault in same for joint in fault.joints))
        also = f"; likewise {_names(joints[1:])}" if len(joints) > 1 else ""
        merged.append(Fault(cause, joints, same[0].message + also))
    return merged


def _jumps(reading: ArmReading, joints: Iterable[int]) -> list[Fault]:
    """Joints whose count cannot be trusted: nothing may move them, so this goes before all else."""
    which = tuple(joints)
    return [Fault(causes.POSITION_JUMP, which, "; ".join(reading.jumps[index] for index in which))] if which else []


def _lost(joints: Sequence[int]) -> Fault:
    text = f"servo {_names(joints)} does not answer: check its cable, then reset"
    return Fault(causes.SERVO_LOST, tuple(joints), text)


def _names(joints: Sequence[int]) -> str:
    return ", ".join(JOINT_NAMES[index] for index in joints)
