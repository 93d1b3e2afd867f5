"""Prints what the gate and the queue do in each state: `python -m so101_tools.state_tables > docs/states.md`.

Nothing is written down here but the events: each cell is what the code did when it was put into that state and the
event happened to it, in virtual time.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from so101_action_queue.decisions import QueueState
from so101_action_queue.inputs import DriverState
from so101_action_queue.settings import JOINTS, Settings
from so101_action_queue.virtual_session import Link, VirtualSession
from so101_driver.arm import ArmReading, BoolArray
from so101_driver.calibration import FloatArray, IntArray
from so101_driver.gate_values import Action, GateConfig, Outcome, State
from so101_driver.motion_limits import MotionLimits
from so101_driver.registers import StatusBits
from so101_driver.safety_gate import SafetyGate

from so101_driver import causes

TICK_NS = 16_666_667
ON = np.ones(6, dtype=np.bool_)
ROLL = 4
HOLD_LIMIT_S = 5.0

HEADER = """# States and transitions

Written by `python -m so101_tools.state_tables`, which puts the code into each state and lets each event happen to it; a
test keeps it true. A column is a state, a row an event; `-` = nothing changes. What the causes mean and what to do:
[diagnostics.md](diagnostics.md).
"""


LATE = """### Late commands, and a queue that stood still

The driver brakes and holds when commands stop coming (`COMMAND_TIMEOUT`): the computer is overloaded, or the queue's
process stood still (SIGSTOP, a debugger, a laptop whose lid was closed). Likewise when it hears no servo for 5 ticks
(0.08 s) and nothing came damaged (`ANSWERS_LATE`): Linux hands on what a serial port receives at ordinary priority, so
other programs can hold that up. It engages again by itself on the next command near the pose, with all servos heard.
What the queue does then:

- **At most `resume_within_s` (2 s): it goes on by itself.** It drops the rows ahead, takes the driver's goal, where the
  arm was braked, as its setpoint, waits until the driver is ENGAGED (`engage_timeout_s`), asks again, and ramps in with
  seams of at most `max_seam_rad`. That is what it does after a server was lost, too. Server and driver do not
  count as lost because the queue could not listen.
- **Longer, or late for the 4th time within 10 s: `start` is needed.** After a long time nobody knows what has happened
  around the arm; and an arm that stutters on is no use. Time under a closed lid counts (CLOCK_BOOTTIME).
- **Never by itself** after anything else: another `driver_id`, LATCHED, RELEASED, NO_BUS, BUS_NOISE, PARKING, or a
  driver that is silent for `driver_lost_s`. `resume_within_s: 0` adds late commands and answers to these.
"""


class GateInState:
    """A safety gate with an arm that stands where its goals are."""

    def __init__(self) -> None:
        limits = MotionLimits(np.full(6, -1.5), np.full(6, 1.5), np.full(6, 6.0), np.full(6, 300.0))
        config = GateConfig(
            limits=limits,
            park_positions=np.full(6, 0.5),
            release_anywhere=True,
            rests_when_parked=True,
            hold_limit_s=HOLD_LIMIT_S,
        )
        self.gate = SafetyGate(config)
        self.now_ns = 1_000_000_000
        self.pose: FloatArray = np.zeros(6)
        self.follows = True
        self.change: Callable[[ArmReading], ArmReading] = lambda reading: reading
        self.answer = ""

    def reading(self) -> ArmReading:
        """A healthy arm, or what `change` makes of it."""
        healthy = ArmReading(
            positions=self.pose.copy(),
            velocities=np.zeros(6),
            loads=np.zeros(6),
            voltages=np.full(6, 12.0),
            temperatures=np.full(6, 30.0),
            currents=np.full(6, 0.1),
            error_bits=np.zeros(6, dtype=np.int64),
            answered=ON.copy(),
        )
        return self.change(healthy)

    def run(self, seconds: float, commands: bool = False) -> None:
        """Tick for that long, with a command at the goal in each tick if wanted."""
        for _ in range(round(seconds * 60)):
            self.now_ns += TICK_NS
            if commands:
                self.gate.command(self.pose, self.now_ns)
            output = self.gate.tick(self.reading(), self.now_ns)
            if output.goal is not None and self.follows:
                self.pose = output.goal
            if Action.PREPARE in output.actions:
                self.gate.prepared(self.pose, ON)
            if Action.TORQUE_OFF in output.actions:
                self.gate.released()

    def open(self, moved_rad: float = 0.0) -> None:
        """The port is open and all servos answer."""
        if self.gate.state is not State.NO_BUS:
            return
        self.pose = self.pose + moved_rad
        self.gate.opened(self.reading(), ON)
        self.run(0.1)

    def ask(self, outcome: Outcome) -> None:
        """Keep a service's answer."""
        self.answer = "" if outcome.accepted else "refused"
        self.run(0.1, commands=self.gate.state is State.ENGAGED)


def _spoil(**changes: object) -> Callable[[ArmReading], ArmReading]:
    return lambda reading: replace(reading, **changes)  # type: ignore[arg-type]


def _all_but_roll() -> BoolArray:
    answered = ON.copy()
    answered[ROLL] = False
    return answered


def _bits(bit: int) -> IntArray:
    bits = np.zeros(6, dtype=np.int64)
    bits[ROLL] = bit
    return bits


def _silent_servo(arm: GateInState) -> None:
    arm.change = _spoil(answered=_all_but_roll())
    arm.run(0.15, commands=True)


def _noise(arm: GateInState) -> None:
    arm.change = _spoil(answered=_all_but_roll(), garbled=True)
    arm.run(0.15, commands=True)


def _silent_bus(arm: GateInState) -> None:
    arm.change = _spoil(answered=~ON)
    arm.run(0.4, commands=True)


def _overload(arm: GateInState) -> None:
    arm.change = _spoil(error_bits=_bits(StatusBits.OVERLOAD))
    arm.run(0.1, commands=True)


def _blocked(arm: GateInState) -> None:
    arm.follows = False
    arm.pose = arm.pose - 0.3
    arm.change = _spoil(currents=np.full(6, 2.0))
    arm.run(0.7)


def _jump(arm: GateInState) -> None:
    arm.change = _spoil(jumps={ROLL: "wrist_roll went over the seam"}, jumped=(ROLL,))
    arm.run(0.05, commands=True)


def _long_hold(arm: GateInState) -> None:
    arm.run(HOLD_LIMIT_S + 0.2, commands=arm.gate.state is State.ENGAGED)


def _long_hold_at_rest(arm: GateInState) -> None:
    """The pose in which the table's arms stand is park_positions here."""
    arm.gate.park(arm.now_ns)
    arm.run(2.0, commands=arm.gate.state is State.ENGAGED)
    _long_hold(arm)
    arm.run(1.0, commands=arm.gate.state is State.ENGAGED)


def _far_command(arm: GateInState) -> None:
    before = arm.gate.status.accepted
    arm.gate.command(arm.pose + 0.5, arm.now_ns)
    arm.answer = "" if arm.gate.status.accepted > before else "ignored"
    arm.run(0.05)


def _reset_too_early(arm: GateInState) -> None:
    arm.change = _spoil(error_bits=_bits(StatusBits.OVERLOAD))
    arm.run(0.1, commands=True)
    arm.ask(arm.gate.reset())


GATE_EVENTS: Mapping[str, Callable[[GateInState], None]] = {
    "port open, pose as before": lambda arm: arm.open(),
    "port open, pose moved by 0.5 rad": lambda arm: arm.open(0.5),
    "command near the pose": lambda arm: arm.run(0.05, commands=True),
    "command 0.5 rad from the pose": _far_command,
    "no command for `command_timeout_s`": lambda arm: arm.run(0.2),
    "joint blocked for `stall_time_s`": _blocked,
    "overload bit of a servo": _overload,
    "a joint's count over the encoder's seam, or an impossible jump": _jump,
    "one servo silent": _silent_servo,
    "damaged replies": _noise,
    "all servos silent for 0.3 s": _silent_bus,
    "torque of a servo gone": lambda arm: arm.gate.torque_lost(_all_but_roll()),
    "no command for `hold_limit_s`": _long_hold,
    "the same, parked where `rests_when_parked`": _long_hold_at_rest,
    "serial port gone": lambda arm: arm.gate.bus_lost(causes.PORT_LOST, ""),
    "`emergency_stop`": lambda arm: arm.ask(arm.gate.emergency_stop()),
    "`reset`": lambda arm: arm.ask(arm.gate.reset()),
    "`reset` while an overload lasts": _reset_too_early,
    "`park`": lambda arm: arm.ask(arm.gate.park(arm.now_ns)),
    "`release` (`release_anywhere` set)": lambda arm: arm.ask(arm.gate.release()),
    "the driver is told to end": lambda arm: arm.gate.stop(),
}


def gate_in(state: State) -> GateInState:
    """A gate in that state, by a way that leads there."""
    arm = GateInState()
    arm.open()
    if state is State.NO_BUS:
        arm.gate.bus_lost(causes.PORT_LOST, "")
    elif state is State.ENGAGED:
        arm.run(0.1, commands=True)
    elif state is State.LATCHED:
        arm.gate.emergency_stop()
        arm.run(0.1)
    elif state is State.RELEASED:
        arm.gate.release()
        arm.run(0.1)
    if arm.gate.state is not state:
        raise RuntimeError(f"no way to {state.name}: the gate is {arm.gate.state.name}")
    return arm


def _gate_cell(state: State, event: Callable[[GateInState], None]) -> str:
    arm = gate_in(state)
    before = (arm.gate.state, arm.gate.status.cause)
    event(arm)
    after = (arm.gate.state, arm.gate.status.cause)
    return _cell(before, after, arm.answer)


def _silent_server(session: VirtualSession) -> None:
    session.server_speaks = False
    session.link = Link(uplink_s=lambda _: None)
    session.run(4.0)


def _answers(session: VirtualSession) -> None:
    session.server_speaks = True
    session.link = Link()
    session.run(4.0)


def _no_answer(session: VirtualSession) -> None:
    session.link = Link(downlink_s=lambda _: None)
    session.run(2.5)


def _driver(**changes: object) -> Callable[[VirtualSession], None]:
    def happen(session: VirtualSession) -> None:
        session.driver = replace(session.driver, **changes)  # type: ignore[arg-type]
        session.run(1.0)

    return happen


def _late(session: VirtualSession) -> None:
    session.driver_engages_again = False
    session.driver = replace(session.driver, state=DriverState.HOLD, cause="COMMAND_TIMEOUT")
    session.run(0.3)


def _late_and_again(session: VirtualSession) -> None:
    _late(session)
    session.driver_engages_again = True
    session.run(2.0)


def _late_and_late(session: VirtualSession) -> None:
    for _ in range(3):
        _late_and_again(session)
    _late(session)


def _held_up(seconds: float) -> Callable[[VirtualSession], None]:
    def happen(session: VirtualSession) -> None:
        session.hold_up(seconds)
        session.run(2.0)

    return happen


def _mute_driver(session: VirtualSession) -> None:
    session.driver_speaks = False
    session.run(2.0)


def _lost_with_stop(session: VirtualSession) -> None:
    core = session.journal.core
    session.journal.change(session.now_ns, replace(core.settings, on_server_lost="stop"))
    _silent_server(session)


def _start(session: VirtualSession) -> None:
    if session.journal.core.state in (QueueState.IDLE, QueueState.STOPPED):
        session.driver = replace(session.driver, state=DriverState.HOLD, cause="")
        session.run(0.3)
    if session.journal.start(session.now_ns, 4712).done:
        session.run(0.1)


def _stop(session: VirtualSession) -> None:
    session.journal.stop(session.now_ns)


def _pause(session: VirtualSession) -> None:
    session.journal.pause(session.now_ns)


QUEUE_EVENTS: Mapping[str, Callable[[VirtualSession], None]] = {
    "`start`": _start,
    "`stop`": _stop,
    "`pause`": _pause,
    "answers come": _answers,
    "no answer comes, the server lives": _no_answer,
    "no heartbeat of the server": _silent_server,
    "the same, `on_server_lost: stop`": _lost_with_stop,
    "the driver leaves ENGAGED": _driver(state=DriverState.LATCHED, cause="STALL"),
    "commands late (`COMMAND_TIMEOUT`), the driver not yet engaged again": _late,
    "the driver engages again": _late_and_again,
    "the same for the 4th time within 10 s": _late_and_late,
    "the queue itself stood still for 1 s": _held_up(1.0),
    "the queue itself stood still for 60 s": _held_up(60.0),
    "another `driver_id`": _driver(driver_id=8),
    "no `driver_status`": _mute_driver,
}


def queue_in(state: QueueState) -> VirtualSession:
    """A queue in that state, by a way that leads there."""
    session = VirtualSession(Settings(), lambda question: np.zeros((50, len(JOINTS))))
    if state is not QueueState.IDLE:
        session.start()
    if state is QueueState.WAITING:
        _no_answer(session)
    elif state is not QueueState.IDLE:
        session.run(2.0)
    if state is QueueState.STARVED:
        _no_answer(session)
    elif state is QueueState.HOLDING:
        _silent_server(session)
    elif state is QueueState.STOPPED:
        session.journal.stop(session.now_ns)
    if session.journal.core.state is not state:
        raise RuntimeError(f"no way to {state.name}: the queue is {session.journal.core.state.name}")
    return session


def _queue_cell(state: QueueState, event: Callable[[VirtualSession], None]) -> str:
    session = queue_in(state)
    event(session)
    core = session.journal.core
    return "-" if core.state is state else f"**{core.state.name}**" + (f" {core.cause}" if core.cause else "")


def _cell(before: tuple[State, str], after: tuple[State, str], answer: str) -> str:
    if answer:
        return answer
    if before == after:
        return "-"
    return f"**{after[0].name}**" + (f" {after[1]}" if after[1] else "")


def _matrix[Kind](
    states: list[Kind], names: list[str], events: Mapping[str, Callable[..., None]], cell: Callable[..., str]
) -> str:
    lines = [f"| event | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for name, event in events.items():
        lines.append(f"| {name} | {' | '.join(cell(state, event) for state in states)} |")
    return "\n".join(lines) + "\n"


def document() -> str:
    """Return the whole page."""
    gate = _matrix(list(State), [state.name for state in State], GATE_EVENTS, _gate_cell)
    queue = _matrix(list(QueueState), [state.name for state in QueueState], QUEUE_EVENTS, _queue_cell)
    return "\n".join(
        [
            HEADER,
            "## The driver's gate (`driver_status`)\n",
            "Goals are written in HOLD, ENGAGED and LATCHED, through the motion limiter; else none is.\n",
            gate,
            "## The action queue (`action_queue/status`)\n",
            "WAITING, STARVED and HOLDING command the held setpoint in every tick; IDLE and STOPPED command nothing.\n",
            queue,
            LATE,
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(document())
