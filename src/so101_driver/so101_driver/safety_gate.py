"""The gate between commands and servos: closed by default, and the only place that decides which goals are written.

A state machine that is told what arrived (`command`, the requests) and what was read (`tick`), with the time as an
argument, and that answers with the goals and servo actions of this tick. It touches no port and reads no clock.

States are those of DriverStatus. HOLD opens to ENGAGED on a command near the pose; silence closes it again; a fault
latches it until `reset`. Whatever the state, goals leave only through the motion limiter.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from so101_driver import causes
from so101_driver.approach import Approach
from so101_driver.arm import JOINTS, ArmReading, BoolArray
from so101_driver.calibration import GRIPPER, JOINT_NAMES, FloatArray
from so101_driver.fault_monitor import Fault, FaultMonitor
from so101_driver.gate_values import Action, GateConfig, GateOutput, GateStatus, Outcome, State
from so101_driver.hold_watch import HoldWatch
from so101_driver.interpolation import CommandInterpolator
from so101_driver.load_relief import LoadRelief, poses_of_limp_joints
from so101_driver.motion_limits import MotionLimiter
from so101_driver.park_motion import ParkMotion

_LOWER_TORQUE_ON: Final = (causes.OVERLOAD, causes.OVERCURRENT, causes.OVERHEAT, causes.VOLTAGE)
_PROTECTIVE: Final = (Action.HOLD_HERE, Action.LOWER_TORQUE)
_NOISE: Final = (causes.BUS_NOISE, "replies of the servos are damaged or missing: check cables and grounding")
# Linux hands on what a serial port receives at ordinary priority, so other programs can hold all answers up.
_LATE: Final = (
    causes.ANSWERS_LATE,
    "no servo was heard for a moment, and nothing came damaged: look for what loads this computer, else check the "
    "power supply; a command near the pose engages the arm again",
)
_UNATTENDED_RAD_S: Final = 0.25  # of the fastest joint
_PARKED_GOAL_RAD: Final = 0.001
# A silent commander is told from a slow one, down to 10 Hz, by the period its commands had so far.
_SILENT_PERIODS: Final = 2.5
_LONGEST_SILENCE_S: Final = 0.3
_STALE_NS: Final = 100_000_000  # commands from before a standstill are delivered within this time after it


class SafetyGate:
    """See the module. Not thread-safe."""

    def __init__(self, config: GateConfig) -> None:
        self._config = config
        self._park_positions = np.clip(config.park_positions, config.limits.lower, config.limits.upper)
        self._limiter = MotionLimiter(config.limits, config.period_s)
        self._interpolator = CommandInterpolator(config.interpolate)
        self._approach = Approach()
        self._monitor = FaultMonitor(config.faults)
        self._state = State.NO_BUS
        self._cause = causes.STARTING
        self._message = "the port is not open yet"
        self._before_loss: tuple[State, str, str] | None = None
        self._pose: FloatArray = np.full(JOINTS, np.nan)
        self._last_reading: ArmReading | None = None
        self._torque: BoolArray = np.zeros(JOINTS, dtype=np.bool_)
        self._seeded = False  # goals may be written only between `prepared` and the loss of the bus or the torque
        self._actions: list[Action] = []
        self._relief = LoadRelief()
        self._settle: FloatArray | None = None  # goal to come to rest at, instead of braking where the goal is
        self._park: ParkMotion | None = None
        self._hold_watch = HoldWatch(config.hold_limit_s)
        self._release_cause = causes.RELEASED_BY_REQUEST
        self._last_command_ns = 0
        self._alive_ns: int | None = None  # when this gate was last called
        self._deaf_until_ns = 0
        self._accepted = self._rejected = self._limited = 0

    # --- what the gate says -----------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Current state."""
        return self._state

    @property
    def is_still(self) -> bool:
        """Whether the goals have come to rest, or none are written."""
        return not self._seeded or self._limiter.is_still

    @property
    def status(self) -> GateStatus:
        """Snapshot of everything that DriverStatus shows."""
        return GateStatus(
            state=self._state,
            cause=self._cause,
            message=self._message,
            parked=self._is_parked(),
            torque=self._torque.copy(),
            goal=self._limiter.goal,
            accepted=self._accepted,
            rejected=self._rejected,
            limited=self._limited,
        )

    # --- what happens to the bus ------------------------------------------------------------------------------------

    def opened(self, reading: ArmReading, torque: BoolArray) -> None:
        """The port is open, the servos are the right ones; asks for PREPARE where torque may come on by itself.

        That is at the first start, and after a loss if the pose moved less than the engage tolerance meanwhile.
        """
        before, self._before_loss = self._before_loss, None
        known_pose = self._pose
        self._pose = reading.positions.copy()
        self._last_reading = reading
        self._torque = torque.copy()
        self._monitor.reset()
        was_starting = before is not None and before[1] == causes.STARTING  # lost within PREPARE: begin it anew
        if before is not None and before[0] in (State.RELEASED, State.LATCHED) and not was_starting:
            self._enter(*before)
            return
        moved = np.abs(self._pose - known_pose)
        if np.nanmax(moved, initial=0.0) > self._config.engage_tolerance_rad:
            worst = int(np.nanargmax(moved))
            text = (
                f"{JOINT_NAMES[worst]} moved {moved[worst]:.2f} rad while the bus was away: look at the arm, then reset"
            )
            self._enter(State.LATCHED, causes.MOVED_WHILE_AWAY, text)
            return
        self._enter(State.LATCHED if torque.any() else State.RELEASED, causes.STARTING, "torque is being switched on")
        self._actions = [Action.PREPARE]

    def prepared(self, goal: npt.ArrayLike, torque: BoolArray) -> None:
        """PREPARE succeeded: all servos hold at `goal`, (6,), rad. `torque`: all of them, unless in shadow."""
        self._limiter.seed(goal)
        self._interpolator.reset(self._limiter.goal)
        self._monitor.reset()
        self._torque = torque.copy()
        self._seeded = True
        self._settle = self._park = None
        self._relief.reset()
        self._hold_watch.touch()
        self._enter(State.HOLD, "", "holding; a command near the pose engages the arm")

    def refused(self, cause: str, message: str, torque: BoolArray) -> None:
        """PREPARE failed. Servos that already had torque keep it."""
        self._torque = torque.copy()
        self._seeded = False
        self._actions.clear()
        self._enter(State.LATCHED if torque.any() else State.RELEASED, cause, message)

    def released(self) -> None:
        """TORQUE_OFF is done."""
        self._torque = np.zeros(JOINTS, dtype=np.bool_)
        self._seeded = False
        why = ""
        if self._release_cause == causes.HOLD_LIMIT:
            why = f"nobody commanded for {self._config.hold_limit_s:g} s (hold_limit_s): parked, and "
        self._enter(State.RELEASED, self._release_cause, f"{why}torque is off; `reset` switches it on again")

    def bus_lost(self, cause: str, message: str) -> None:
        """The port is gone or all servos are silent; or it still cannot be opened again."""
        if self._state is not State.NO_BUS:
            self._before_loss = (self._state, self._cause, self._message)
        self._seeded = False
        self._park = self._settle = None
        self._actions.clear()
        self._enter(State.NO_BUS, cause, message)

    def torque_lost(self, torque: BoolArray) -> None:
        """Servos that should hold report their torque off: their supply dipped, or somebody else wrote it.

        `torque`: which servos still hold, (6,). Those that were known to be without torque are not lost.
        """
        lost = np.flatnonzero(~torque & self._torque)
        if not self._seeded or not lost.size:
            return
        self._torque = torque.copy()
        names = ", ".join(JOINT_NAMES[index] for index in lost)
        text = f"{names} lost torque (power dip, or another program): check supply and cables, then reset"
        self._latch(Fault(causes.TORQUE_LOST, tuple(map(int, lost)), text))

    def let_go(self, joints: Sequence[int]) -> None:
        """HOLD_HERE had to leave these joints without torque."""
        self._torque[list(joints)] = False
        self._message += f"; without torque now: {', '.join(JOINT_NAMES[joint] for joint in joints)}"

    # --- what people ask for ----------------------------------------------------------------------------------------

    def emergency_stop(self) -> Outcome:
        """Brake as hard as the limits allow, hold near the pose, and stay so until `reset`."""
        text = "emergency stop; `reset` ends it"
        if self._state is State.NO_BUS:
            self._before_loss = (State.LATCHED, causes.EMERGENCY_STOP, text)
            return Outcome(True, "the bus is away; the stop holds when it is back")
        self._latch(Fault(causes.EMERGENCY_STOP, tuple(range(JOINTS)), text))
        return Outcome(True, "stopped; `reset` ends it")

    def reset(self) -> Outcome:
        """End LATCHED or RELEASED: verify, seed, torque on. Refused while the fault still stands.

        Not so for overcurrent, which a servo reports until its torque has been off: switching on sees to that. An
        overload stands until the goal lies on the other side of a joint that may have sunk meanwhile: it is put there.
        """
        if self._state is State.NO_BUS:
            return Outcome(False, f"nothing to reset: {self._message}")
        if self._state in (State.HOLD, State.ENGAGED):
            self._somebody_is_there()
            return Outcome(True, "nothing to reset")
        found = [] if self._last_reading is None else self._monitor.standing(self._last_reading)
        standing = [fault for fault in found if fault.cause != causes.OVERCURRENT]
        if standing:
            overloaded = [joint for fault in standing if fault.cause == causes.OVERLOAD for joint in fault.joints]
            relieved = "; its goal was taken back from the load: try again" if self._relieve(overloaded) else ""
            return Outcome(False, f"not reset: {standing[0].message}{relieved}")
        self._actions = [Action.PREPARE]
        return Outcome(True, "resetting: settings are verified, then torque comes on; driver_status shows the result")

    def park(self, now_ns: int) -> Outcome:
        """Move slowly to park_positions. Only in HOLD: nothing else may be moving the arm."""
        if self._state is not State.HOLD:
            hint = "stop the action queue first" if self._state is State.ENGAGED else "`reset` goes first"
            return Outcome(False, f"cannot park in state {self._state.name}: {hint}")
        if not self._limiter.is_still and self._park is None:
            return Outcome(False, "cannot park while the arm is still braking; try again")
        self._begin_park(self._config.park_speed_rad_s, now_ns)
        self._enter(State.HOLD, causes.PARKING, "moving to park_positions")
        return Outcome(True, "parking; driver_status.parked tells when it is done")

    def release(self) -> Outcome:
        """Switch torque off. Refused unless the arm rests, parked in a pose that is said to be one, or is let fall."""
        if self._state is State.NO_BUS:
            return Outcome(False, f"cannot release: {self._message}")
        if self._state is State.ENGAGED or self._park is not None:
            return Outcome(False, "cannot release while the arm is moving: stop the action queue first")
        if not (self._config.release_anywhere or self._config.rests_when_parked):
            return Outcome(
                False,
                "not released: the arm would sink, since park_positions is not known to be a pose in which it rests; "
                "set rests_when_parked where it is, or support the arm and set release_anywhere",
            )
        if not (self._config.release_anywhere or self._is_parked()):
            return Outcome(False, "not released: the arm would fall; park it first, or set release_anywhere")
        self._release_cause = causes.RELEASED_BY_REQUEST
        self._actions = [Action.TORQUE_OFF]
        return Outcome(True, "releasing")

    def stop(self) -> None:
        """Leave ENGAGED or parking for good: brake and hold, the driver is about to exit."""
        if self._state in (State.HOLD, State.ENGAGED):
            self._hold(causes.STOPPING, "the driver is stopping; the arm holds")

    # --- every command and every tick -------------------------------------------------------------------------------

    def command(self, positions: npt.ArrayLike, now_ns: int) -> bool:
        """Take a command, (6,), rad, received at `now_ns`. Returns whether it is followed."""
        wanted = np.array(positions, dtype=np.float64)
        if wanted.shape != (JOINTS,) or not np.all(np.isfinite(wanted)):
            self._rejected += 1
            return False
        self._watch_own_time(now_ns)
        self._somebody_is_there()
        if now_ns < self._deaf_until_ns or not self._admits(wanted):
            self._rejected += 1
            return False
        if self._state is State.HOLD:
            self._interpolator.reset(wanted)
            self._approach.begin(self._limiter.goal - wanted, now_ns)
            self._settle = None
            self._enter(State.ENGAGED, "", "")
        self._interpolator.command(wanted, now_ns)
        self._last_command_ns = now_ns
        self._accepted += 1
        return True

    def reject_command(self) -> None:
        """Count a command that could not even be read: joints missing, lengths that differ."""
        self._rejected += 1

    def tick(self, reading: ArmReading, now_ns: int) -> GateOutput:
        """Judge a reading and return what to do now. Call once per period while the port is open."""
        if self._state is State.NO_BUS:
            self._alive_ns = now_ns
            return GateOutput()
        self._watch_own_time(now_ns)
        self._pose = np.where(reading.answered, reading.positions, self._pose)
        self._last_reading = reading
        findings = self._monitor.update(reading, self._limiter.goal, self._torque, now_ns)
        if findings.silent:
            self.bus_lost(causes.SERVOS_SILENT, "no servo answers: check the power supply and the first cable")
            return GateOutput(actions=(Action.CLOSE_PORT,))
        for fault in findings.faults:
            if self._state in (State.HOLD, State.ENGAGED):
                self._latch(fault)
            elif self._state is State.LATCHED and self._protect(fault) and self._cause != causes.POSITION_JUMP:
                self._message += f"; {fault.message}"
        if self._state is State.LATCHED and self._seeded and reading.error_bits.any():
            tolerance = self._config.emergency_error_rad
            self._settle_at(poses_of_limp_joints(reading, self._limiter.goal, tolerance))
        elif findings.noisy and (self._state is State.ENGAGED or self._park is not None):
            self._hold(*(_LATE if findings.late else _NOISE))
        timeout_s = self._command_timeout_s()
        if self._state is State.ENGAGED and now_ns - self._last_command_ns > timeout_s * 1e9:
            self._time_out(f"no command for {timeout_s:.2g} s")
        self._limit_hold(reading, now_ns)
        goal = self._next_goal(now_ns) if self._seeded else None
        actions, self._actions = tuple(self._actions), []
        return GateOutput(goal=goal, actions=actions, joints=self._relief.lowered, jumped=reading.jumped)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _next_goal(self, now_ns: int) -> FloatArray:
        if self._state is State.ENGAGED:
            goal, limited = self._limiter.follow(self._interpolator.sample(now_ns) + self._approach.remaining(now_ns))
            self._limited += limited
            return goal
        if self._park is not None:
            goal, _ = self._limiter.follow(self._park.sample(now_ns))
            there = np.abs(goal - self._park_positions) <= _PARKED_GOAL_RAD  # limits may have made it late
            if self._park.is_over(now_ns) and np.all(there):
                self._park = None
                if self._cause == causes.HOLD_LIMIT:
                    self._rest()
                else:
                    self._enter(State.HOLD, "", "parked; a command near the pose engages the arm")
            return goal
        if self._settle is not None:
            goal, _ = self._limiter.follow(self._settle)
            return goal
        return self._limiter.slow_down(self._config.hold_deceleration_rad_s2)

    def _watch_own_time(self, now_ns: int) -> None:
        """Where the driver itself stood still, what goes by the clock has run on: it begins again from the goal."""
        stood_ns = 0 if self._alive_ns is None else now_ns - self._alive_ns
        self._alive_ns = max(now_ns, self._alive_ns or 0)
        if stood_ns > _LONGEST_SILENCE_S * 1e9:
            self._deaf_until_ns = now_ns + _STALE_NS
        if self._park is not None and stood_ns > _STALE_NS:
            self._begin_park(self._park.peak_speed, now_ns)
        elif self._state is State.ENGAGED and stood_ns > self._command_timeout_s() * 1e9:
            self._time_out("the driver itself stood still")

    def _time_out(self, why: str) -> None:
        self._hold(causes.COMMAND_TIMEOUT, f"{why}; a command near the pose engages the arm again")

    def _begin_park(self, speed_rad_s: float, now_ns: int) -> None:
        speed = min(speed_rad_s, float(self._config.limits.max_speed.min()))
        self._park = ParkMotion(self._limiter.goal, self._park_positions, speed, now_ns)
        self._settle = None

    def _limit_hold(self, reading: ArmReading, now_ns: int) -> None:
        """Park an arm that was left holding for hold_limit_s, once, and slowly: nobody may be looking."""
        holds = self._state is State.HOLD and self._seeded and self._park is None
        if not holds or self._cause in (causes.STOPPING, causes.HOLD_LIMIT):
            self._hold_watch.touch()
        elif self._hold_watch.is_due(now_ns) and reading.complete and self._limiter.is_still:
            self._begin_park(min(self._config.park_speed_rad_s, _UNATTENDED_RAD_S), now_ns)
            text = (
                f"nobody commanded for {self._config.hold_limit_s:g} s (hold_limit_s): moving slowly to park_positions"
            )
            self._enter(State.HOLD, causes.HOLD_LIMIT, f"{text}; a command ends it")

    def _rest(self) -> None:
        """The arm left alone is at park_positions: let it lie where it is said to lie safely, else go on holding."""
        if self._config.rests_when_parked and self._is_parked():
            self._release_cause = causes.HOLD_LIMIT
            self._actions.append(Action.TORQUE_OFF)
            return
        why = "it did not reach park_positions" if self._config.rests_when_parked else "rests_when_parked is false"
        text = (
            f"nobody commanded for {self._config.hold_limit_s:g} s (hold_limit_s): parked; torque stays on, since {why}"
        )
        self._enter(State.HOLD, causes.HOLD_LIMIT, text)

    def _somebody_is_there(self) -> None:
        """Begin to count hold_limit_s again, and end the parking that it began."""
        self._hold_watch.touch()
        if self._park is not None and self._cause == causes.HOLD_LIMIT:
            self._hold("", "holding; a command near the pose engages the arm")

    def _command_timeout_s(self) -> float:
        """command_timeout_s, or 2.5 periods of the commands where these are slow: at 10 Hz one comes every 0.1 s."""
        return max(
            self._config.command_timeout_s, min(_SILENT_PERIODS * self._interpolator.period_s, _LONGEST_SILENCE_S)
        )

    def _admits(self, wanted: FloatArray) -> bool:
        """Whether a finite command may be followed now."""
        if self._state not in (State.HOLD, State.ENGAGED) or self._park is not None or self._cause == causes.STOPPING:
            return False
        limits = self._config.limits
        excess = np.maximum(limits.lower - wanted, wanted - limits.upper)
        if np.any(excess > self._config.implausible_rad):
            return False
        if self._state is State.ENGAGED:
            return True
        if self._cause == causes.ANSWERS_LATE and not (self._last_reading and self._last_reading.complete):
            return False  # where the arm is will be known again soon
        # Near the pose, or near the goal in force: a gripper that holds an object has its goal beyond its position.
        distance = np.fmin(np.abs(wanted - self._pose), np.abs(wanted - self._limiter.goal))
        far = int(np.argmax(distance))
        if distance[far] <= self._config.engage_tolerance_rad:
            return True
        self._message = (
            f"command ignored: {JOINT_NAMES[far]} is commanded {distance[far]:.2f} rad away from the pose, more than "
            f"{self._config.engage_tolerance_rad:g}; start the commands where the arm stands"
        )
        return False

    def _latch(self, fault: Fault) -> None:
        self._park = None
        self._settle = None
        self._actions = []  # an earlier PREPARE must not undo the latch
        if fault.cause in (causes.EMERGENCY_STOP, causes.STALL) and self._seeded:
            allowed = self._config.emergency_error_rad if fault.cause == causes.EMERGENCY_STOP else 0.0
            pose = np.where(np.isnan(self._pose), self._limiter.goal, self._pose)
            goal = np.clip(self._limiter.goal, pose - allowed, pose + allowed)
            self._settle_at({joint: float(goal[joint]) for joint in fault.joints})
        self._protect(fault)
        self._enter(State.LATCHED, fault.cause, fault.message)

    def _protect(self, fault: Fault) -> bool:
        """Lower the torque limit of joints that suffer, of each once, and take the load from overloaded ones.

        Returns whether there was anything to do.
        """
        if fault.cause == causes.POSITION_JUMP:
            jumped = self._last_reading.jumped if self._last_reading is not None else ()
            return bool(jumped) and self._act(Action.HOLD_HERE)
        fresh = self._relief.lower(fault.joints) if fault.cause in _LOWER_TORQUE_ON else ()
        if fresh:
            self._act(Action.LOWER_TORQUE)
        if fault.cause == causes.OVERLOAD:
            self._relieve([joint for joint in fresh if joint != GRIPPER])  # it would let go of what it holds
        return bool(fresh)

    def _act(self, action: Action) -> bool:
        """Have a fault's action done in this tick; an earlier PREPARE must not undo it. Returns True."""
        self._actions = [earlier for earlier in self._actions if earlier in _PROTECTIVE and earlier != action]
        self._actions.append(action)
        return True

    def _relieve(self, joints: Sequence[int]) -> bool:
        """Put the goals of overloaded joints beyond their load, which alone ends an overload. False: cannot."""
        if not (joints and self._seeded) or self._last_reading is None:
            return False
        self._settle_at(self._relief.beyond_load(joints, self._limiter.goal, self._last_reading))
        return True

    def _settle_at(self, goals: Mapping[int, float]) -> None:
        """Bring some joints to rest at these goals, rad, by index, and the others where their goal is now."""
        if not goals:
            return
        settle = self._limiter.goal if self._settle is None else self._settle
        for joint, goal in goals.items():
            settle[joint] = goal
        self._settle = settle

    def _hold(self, cause: str, message: str) -> None:
        self._park = None
        self._settle = None
        self._enter(State.HOLD, cause, message)

    def _enter(self, state: State, cause: str, message: str) -> None:
        self._state, self._cause, self._message = state, cause, message

    def _is_parked(self) -> bool:
        if self._state is State.NO_BUS or self._park is not None:
            return False
        distance = np.abs(self._pose - self._park_positions)
        return bool(np.all(distance <= self._config.park_tolerance_rad))  # NaN compares false
