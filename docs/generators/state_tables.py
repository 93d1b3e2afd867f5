# SPDX-License-Identifier: Apache-2.0
"""Prints what the gate and the queue do in each state.

`./so101 ros python docs/generators/state_tables.py > docs/reference/states.md`

Each part begins with the transition table by which the code decides. What the world does to the queue is written down
here only as events: each cell is what the code did when it was put into that state and the event happened to it, in
virtual time.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.core.states import TICK_EVENTS, TRANSITIONS, QueueEvent, QueuePhase
from so101_action_queue.record.virtual_session import VirtualLink, VirtualSession
from so101_driver.core.gate_table import KEPT, OF_EVENT, Effect, GateEvent, GateMode, Transition, transition
from so101_node.protocol import JOINT_NAMES, DriverState, QueueState

HEADER = """# States and transitions

Written by `./so101 ros python docs/generators/state_tables.py`. The driver's part is the table by which its gate
decides (`gate_table.py`), the queue's part begins with the one by which the queue decides (`core/states.py`); for what
happens around the queue, the code is put into each state and each event happens. A test keeps the page current. A
column is a state, a row an event; `-` = nothing changes. What the causes mean and what to do:
[diagnostics](diagnostics.md).
"""

GATE = """Goals are written in HOLD, ENGAGED and LATCHED, through the motion limiter; in no other state.
HOLD has four modes. What the table does not list changes nothing and is refused. *cause*: that of the event.
"""

QUEUE = """A session is one object: it begins with `start` in IDLE, and `start` in PAUSED or STOPPED begins another one.
WAITING, STARVED, HOLDING and PAUSED command the held setpoint in every tick; IDLE and STOPPED command nothing. An empty
cell cannot happen.
"""

LATE = """### Late commands, and a queue process that was stopped

The driver brakes and holds when commands stop (`COMMAND_TIMEOUT`): the computer is overloaded, or the queue's process
was stopped (SIGSTOP, a debugger, a laptop whose lid was closed). It does the same when no servo replies for 5 ticks
(0.08 s) and nothing arrives damaged (`ANSWERS_LATE`): Linux delivers a serial port's data at ordinary priority, so
other programs can delay it. It engages again automatically on the next command near the joint positions, when all
servos reply. The queue then does this:

- **At most `resume_within_s` (2 s): it resumes automatically.** It drops the rows ahead, takes the driver's goal, where
  the arm was braked, as its setpoint, waits until the driver is ENGAGED (`engage_timeout_s`), requests a chunk, and
  ramps in with seams of at most `max_seam_rad`. It does the same after a lost server. Server and driver do not count as
  lost because the queue could not receive.
- **Longer, or late for the 4th time within 10 s: `start` is needed.** After a long time nobody knows what has happened
  around the arm, and an arm that keeps stuttering is no use. Time under a closed lid counts (CLOCK_BOOTTIME).
- **Never automatically** after anything else: another `driver_id`, LATCHED, RELEASED, NO_BUS, BUS_NOISE, PARKING, or a
  driver that is silent for `driver_lost_s`. `resume_within_s: 0` adds late commands and late servo replies to these.
"""


def _shown(step: Transition | None) -> str:
    """One cell: where the gate goes, the cause, and the effects."""
    if step is None:
        return "-"
    cause = {"": "", OF_EVENT: " *cause*", KEPT: ""}.get(step.cause, f" {step.cause}")
    effects = ", ".join(effect.name.lower().replace("_", " ") for effect in step.effects)
    where = "as before" if step.cause == KEPT else f"**{step.mode.name}**{cause}"
    return f"{where}: {effects}" if effects else where


def _gate_table() -> str:
    lines = [f"| event | {' | '.join(mode.name for mode in GateMode)} |", "|---" * (len(GateMode) + 1) + "|"]
    for event in GateEvent:
        cells = " | ".join(_shown(transition(event, mode)) for mode in GateMode)
        lines.append(f"| {event.value} | {cells} |")
    return "\n".join(lines) + "\n"


def _gate_modes() -> str:
    lines = ["| mode | `driver_status.state` | what it is |", "|---|---|---|"]
    lines += [f"| {mode.name} | {mode.state.name} | {mode.value} |" for mode in GateMode]
    lines += ["", "| effect | what happens |", "|---|---|"]
    lines += [f"| {effect.name.lower().replace('_', ' ')} | {effect.value} |" for effect in Effect]
    return "\n".join(lines) + "\n"


def _queue_phases() -> str:
    lines = ["| phase | `action_queue/status.state` | what it is |", "|---|---|---|"]
    lines += [f"| {phase.name} | {phase.state.name} | {phase.meaning} |" for phase in QueuePhase]
    return "\n".join(lines) + "\n"


def _queue_table() -> str:
    lines = [f"| event | {' | '.join(phase.name for phase in QueuePhase)} |", "|---" * (len(QueuePhase) + 1) + "|"]
    for event in QueueEvent:
        cells = (_queue_move(phase, event) for phase in QueuePhase)
        lines.append(f"| {event.value} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _queue_move(phase: QueuePhase, event: QueueEvent) -> str:
    following = TRANSITIONS[phase].get(event)
    if following is None:
        return "" if event in TICK_EVENTS else "-"
    return "-" if following is phase else f"**{following.name}**"


def _silent_server(session: VirtualSession) -> None:
    session.server_speaks = False
    session.link = VirtualLink(uplink_s=lambda _: None)
    session.run(4.0)


def _answers(session: VirtualSession) -> None:
    session.server_speaks = True
    session.link = VirtualLink()
    session.run(4.0)


def _no_answer(session: VirtualSession) -> None:
    session.link = VirtualLink(downlink_s=lambda _: None)
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
    "chunks arrive": _answers,
    "no chunk arrives, the server lives": _no_answer,
    "no heartbeat of the server": _silent_server,
    "the same, `on_server_lost: stop`": _lost_with_stop,
    "the driver leaves ENGAGED": _driver(state=DriverState.LATCHED, cause="STALL"),
    "commands late (`COMMAND_TIMEOUT`), the driver not yet engaged again": _late,
    "the driver engages again": _late_and_again,
    "the same for the 4th time within 10 s": _late_and_late,
    "the queue's process stopped for 1 s": _held_up(1.0),
    "the queue's process stopped for 60 s": _held_up(60.0),
    "another `driver_id`": _driver(driver_id=8),
    "no `driver_status`": _mute_driver,
}


def queue_in(state: QueueState) -> VirtualSession:
    """A queue in that state, by a way that leads there."""
    session = VirtualSession(QueueSettings(), lambda request: np.zeros((50, len(JOINT_NAMES))))
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


def _matrix[Kind](
    states: list[Kind], names: list[str], events: Mapping[str, Callable[..., None]], cell: Callable[..., str]
) -> str:
    lines = [f"| event | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for name, event in events.items():
        lines.append(f"| {name} | {' | '.join(cell(state, event) for state in states)} |")
    return "\n".join(lines) + "\n"


def document() -> str:
    """Return the whole page."""
    queue = _matrix(list(QueueState), [state.name for state in QueueState], QUEUE_EVENTS, _queue_cell)
    return "\n".join(
        [
            HEADER,
            "## The driver's gate (`driver_status`)\n",
            GATE,
            _gate_modes(),
            _gate_table(),
            "## The action queue (`action_queue/status`)\n",
            QUEUE,
            _queue_phases(),
            _queue_table(),
            "### What the world does to it\n",
            queue,
            LATE,
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(document())
