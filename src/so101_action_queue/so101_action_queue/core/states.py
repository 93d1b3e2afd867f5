# SPDX-License-Identifier: Apache-2.0
"""The phases of the queue and what leads from one to another: the table by which the core decides.

The core reports events and looks the next phase up here; nothing else changes it. docs/reference/states.md is printed
from the table and the tests walk every cell of it.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from so101_node.protocol import QueueState

from so101_action_queue.core import causes
from so101_action_queue.core.causes import Reason
from so101_action_queue.errors import TransitionError


class QueuePhase(Enum):
    """QueueState, with HOLDING told apart from HOLDING because somebody called `pause`.

    meaning: what the phase is, in words. state: what QueueStatus shows. is_started: rows are executed, chunks requested
    and taken. commands: each tick commands a setpoint.
    """

    IDLE = ("not started", QueueState.IDLE, False, False)
    WAITING = ("started, no chunk yet", QueueState.WAITING, True, True)
    RUNNING = ("executes rows", QueueState.RUNNING, True, True)
    STARVED = ("no row left, a request is outstanding", QueueState.STARVED, True, True)
    HOLDING = ("no row left, and no request that can bring a chunk", QueueState.HOLDING, True, True)
    PAUSED = ("paused", QueueState.HOLDING, False, True)
    STOPPED = ("stopped", QueueState.STOPPED, False, False)

    def __init__(self, meaning: str, state: QueueState, is_started: bool, commands: bool) -> None:
        self.meaning = meaning
        self.state = state
        self.is_started = is_started
        self.commands = commands

    @property
    def words(self) -> str:
        """The phase as operators know it: not started, started, paused or stopped."""
        return "started" if self.is_started else self.meaning


class QueueEvent(Enum):
    """What the core reports. The last four are what a tick found."""

    START = "`start` succeeds"
    PAUSE = "`pause`"
    STOP = "`stop`"
    FAULT = "a fault: driver, limits, this process, or the server with `on_server_lost: stop`"
    ROW_EXECUTED = "tick: a row was executed"
    NO_CHUNK_YET = "tick: no chunk was accepted yet"
    REQUEST_OUTSTANDING = "tick: no row left, a request is outstanding"
    NOTHING_OUTSTANDING = "tick: no row left, no request that can bring a chunk"


_ENDS: Final = {QueueEvent.STOP: QueuePhase.STOPPED, QueueEvent.FAULT: QueuePhase.STOPPED}
_MOVES: Final = {
    QueueEvent.ROW_EXECUTED: QueuePhase.RUNNING,
    QueueEvent.REQUEST_OUTSTANDING: QueuePhase.STARVED,
    QueueEvent.NOTHING_OUTSTANDING: QueuePhase.HOLDING,
    QueueEvent.PAUSE: QueuePhase.PAUSED,
    **_ENDS,
}
TRANSITIONS: Final[Mapping[QueuePhase, Mapping[QueueEvent, QueuePhase]]] = MappingProxyType(
    {
        QueuePhase.IDLE: {QueueEvent.START: QueuePhase.WAITING},
        QueuePhase.WAITING: {QueueEvent.NO_CHUNK_YET: QueuePhase.WAITING, **_MOVES},
        QueuePhase.RUNNING: _MOVES,
        QueuePhase.STARVED: _MOVES,
        QueuePhase.HOLDING: _MOVES,
        QueuePhase.PAUSED: _ENDS,
        QueuePhase.STOPPED: {},  # a session ends for good; `start` begins another one, in a new core
    }
)
"""Phase -> event -> next phase. What is not listed changes nothing; or cannot happen, if it is one of `TICK_EVENTS`."""
TICK_EVENTS: Final = frozenset(
    {
        QueueEvent.ROW_EXECUTED,
        QueueEvent.NO_CHUNK_YET,
        QueueEvent.REQUEST_OUTSTANDING,
        QueueEvent.NOTHING_OUTSTANDING,
    }
)
HEALTHY: Final[Mapping[QueuePhase, Reason]] = MappingProxyType(
    {
        QueuePhase.WAITING: Reason(causes.WAITING, "waiting for the first chunk"),
        QueuePhase.RUNNING: Reason(causes.RUNNING, ""),
        QueuePhase.STARVED: Reason(causes.STARVED, "waiting for a chunk"),
        QueuePhase.HOLDING: Reason(causes.WAITING_TO_ASK, "waiting to request again"),
    }
)
"""Why the queue is in a phase after a tick in which nothing was wrong."""


def next_phase(phase: QueuePhase, event: QueueEvent) -> QueuePhase | None:
    """Return the phase after `event`, or None where the event changes nothing.

    Raises:
        TransitionError: the event cannot happen in this phase.
    """
    following = TRANSITIONS[phase].get(event)
    if following is None and event in TICK_EVENTS:
        raise TransitionError(f"{event.name} reported in {phase.name}")
    return following


def tick_event(executed: bool, has_chunk: bool, has_request: bool) -> QueueEvent:
    """Return what a tick found, by three conditions in this order.

    Args:
        executed: a row was executed.
        has_chunk: any chunk was accepted in this session.
        has_request: one is outstanding, and nothing says that its chunk cannot come or would be refused.
    """
    if executed:
        return QueueEvent.ROW_EXECUTED
    if not has_chunk:
        return QueueEvent.NO_CHUNK_YET
    return QueueEvent.REQUEST_OUTSTANDING if has_request else QueueEvent.NOTHING_OUTSTANDING
