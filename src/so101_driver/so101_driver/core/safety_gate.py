# SPDX-License-Identifier: Apache-2.0
"""The gate between commands and servos: closed by default, and the only place that decides which goals are written.

It is told what arrived (`command`, the requests) and what was read (`tick`), with the time as an argument, and answers
with the goals and orders of this tick. It touches no port and reads no clock. Its methods judge what happened and name
it as an event; `gate_table` says what the event does. Whatever the mode, goals leave only through the motion limiter.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from so101_node.protocol import JOINT_NAMES, BoolArray, DriverState, FloatArray

from so101_driver.core import causes
from so101_driver.core.arm import JOINTS, ArmReading
from so101_driver.core.command_watch import CommandWatch
from so101_driver.core.fault_monitor import FaultMonitor
from so101_driver.core.gate_machine import GateMachine
from so101_driver.core.gate_table import GateEvent, GateMode
from so101_driver.core.gate_values import GateConfig, GateOutput, GateReply, GateStatus
from so101_driver.core.hold_watch import HoldWatch

_NOISE: Final = "replies of the servos are damaged or missing: check cables and grounding"
# Linux hands on what a serial port receives at ordinary priority, so other programs can hold all answers up.
_LATE: Final = (
    "no servo was heard for a moment, and nothing came damaged: look for what loads this computer, else check the "
    "power supply; a command near the arm's position engages it again"
)
_RESUMED: Final = {GateMode.RELEASED: GateEvent.OPENED_AFTER_RELEASE, GateMode.LATCHED: GateEvent.OPENED_AFTER_LATCH}
_NO_PARKING: Final = {GateMode.ENGAGED: "stop the action queue first", GateMode.STOPPING: "the driver is stopping"}
_PARKED: Final = "parked; a command near the arm's position engages it"
_HOLDING: Final = "holding; a command near the arm's position engages it"


class SafetyGate:
    """See the module. Not thread-safe."""

    def __init__(self, config: GateConfig) -> None:
        self._config = config
        self._machine = GateMachine(config)
        self._path = self._machine.path
        self._commands = CommandWatch(config, self._machine)
        self._monitor = FaultMonitor(config.faults)
        self._hold_watch = HoldWatch(config.hold_limit_s)
        self._torque: BoolArray = np.zeros(JOINTS, dtype=np.bool_)
        self._left_alone = f"nobody commanded for {config.hold_limit_s:g} s (hold_limit_s)"
        self._accepted = self._rejected = 0

    # --- what the gate says -----------------------------------------------------------------------------------------

    @property
    def mode(self) -> GateMode:
        """Current mode."""
        return self._machine.mode

    @property
    def state(self) -> DriverState:
        """Current state, as DriverStatus shows it."""
        return self._machine.mode.state

    @property
    def is_still(self) -> bool:
        """Whether the goals have come to rest, or none are written."""
        return not self._machine.armed or self._path.is_still

    @property
    def status(self) -> GateStatus:
        """Snapshot of everything that DriverStatus shows."""
        return GateStatus(
            state=self.state,
            cause=self._machine.shown.cause,
            message=self._machine.shown.message,
            parked=self._is_parked(),
            torque=self._torque.copy(),
            goal=self._path.goal,
            accepted=self._accepted,
            rejected=self._rejected,
            limited=self._path.limited,
        )

    # --- what happens to the bus, and how orders were carried out ---------------------------------------------------

    def opened(self, reading: ArmReading, torque: BoolArray) -> None:
        """The port is open, the servos are the right ones; orders PREPARE where torque may come on by itself.

        That is at the first start, and after a loss if no joint moved more than the engage tolerance meanwhile.
        """
        machine = self._machine
        before, machine.before_loss = machine.before_loss, None
        moved = np.abs(reading.positions - machine.measured)
        machine.see(reading)
        self._torque = torque.copy()
        self._monitor.reset()
        worst = int(np.argmax(np.nan_to_num(moved)))
        resumed = None if before is None else _RESUMED.get(before.mode)
        if before is not None and resumed is not None and before.cause != causes.STARTING:  # else begin PREPARE again
            machine.take(resumed, before.message, cause=before.cause)
        elif moved[worst] > self._config.engage_tolerance_rad:
            text = f"{JOINT_NAMES[worst]} moved {moved[worst]:.2f} rad while the bus was away"
            machine.take(GateEvent.OPENED_MOVED, f"{text}: look at the arm, then reset")
        else:
            event = GateEvent.OPENED_HELD if torque.any() else GateEvent.OPENED_LIMP
            machine.take(event, "torque is being switched on")

    def prepared(self, goal: npt.ArrayLike, torque: BoolArray) -> None:
        """PREPARE succeeded: all servos hold at `goal`, (6,), rad. `torque`: all of them, unless in shadow."""
        self._torque = torque.copy()
        self._monitor.reset()
        self._hold_watch.touch()
        self._machine.take(GateEvent.PREPARED, _HOLDING, positions=np.array(goal, dtype=np.float64))

    def refused(self, cause: str, message: str, torque: BoolArray) -> None:
        """PREPARE or TORQUE_OFF failed. Servos that already had torque keep it."""
        self._torque = torque.copy()
        self._machine.take(GateEvent.REFUSED_HELD if torque.any() else GateEvent.REFUSED_LIMP, message, cause=cause)

    def released(self) -> None:
        """TORQUE_OFF is done."""
        self._torque = np.zeros(JOINTS, dtype=np.bool_)
        why = f"{self._left_alone}: parked, and " if self.mode is GateMode.UNATTENDED else ""
        self._machine.take(GateEvent.TORQUE_IS_OFF, f"{why}torque is off; `reset` switches it on again")

    def let_go(self, joints: Sequence[int]) -> None:
        """HOLD_HERE had to leave these joints without torque."""
        self._torque[list(joints)] = False
        self._machine.say(f"{self._machine.shown.message}; without torque now: {_names(joints)}")

    def bus_lost(self, cause: str, message: str) -> None:
        """The port is gone, or it cannot be opened yet, or its servos do not answer as they should."""
        self._machine.take(GateEvent.BUS_LOST, message, cause=cause)

    def torque_lost(self, torque: BoolArray) -> None:
        """Servos that should hold report their torque off: their supply dipped, or somebody else wrote it.

        `torque`: which servos still hold, (6,). Those that were known to be without torque are not lost.
        """
        lost = tuple(np.flatnonzero(~torque & self._torque).tolist())
        if not self._machine.armed or not lost:
            return
        self._torque = torque.copy()
        text = f"{_names(lost)} lost torque (power dip, or another program): check supply and cables, then reset"
        self._machine.take(GateEvent.TORQUE_LOST, text, joints=lost)

    # --- what people ask for ----------------------------------------------------------------------------------------

    def emergency_stop(self) -> GateReply:
        """Brake as hard as the limits allow, hold near the measured positions, and stay so until `reset`."""
        self._machine.take(GateEvent.EMERGENCY_STOP, "emergency stop; `reset` ends it", joints=tuple(range(JOINTS)))
        away = self.mode is GateMode.NO_BUS
        return GateReply(
            True, "the bus is away; the stop holds when it is back" if away else "stopped; `reset` ends it"
        )

    def reset(self) -> GateReply:
        """End LATCHED or RELEASED: verify, seed, torque on. Refused while the fault still stands.

        Not so for overcurrent, which a servo reports until its torque has been off: switching on sees to that. An
        overload stands until the goal lies on the other side of a joint that may have sunk meanwhile: it is put there.
        """
        machine = self._machine
        if machine.mode is GateMode.NO_BUS:
            return GateReply(False, f"nothing to reset: {machine.shown.message}")
        if not machine.allows(GateEvent.RESET):
            self._somebody_is_there()
            return GateReply(True, "nothing to reset")
        found = [] if machine.reading is None else self._monitor.standing(machine.reading)
        standing = [fault for fault in found if fault.cause != causes.OVERCURRENT]
        if standing:
            relieved = machine.armed and machine.relief.relieve_again(standing, machine.reading)
            again = "; its goal was moved to the unloaded side: try again" if relieved else ""
            return GateReply(False, f"not reset: {standing[0].message}{again}")
        machine.take(GateEvent.RESET)
        return GateReply(True, "resetting: settings are verified, then torque comes on; driver_status shows the result")

    def park(self, now_ns: int) -> GateReply:
        """Move slowly to park_positions. Only in HOLD: nothing else may be moving the arm."""
        if not self._machine.allows(GateEvent.PARK):
            hint = _NO_PARKING.get(self.mode, "`reset` goes first")
            return GateReply(False, f"cannot park in state {self.state.name}: {hint}")
        if not self._path.is_still and not self._path.is_parking:
            return GateReply(False, "cannot park while the arm is still braking; try again")
        self._machine.take(GateEvent.PARK, "moving to park_positions", now_ns=now_ns)
        return GateReply(True, "parking; driver_status.parked tells when it is done")

    def release(self) -> GateReply:
        """Switch torque off. Refused unless the arm rests, parked where it is said to lie, or is let fall."""
        anywhere, rests = self._config.release_anywhere, self._config.rests_when_parked
        if self.mode is GateMode.NO_BUS:
            return GateReply(False, f"cannot release: {self._machine.shown.message}")
        if not self._machine.allows(GateEvent.RELEASE):
            return GateReply(False, "cannot release while the arm is moving: stop the action queue first")
        if anywhere or (rests and self._is_parked()):
            self._machine.take(GateEvent.RELEASE)
            return GateReply(True, "releasing")
        if rests:
            return GateReply(False, "not released: the arm would fall; park it first, or set release_anywhere")
        text = "not released: the arm would sink, since park_positions is not known to be where it rests; set "
        return GateReply(False, f"{text}rests_when_parked where it is, or support the arm and set release_anywhere")

    def stop(self) -> None:
        """Leave ENGAGED or parking for good: brake and hold, the driver is about to exit."""
        self._machine.take(GateEvent.STOP, "the driver is stopping; the arm holds")

    # --- every command and every tick -------------------------------------------------------------------------------

    def command(self, positions: npt.ArrayLike, now_ns: int) -> bool:
        """Take a command, (6,), rad, received at `now_ns`. Returns whether it is followed."""
        wanted = np.array(positions, dtype=np.float64)
        if wanted.shape != (JOINTS,) or not np.all(np.isfinite(wanted)):
            self._rejected += 1
            return False
        self._commands.watch_own_time(now_ns)
        self._somebody_is_there()
        if not self._commands.admits(wanted, now_ns):
            self._rejected += 1
            return False
        self._machine.take(GateEvent.COMMAND, positions=wanted, now_ns=now_ns)
        self._path.command(wanted, now_ns)
        self._commands.heard(now_ns)
        self._accepted += 1
        return True

    def reject_command(self) -> None:
        """Count a command that could not even be read: joints missing, lengths that differ."""
        self._rejected += 1

    def tick(self, reading: ArmReading, now_ns: int) -> GateOutput:
        """Judge a reading and return what to do now. Call once per period while the port is open."""
        machine = self._machine
        if machine.mode is GateMode.NO_BUS:
            self._commands.alive(now_ns)
            return GateOutput()
        self._commands.watch_own_time(now_ns)
        machine.see(reading)
        self._judge(reading, now_ns)
        self._limit_hold(reading, now_ns)
        goal = self._next_goal(now_ns) if machine.armed else None
        orders = machine.take_orders()
        return GateOutput(goal=goal, orders=orders, joints=machine.relief.lowered, jumped=reading.jumped)

    # --- inside: what happened? -------------------------------------------------------------------------------------

    def _judge(self, reading: ArmReading, now_ns: int) -> None:
        machine = self._machine
        findings = self._monitor.update(reading, self._path.goal, self._torque, now_ns)
        if findings.silent:
            machine.take(GateEvent.SERVOS_SILENT, "no servo answers: check the power supply and the first cable")
            return
        for fault in findings.faults:
            machine.take(GateEvent.FAULT, fault.message, cause=fault.cause, joints=fault.joints)
        if machine.mode is GateMode.LATCHED and machine.armed and reading.error_bits.any():
            machine.relief.follow_limp_joints(reading)
        elif findings.late:
            machine.take(GateEvent.ANSWERS_LATE, _LATE)
        elif findings.noisy:
            machine.take(GateEvent.NOISE, _NOISE)
        self._commands.watch_silence(now_ns)

    def _limit_hold(self, reading: ArmReading, now_ns: int) -> None:
        """Park an arm that was left holding for hold_limit_s, once, and slowly: nobody may be looking."""
        waits = self.mode is GateMode.HOLD and self._machine.shown.cause != causes.HOLD_LIMIT
        if not waits or self._machine.has_orders:
            self._hold_watch.touch()
        elif self._hold_watch.is_due(now_ns) and reading.complete and self._path.is_still:
            text = f"{self._left_alone}: moving slowly to park_positions; a command ends it"
            self._machine.take(GateEvent.HOLD_LIMIT, text, now_ns=now_ns)

    def _next_goal(self, now_ns: int) -> FloatArray:
        was_parking = self._path.is_parking
        goal = self._path.next(now_ns)
        if was_parking and not self._path.is_parking:
            self._arrive()
        return goal

    def _arrive(self) -> None:
        """An arm left alone is let lie where it is said to lie safely, else it goes on holding."""
        rests = self._config.rests_when_parked
        why = "it did not reach park_positions" if rests else "rests_when_parked is false"
        unattended = f"{self._left_alone}: parked; torque stays on, since {why}"
        text = unattended if self.mode is GateMode.UNATTENDED else _PARKED
        self._machine.take(GateEvent.ARRIVED_AT_REST if rests and self._is_parked() else GateEvent.ARRIVED, text)

    def _somebody_is_there(self) -> None:
        """Begin to count hold_limit_s again, and end the parking that it began."""
        self._hold_watch.touch()
        self._machine.take(GateEvent.SOMEBODY_IS_THERE, _HOLDING)

    def _is_parked(self) -> bool:
        if self.mode is GateMode.NO_BUS or self._path.is_parking:
            return False
        distance = np.abs(self._machine.measured - self._config.park_positions)
        return bool(np.all(distance <= self._config.park_tolerance_rad))  # NaN compares false


def _names(joints: Iterable[int]) -> str:
    return ", ".join(JOINT_NAMES[index] for index in joints)
