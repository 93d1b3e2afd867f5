# SPDX-License-Identifier: Apache-2.0
"""Every input in the order the core saw it, with what it decided: enough to replay a session bit for bit.

A session begins with a fresh core and the newest inputs from before it, under their own times, so that the log of one
session needs nothing that came earlier.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from so101_node.protocol import DecisionInput, QueueState

from so101_action_queue.core.decisions import ChunkDecision, ServiceResult, TickDecision
from so101_action_queue.core.inputs import DriverReport, JointLimits, JointPositions, ReceivedChunk, ServerReport
from so101_action_queue.core.queue_core import ActionQueue
from so101_action_queue.core.settings import QueueSettings

REMEMBERED_SERVERS = 8


Decision = TickDecision | ChunkDecision | ServiceResult | None
CorrectTick = Callable[[ActionQueue, TickDecision], tuple[float, ...]]
"""Called after the core's tick; returns what is added to its setpoint, (joints,) rad."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One input and its decision. `source` is the message behind the input where there is one, else the value.

    correction: of a tick, what was added to its setpoint, (joints,) rad; empty where nothing corrects.
    """

    sequence: int
    session: int
    now_ns: int
    kind: DecisionInput
    value: Any
    source: Any
    decision: Decision
    state: QueueState
    cause: str
    step: int
    length: int
    correction: tuple[float, ...] = ()


def apply(core: ActionQueue, kind: DecisionInput, now_ns: int, value: Any) -> Decision:
    """Give one input to the core: the only way in, for the node and for a replay alike."""
    match kind:
        case DecisionInput.TICK:
            return core.tick(now_ns, value)
        case DecisionInput.CHUNK:
            return core.take_chunk(now_ns, value)
        case DecisionInput.START:
            return core.start(now_ns, value)
        case DecisionInput.STOP:
            return core.stop(now_ns)
        case DecisionInput.PAUSE:
            return core.pause(now_ns)
        case DecisionInput.CONFIGURE:
            core.configure(now_ns, value)
        case DecisionInput.TASK:
            core.set_task(now_ns, value)
        case DecisionInput.JOINT_LIMITS:
            core.set_limits(now_ns, value)
        case DecisionInput.DRIVER_STATUS:
            core.hear_driver(now_ns, value)
        case DecisionInput.POLICY_STATUS:
            core.hear_server(now_ns, value)
    return None


@dataclass(frozen=True, slots=True)
class _Remembered:
    kind: DecisionInput
    now_ns: int
    value: Any
    source: Any


class Journal:
    """The core of the running session, and the log of what goes into it. Not thread-safe."""

    def __init__(self, now_ns: int, settings: QueueSettings, sink: Callable[[JournalEntry], None]) -> None:
        self._sink = sink
        self._sequence = 0
        self._newest: dict[tuple[DecisionInput, int], _Remembered] = {}
        self._settings = settings
        self.core = ActionQueue(now_ns, settings)
        self._log(self._entry(self.core, DecisionInput.CONFIGURE, now_ns, settings, settings, None, 0))

    def change(self, now_ns: int, settings: QueueSettings) -> None:
        """Changed parameters; a change of nothing but the task is logged as such."""
        only_task = settings == replace(self._settings, task=settings.task)
        self._settings = settings
        if only_task:
            self._apply(DecisionInput.TASK, now_ns, settings.task, settings.task)
        else:
            self._apply(DecisionInput.CONFIGURE, now_ns, settings, settings)

    def set_limits(self, now_ns: int, limits: JointLimits, source: Any = None) -> None:
        """A JointLimits."""
        self._remember(DecisionInput.JOINT_LIMITS, 0, now_ns, limits, source)
        self._apply(DecisionInput.JOINT_LIMITS, now_ns, limits, source)

    def hear_driver(self, now_ns: int, report: DriverReport, source: Any = None) -> None:
        """A DriverStatus."""
        self._remember(DecisionInput.DRIVER_STATUS, 0, now_ns, report, source)
        self._apply(DecisionInput.DRIVER_STATUS, now_ns, report, source)

    def hear_server(self, now_ns: int, report: ServerReport, source: Any = None) -> None:
        """A PolicyStatus."""
        self._remember(DecisionInput.POLICY_STATUS, report.server_id, now_ns, report, source)
        self._apply(DecisionInput.POLICY_STATUS, now_ns, report, source)

    def take_chunk(self, now_ns: int, chunk: ReceivedChunk, source: Any = None) -> ChunkDecision:
        """An ActionChunk."""
        decision = self._apply(DecisionInput.CHUNK, now_ns, chunk, source)
        assert isinstance(decision, ChunkDecision)
        return decision

    def tick(self, now_ns: int, measured: JointPositions | None, correct: CorrectTick | None = None) -> TickDecision:
        """A control tick; what `correct` adds to its setpoint is logged with it."""
        decision = apply(self.core, DecisionInput.TICK, now_ns, measured)
        assert isinstance(decision, TickDecision)
        correction = correct(self.core, decision) if correct is not None else ()
        entry = self._entry(self.core, DecisionInput.TICK, now_ns, measured, measured, decision, self.core.session)
        self._log(replace(entry, correction=correction))
        return decision

    def stop(self, now_ns: int) -> ServiceResult:
        """The operator's stop."""
        decision = self._apply(DecisionInput.STOP, now_ns, None, None)
        assert isinstance(decision, ServiceResult)
        return decision

    def pause(self, now_ns: int) -> ServiceResult:
        """The operator's pause."""
        decision = self._apply(DecisionInput.PAUSE, now_ns, None, None)
        assert isinstance(decision, ServiceResult)
        return decision

    def start(self, now_ns: int, session: int) -> ServiceResult:
        """The operator's start: a fresh core under the number `session`, fed with what is known, or a refusal."""
        if self.core.is_started:
            return ServiceResult(True, "already started")
        known = sorted(self._newest.values(), key=lambda item: item.now_ns)
        began_ns = known[0].now_ns if known else now_ns
        core = ActionQueue(began_ns, self._settings)
        entries = [self._entry(core, DecisionInput.CONFIGURE, began_ns, self._settings, self._settings, None, session)]
        for item in known:
            decision = apply(core, item.kind, item.now_ns, item.value)
            entries.append(self._entry(core, item.kind, item.now_ns, item.value, item.source, decision, session))
        core.lines = self.core.lines  # what these inputs cause was told when they first came
        result = core.start(now_ns, session)
        if not result.done:
            return result  # the old core goes on as if nobody had called
        entries.append(self._entry(core, DecisionInput.START, now_ns, session, None, result, session))
        self.core = core
        for entry in entries:
            self._log(entry)
        return result

    def _remember(self, kind: DecisionInput, key: int, now_ns: int, value: Any, source: Any) -> None:
        self._newest[kind, key] = _Remembered(kind, now_ns, value, source)
        servers = [known for known in self._newest if known[0] is DecisionInput.POLICY_STATUS]
        if len(servers) > REMEMBERED_SERVERS:
            del self._newest[min(servers, key=lambda known: self._newest[known].now_ns)]

    def _apply(self, kind: DecisionInput, now_ns: int, value: Any, source: Any) -> Decision:
        decision = apply(self.core, kind, now_ns, value)
        self._log(self._entry(self.core, kind, now_ns, value, source, decision, self.core.session))
        return decision

    @staticmethod
    def _entry(
        core: ActionQueue, kind: DecisionInput, now_ns: int, value: Any, source: Any, decision: Decision, session: int
    ) -> JournalEntry:
        state = (core.state, core.cause, core.step, core.length)
        return JournalEntry(0, session, now_ns, kind, value, source, decision, *state)

    def _log(self, entry: JournalEntry) -> None:
        self._sequence += 1
        self._sink(replace(entry, sequence=self._sequence))
