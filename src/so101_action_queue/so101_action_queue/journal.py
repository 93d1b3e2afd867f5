"""Every input in the order the core saw it, with what it decided: enough to replay a session bit for bit.

A session begins with a fresh core and the newest inputs from before it, under their own times, so that the log of one
session needs nothing that came earlier.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from so101_action_queue.decisions import ChunkDecision, Outcome, QueueState, TickDecision
from so101_action_queue.inputs import Answer, DriverReport, JointLimits, Pose, ServerReport
from so101_action_queue.queue_core import ActionQueue
from so101_action_queue.settings import Settings

REMEMBERED_SERVERS = 8


class InputKind(IntEnum):
    """QueueDecision.input."""

    CONFIGURE = 0
    TICK = 1
    CHUNK = 2
    POLICY_STATUS = 3
    DRIVER_STATUS = 4
    JOINT_LIMITS = 5
    START = 6
    STOP = 7
    PAUSE = 8
    TASK = 9


Decision = TickDecision | ChunkDecision | Outcome | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One input and its decision. `source` is the message behind the input where there is one, else the value."""

    sequence: int
    session: int
    now_ns: int
    kind: InputKind
    value: Any
    source: Any
    decision: Decision
    state: QueueState
    cause: str
    step: int
    length: int


def apply(core: ActionQueue, kind: InputKind, now_ns: int, value: Any) -> Decision:
    """Give one input to the core: the only way in, for the node and for a replay alike."""
    match kind:
        case InputKind.TICK:
            return core.tick(now_ns, value)
        case InputKind.CHUNK:
            return core.take_answer(now_ns, value)
        case InputKind.START:
            return core.start(now_ns, value)
        case InputKind.STOP:
            return core.stop(now_ns)
        case InputKind.PAUSE:
            return core.pause(now_ns)
        case InputKind.CONFIGURE:
            core.configure(now_ns, value)
        case InputKind.TASK:
            core.set_task(now_ns, value)
        case InputKind.JOINT_LIMITS:
            core.set_limits(now_ns, value)
        case InputKind.DRIVER_STATUS:
            core.hear_driver(now_ns, value)
        case InputKind.POLICY_STATUS:
            core.hear_server(now_ns, value)
    return None


@dataclass(frozen=True, slots=True)
class _Remembered:
    kind: InputKind
    now_ns: int
    value: Any
    source: Any


class Journal:
    """The core of the running session, and the log of what goes into it. Not thread-safe."""

    def __init__(self, now_ns: int, settings: Settings, sink: Callable[[Entry], None]) -> None:
        self._sink = sink
        self._sequence = 0
        self._newest: dict[tuple[InputKind, int], _Remembered] = {}
        self._settings = settings
        self.core = ActionQueue(now_ns, settings)
        self._log(self._entry(self.core, InputKind.CONFIGURE, now_ns, settings, settings, None, 0))

    def change(self, now_ns: int, settings: Settings) -> None:
        """Changed parameters; a change of nothing but the task is logged as such."""
        only_task = settings == replace(self._settings, task=settings.task)
        self._settings = settings
        if only_task:
            self._apply(InputKind.TASK, now_ns, settings.task, settings.task)
        else:
            self._apply(InputKind.CONFIGURE, now_ns, settings, settings)

    def set_limits(self, now_ns: int, limits: JointLimits, source: Any = None) -> None:
        """A JointLimits."""
        self._remember(InputKind.JOINT_LIMITS, 0, now_ns, limits, source)
        self._apply(InputKind.JOINT_LIMITS, now_ns, limits, source)

    def hear_driver(self, now_ns: int, report: DriverReport, source: Any = None) -> None:
        """A DriverStatus."""
        self._remember(InputKind.DRIVER_STATUS, 0, now_ns, report, source)
        self._apply(InputKind.DRIVER_STATUS, now_ns, report, source)

    def hear_server(self, now_ns: int, report: ServerReport, source: Any = None) -> None:
        """A PolicyStatus."""
        self._remember(InputKind.POLICY_STATUS, report.server_id, now_ns, report, source)
        self._apply(InputKind.POLICY_STATUS, now_ns, report, source)

    def take_answer(self, now_ns: int, answer: Answer, source: Any = None) -> ChunkDecision:
        """An ActionChunk."""
        decision = self._apply(InputKind.CHUNK, now_ns, answer, source)
        assert isinstance(decision, ChunkDecision)
        return decision

    def tick(self, now_ns: int, pose: Pose | None) -> TickDecision:
        """A control tick."""
        decision = self._apply(InputKind.TICK, now_ns, pose, pose)
        assert isinstance(decision, TickDecision)
        return decision

    def stop(self, now_ns: int) -> Outcome:
        """The operator's stop."""
        decision = self._apply(InputKind.STOP, now_ns, None, None)
        assert isinstance(decision, Outcome)
        return decision

    def pause(self, now_ns: int) -> Outcome:
        """The operator's pause."""
        decision = self._apply(InputKind.PAUSE, now_ns, None, None)
        assert isinstance(decision, Outcome)
        return decision

    def start(self, now_ns: int, session: int) -> Outcome:
        """The operator's start: a fresh core under the number `session`, fed with what is known, or a refusal."""
        if self.core.is_started:
            return Outcome(True, "already started")
        known = sorted(self._newest.values(), key=lambda item: item.now_ns)
        began_ns = known[0].now_ns if known else now_ns
        core = ActionQueue(began_ns, self._settings)
        entries = [self._entry(core, InputKind.CONFIGURE, began_ns, self._settings, self._settings, None, session)]
        for item in known:
            decision = apply(core, item.kind, item.now_ns, item.value)
            entries.append(self._entry(core, item.kind, item.now_ns, item.value, item.source, decision, session))
        core.notices = self.core.notices  # what these inputs give rise to was said when they first came
        outcome = core.start(now_ns, session)
        if not outcome.done:
            return outcome  # the old core goes on as if nobody had asked
        entries.append(self._entry(core, InputKind.START, now_ns, session, None, outcome, session))
        self.core = core
        for entry in entries:
            self._log(entry)
        return outcome

    def _remember(self, kind: InputKind, key: int, now_ns: int, value: Any, source: Any) -> None:
        self._newest[kind, key] = _Remembered(kind, now_ns, value, source)
        servers = [known for known in self._newest if known[0] is InputKind.POLICY_STATUS]
        if len(servers) > REMEMBERED_SERVERS:
            del self._newest[min(servers, key=lambda known: self._newest[known].now_ns)]

    def _apply(self, kind: InputKind, now_ns: int, value: Any, source: Any) -> Decision:
        decision = apply(self.core, kind, now_ns, value)
        self._log(self._entry(self.core, kind, now_ns, value, source, decision, self.core.session))
        return decision

    @staticmethod
    def _entry(
        core: ActionQueue, kind: InputKind, now_ns: int, value: Any, source: Any, decision: Decision, session: int
    ) -> Entry:
        state = (core.state, core.cause, core.execution.step, core.execution.length)
        return Entry(0, session, now_ns, kind, value, source, decision, *state)

    def _log(self, entry: Entry) -> None:
        self._sequence += 1
        self._sink(replace(entry, sequence=self._sequence))
