# SPDX-License-Identifier: Apache-2.0
"""What the queue commands when the inputs of a log are given to it again, with its settings changed or not.

The recorded chunks arrive when they did, whatever the changed queue requested: a chunk for another step than the
requested one is cut (or, where the queue is past it, filled up) so that each row keeps the step it was predicted for.
This shows how the queue would have joined these chunks, not how the arm would have moved on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.core.decisions import ChunkDecision, TickDecision
from so101_action_queue.core.inputs import ReceivedChunk, ServerReport
from so101_action_queue.core.queue_core import ActionQueue
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.decision_log import input_from
from so101_action_queue.record.journal import apply
from so101_msgs.msg import QueueDecision, QueueStatus
from so101_node.protocol import ChunkStatus, ChunkVerdict, DecisionInput, FloatArray

from so101_bag.replay.settings_change import Change


@dataclass(slots=True)
class QueueTrace:
    """The ticks of a log, T of them, of which those that command nothing hold NaN.

    Attributes:
        joint_names: the J joints.
        time_s: since the first tick.
        setpoints: T rows of J, rad.
        lengths: rows left after each tick.
        starved: ticks that found the queue empty after a session's first chunk.
        accepted: chunks taken.
        seam_rad: largest change of velocity at each accepted chunk's seam before ramping, rad per tick.
    """

    joint_names: tuple[str, ...] = ()
    time_s: list[float] = field(default_factory=list)
    setpoints: list[tuple[float, ...]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    starved: int = 0
    accepted: int = 0
    unused: int = 0
    seam_rad: list[float] = field(default_factory=list)

    @property
    def positions(self) -> FloatArray:
        """(T, J), rad."""
        return np.array(self.setpoints, dtype=np.float64).reshape(len(self.setpoints), len(self.joint_names))

    def metrics(self, period_s: float) -> dict[str, Any]:
        """Return what characterises the trace, for a report."""
        positions = self.positions
        step = np.abs(np.diff(positions, axis=0)) if len(positions) > 1 else np.zeros((0, 1))
        third = np.diff(positions, n=3, axis=0) / period_s**3 if len(positions) > 3 else np.zeros((0, 1))
        third = third[np.isfinite(third).all(axis=1)]
        return {
            "ticks": int(np.isfinite(positions).all(axis=1).sum()) if len(positions) else 0,
            "starved_ticks": self.starved,
            "chunks_accepted": self.accepted,
            "answers_unused": self.unused,
            "largest_step_rad": _rounded(np.nanmax(step)) if np.isfinite(step).any() else None,
            "largest_seam_rad": _rounded(max(self.seam_rad, default=0.0)),
            "jerk_rms_rad_s3": _rounded(np.sqrt(np.mean(third**2))) if third.size else None,
        }


def difference(recorded: QueueTrace, other: QueueTrace) -> dict[str, Any]:
    """Return how far two traces of one log lie apart, over the ticks at which both command: rad, by joint too."""
    apart = other.positions - recorded.positions
    apart = apart[np.isfinite(apart).all(axis=1)]
    if not apart.size:
        return {"ticks": 0, "rms_rad": None, "max_rad": None, "joints": {}}
    joints = {
        name: {"rms_rad": _rounded(np.sqrt(np.mean(column**2))), "max_rad": _rounded(np.abs(column).max())}
        for name, column in zip(recorded.joint_names, apart.T, strict=True)
    }
    return {
        "ticks": len(apart),
        "rms_rad": _rounded(np.sqrt(np.mean(apart**2))),
        "max_rad": _rounded(np.abs(apart).max()),
        "joints": joints,
    }


def trace(runs: Iterable[list[QueueDecision]], change: Change) -> QueueTrace:
    """Give the inputs of a log to a queue with changed settings and return what it commands."""
    tracer = _Tracer(change)
    for run in runs:
        tracer.begin_run()
        for message in run:
            tracer.take(message)
    tracer.end_core()
    return tracer.trace


class _Tracer:
    """The queue as recorded and the one with changed settings, side by side: the first tells how ids map."""

    def __init__(self, change: Change) -> None:
        self.trace = QueueTrace()
        self._change = change
        self._first_ns: int | None = None
        self._core: ActionQueue | None = None
        self.begin_run()

    def begin_run(self) -> None:
        """Another process of the queue: nothing is known."""
        self.end_core()
        self._recorded: ActionQueue | None = None
        self._core = None
        self._session = 0
        self._requested: dict[int, int] = {}  # request id of the changed queue -> step

    def end_core(self) -> None:
        """The session is over: its counters stand."""
        if self._core is not None:
            self.trace.starved += self._core.status(0).counters.starved_ticks

    def take(self, message: QueueDecision) -> None:
        """Give one input of the log to both."""
        kind, value = input_from(message)
        begins = kind is DecisionInput.CONFIGURE and message.state == QueueStatus.IDLE
        if begins and (self._core is None or message.session != self._session):
            self.end_core()
            self._recorded = ActionQueue(message.now_ns, value)
            self._core = ActionQueue(message.now_ns, self._changed(value))
            self._session, self._requested = message.session, {}
            self.trace.joint_names = value.joint_names
            return
        if self._core is None or self._recorded is None:
            return
        apply(self._recorded, kind, message.now_ns, value)
        decision = self._apply(self._core, kind, message.now_ns, value)
        self._session = self._recorded.session or self._session
        if isinstance(decision, TickDecision):
            self._note_tick(message.now_ns, decision, self._core)
        elif isinstance(decision, ChunkDecision) and decision.verdict is ChunkVerdict.ACCEPTED:
            self.trace.accepted += 1
            self.trace.seam_rad.append(max(decision.seam, default=0.0))

    def _changed(self, settings: QueueSettings) -> QueueSettings:
        return replace(settings, **self._change)

    def _apply(self, core: ActionQueue, kind: DecisionInput, now_ns: int, value: Any) -> Any:
        if kind is DecisionInput.CONFIGURE:
            value = self._changed(value)
        elif kind is DecisionInput.POLICY_STATUS:
            value = self._with_our_spec(core, value)
        elif kind is DecisionInput.CHUNK:
            value = self._for_our_request(core, now_ns, value)
            if value is None:
                return None
        return apply(core, kind, now_ns, value)

    def _with_our_spec(self, core: ActionQueue, report: ServerReport) -> ServerReport:
        before, after = self._spec_ids(core)
        return replace(report, spec_id=after) if report.spec_id == before else report

    def _spec_ids(self, core: ActionQueue) -> tuple[int, int]:
        recorded = self._recorded.spec if self._recorded else None
        return (recorded.spec_id if recorded else 0, core.spec.spec_id if core.spec else 0)

    def _for_our_request(self, core: ActionQueue, now_ns: int, chunk: ReceivedChunk) -> ReceivedChunk | None:
        """Return the chunk as one for the changed queue's request, or None where no request fits."""
        before, after = self._spec_ids(core)
        if chunk.spec_id == before:
            chunk = replace(chunk, spec_id=after)
        if self._requested.get(chunk.request_id) == chunk.step:
            # A recorded queue that wanted shorter chunks would have got the first rows.
            return _moved(chunk, chunk.step, chunk.step, core.settings.actions_per_chunk) or chunk
        outstanding = core.status(now_ns).outstanding_request_id
        if not outstanding or chunk.status != ChunkStatus.OK or not chunk.joint_names:
            self.trace.unused += chunk.status == ChunkStatus.OK
            return None
        moved = _moved(chunk, self._requested[outstanding], core.step, core.settings.actions_per_chunk)
        if moved is None:
            self.trace.unused += 1
            return None
        return replace(moved, request_id=outstanding)

    def _note_tick(self, now_ns: int, decision: TickDecision, core: ActionQueue) -> None:
        if decision.request is not None:
            self._requested[decision.request.request_id] = decision.request.step
        if self._first_ns is None:
            self._first_ns = now_ns
        trace = self.trace
        trace.time_s.append((now_ns - self._first_ns) / 1e9)
        trace.setpoints.append(decision.setpoint or (float("nan"),) * len(trace.joint_names))
        trace.lengths.append(core.length)


def _moved(chunk: ReceivedChunk, step: int, now_step: int, longest: int) -> ReceivedChunk | None:
    """Return the chunk as one requested at `step`, each row at the step it was predicted for; None where none fits."""
    joints = len(chunk.joint_names)
    if len(chunk.positions) != chunk.rows * joints:
        return None
    rows: NDArray[np.float32] = chunk.positions.reshape(chunk.rows, joints)
    if chunk.step <= step:
        rows = rows[step - chunk.step :]
    elif now_step >= chunk.step:  # the rows before are past: what stands there is trimmed unread
        rows = np.vstack([np.repeat(rows[:1], chunk.step - step, axis=0), rows])
    else:
        return None
    rows = rows[: max(longest, 0)]
    if not len(rows):
        return None
    return replace(chunk, step=step, rows=len(rows), positions=rows.ravel())


def _rounded(value: Any) -> float:
    return float(f"{float(value):.4g}")
