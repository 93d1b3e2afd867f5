"""What is wrong with the arm, judged from one reading per tick. ROS-free; time comes in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from so101_driver import causes
from so101_driver.arm import JOINTS, ArmReading, BoolArray
from so101_driver.calibration import GRIPPER, JOINT_NAMES, FloatArray, IntArray
from so101_driver.registers import StatusBits

_NEVER_READ_NS: Final = 1_000_000_000  # noise excuses a silent servo for this long
_LOST_NS: Final = 80_000_000  # where ticks take long, two of them and this time are enough to call a servo lost
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
    min_voltage_v: float = 4.5
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
class Findings:
    """Judgement of one tick."""

    silent: bool  # no servo has answered for 0.3 s
    noisy: bool  # servos were missing in each of the last bad_ticks
    fault: Fault | None  # to be latched


class FaultMonitor:
    """Counts consecutive bad ticks per joint and cause."""

    def __init__(self, limits: FaultLimits) -> None:
        self._limits = limits
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a reset or a reconnection."""
        self._last_answer_ns: int | None = None
        self._bad_ticks = 0
        self._missing_ticks: IntArray = np.zeros(JOINTS, dtype=np.int64)
        self._last_read_ns: list[int | None] = [None] * JOINTS
        self._confirmed: dict[tuple[str, int], int] = {}
        self._stalled_since_ns: list[int | None] = [None] * JOINTS

    def standing(self, reading: ArmReading) -> list[Fault]:
        """Faults of the present moment, without waiting for confirmation. `reading`: the one judged last."""
        faults: list[Fault] = []
        missing = [index for index in range(JOINTS) if self._missing_ticks[index] > 1]
        if missing:
            faults.append(_lost(missing))
        for index in range(JOINTS):
            faults += self._health(reading, index)
        return faults

    def update(self, reading: ArmReading, goal: FloatArray, torque: BoolArray, now_ns: int) -> Findings:
        """Judge one tick. `goal` in force, (6,), rad; `torque` per joint, (6,)."""
        if self._last_answer_ns is None or reading.answered.any() or reading.garbled:
            self._last_answer_ns = now_ns
        self._bad_ticks = 0 if reading.complete else self._bad_ticks + 1
        fault = (
            self._find_lost(reading, now_ns)
            or self._find_unhealthy(reading)
            or self._find_stalled(reading, goal, torque, now_ns)
        )
        return Findings(
            silent=now_ns - self._last_answer_ns >= _SILENCE_NS and self._bad_ticks >= self._limits.bad_ticks,
            noisy=self._bad_ticks >= self._limits.bad_ticks,
            fault=fault,
        )

    def _find_lost(self, reading: ArmReading, now_ns: int) -> Fault | None:
        lost: list[int] = []
        for index in range(JOINTS):
            if reading.answered[index]:
                self._missing_ticks[index] = 0
                self._last_read_ns[index] = now_ns
                continue
            if reading.answered.any() and not reading.garbled:
                self._missing_ticks[index] += 1
            last_ns = self._last_read_ns[index]
            if last_ns is None:
                last_ns = self._last_read_ns[index] = now_ns
            ticks, elapsed_ns = self._missing_ticks[index], now_ns - last_ns
            slow = ticks >= 2 and elapsed_ns >= _LOST_NS
            if ticks >= self._limits.bad_ticks or slow or elapsed_ns > _NEVER_READ_NS:
                lost.append(index)
        return _lost(lost) if lost and reading.answered.any() else None

    def _find_unhealthy(self, reading: ArmReading) -> Fault | None:
        counts: dict[tuple[str, int], int] = {}
        result: Fault | None = None
        for index in range(JOINTS):
            if not reading.answered[index]:  # nothing new is known of it
                counts |= {key: count for key, count in self._confirmed.items() if key[1] == index}
                continue
            for fault in self._health(reading, index):
                count = self._confirmed.get((fault.cause, index), 0) + 1
                counts[fault.cause, index] = count
                if count >= self._limits.confirm_ticks and result is None:
                    result = fault
        self._confirmed = counts
        return result

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

    def _find_stalled(self, reading: ArmReading, goal: FloatArray, torque: BoolArray, now_ns: int) -> Fault | None:
        """Current and tracking error and time. The gripper is left to its own torque and current limits."""
        stalled: list[int] = []
        for index in range(JOINTS):
            error = abs(goal[index] - reading.positions[index])
            pressing = error > self._limits.stall_error_rad and reading.currents[index] > self._limits.stall_current_a
            if not reading.answered[index] and self._stalled_since_ns[index] is not None:
                pressing = True
            if index == GRIPPER or not pressing or not torque[index]:
                self._stalled_since_ns[index] = None
                continue
            since_ns = self._stalled_since_ns[index]
            if since_ns is None:
                since_ns = self._stalled_since_ns[index] = now_ns
            if now_ns - since_ns >= self._limits.stall_time_s * 1e9:
                stalled.append(index)
        if not stalled:
            return None
        text = f"{_names(stalled)} is blocked; it was moved back to where it stands: clear the way, then reset"
        return Fault(causes.STALL, tuple(stalled), text)


def _lost(joints: Sequence[int]) -> Fault:
    text = f"servo {_names(joints)} does not answer: check its cable, then reset"
    return Fault(causes.SERVO_LOST, tuple(joints), text)


def _names(joints: Sequence[int]) -> str:
    return ", ".join(JOINT_NAMES[index] for index in joints)
