# SPDX-License-Identifier: Apache-2.0
"""The intake of chunks: one pipeline from what the network delivered to the rows ahead.

A chunk is identified (is it meant for this session, and is it news?), read (may its rows be executed?), placed by
`execution`, and its request closed. What is dropped is dropped whole and counted; small excess over the limits is
clamped. No stage is entered twice.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from so101_node.log_lines import LogLevel, ThrottledLines
from so101_node.protocol import ChunkStatus, ChunkVerdict, FloatArray

from so101_action_queue.core import causes
from so101_action_queue.core.causes import NO_REASON, Reason
from so101_action_queue.core.decisions import ChunkDecision, OpenRequest, QueueCounters
from so101_action_queue.core.execution import Execution, Placement
from so101_action_queue.core.inputs import Bounds, ReceivedChunk
from so101_action_queue.core.requests import Closing, RequestLedger, Requests
from so101_action_queue.core.settings import QueueSettings

INVALID_IN_A_ROW = 3  # this many unusable chunks and the rows still ahead are not trusted either
PERIOD_TOLERANCE = 0.01  # of the period; float32 or decimal rounding on the way, not another rate
_CAUSE_OF_STATUS: Final = {
    ChunkStatus.NOT_READY: causes.SERVER_NOT_READY,
    ChunkStatus.OBSERVATION_INCOMPLETE: causes.OBSERVATION_INCOMPLETE,
    ChunkStatus.SPEC_REJECTED: causes.SPEC_REJECTED,
    ChunkStatus.BAD_REQUEST: causes.BAD_REQUEST,
    ChunkStatus.POLICY_ERROR: causes.POLICY_ERROR,
}
_COUNTER: Final = {
    ChunkVerdict.ERROR_ANSWER: "errors",
    ChunkVerdict.REJECTED_SHAPE: "rejected_shape",
    ChunkVerdict.REJECTED_NOT_FINITE: "rejected_not_finite",
    ChunkVerdict.REJECTED_IMPLAUSIBLE: "rejected_implausible",
    ChunkVerdict.REJECTED_FOREIGN: "rejected_foreign",
    ChunkVerdict.STALE: "stale",
    ChunkVerdict.DUPLICATE: "duplicate",
}


@dataclass(frozen=True, slots=True)
class ChunkOrigin:
    """Where chunks must come from: the running session, the spec in force and the bound server; 0 = none.

    second_id: a server that may answer in its place what was asked of it; 0 = none.
    """

    session: int
    spec_id: int
    server_id: int
    second_id: int = 0


@dataclass(frozen=True, slots=True)
class IntakeTerms:
    """What holds when a chunk comes: settings, joint limits (None: nothing may be executed, `idle` says why)."""

    settings: QueueSettings
    bounds: Bounds | None
    lines: ThrottledLines
    idle: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Why a chunk is not executed."""

    verdict: ChunkVerdict
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class UsableRows:
    """Rows fit to be executed, (rows, joints) float64, rad, in our joint order, within limits."""

    rows: FloatArray
    values_clamped: int


class ChunkIntake:
    """Takes the chunks of one session; `trouble` is what went wrong with the newest, NO_REASON after a good one.

    `is_refused`: the newest chunk was an error or invalid, so that the next one will hardly be better.
    """

    def __init__(self, execution: Execution, requests: Requests, counters: QueueCounters) -> None:
        self.trouble = NO_REASON
        self.is_refused = False
        self._execution = execution
        self._requests = requests
        self._counters = counters
        self._invalid_in_a_row = 0

    def take(self, now_ns: int, chunk: ReceivedChunk, origin: ChunkOrigin, terms: IntakeTerms) -> ChunkDecision:
        """Take in a chunk, change the rows ahead where it is good, and say what became of it."""
        request = identify(chunk, origin, self._requests.ledger)
        if isinstance(request, Dropped):
            return self._drop(now_ns, terms, request)
        if terms.bounds is None:
            return self._drop(now_ns, terms, Dropped(ChunkVerdict.STALE, terms.idle))
        if chunk.status != ChunkStatus.OK:
            return self._take_error(now_ns, terms, chunk, request)
        usable = read(chunk, terms.settings, terms.bounds)
        if isinstance(usable, Dropped):
            return self._take_invalid(now_ns, terms, request, usable)
        return self._take_rows(now_ns, terms, terms.bounds, request, usable)

    def _drop(self, now_ns: int, terms: IntakeTerms, dropped: Dropped) -> ChunkDecision:
        counter, verdict = _COUNTER[dropped.verdict], dropped.verdict
        setattr(self._counters, counter, getattr(self._counters, counter) + 1)
        if verdict is ChunkVerdict.STALE:
            terms.lines.add(now_ns, verdict.name, LogLevel.INFO, f"late chunk dropped: {dropped.reason}")
        elif verdict is not ChunkVerdict.DUPLICATE:  # every answer is sent twice; the second copy is worth no line
            text = f"Error receiving actions: {verdict.name}: {dropped.reason}"
            terms.lines.add(now_ns, verdict.name, LogLevel.WARNING, text)
        return ChunkDecision(verdict, dropped.reason)

    def _take_error(self, now_ns: int, terms: IntakeTerms, chunk: ReceivedChunk, request: OpenRequest) -> ChunkDecision:
        superseded = chunk.status == ChunkStatus.SUPERSEDED
        closing = Closing.OVERTAKEN if superseded else Closing.FAILED
        self._requests.close(now_ns, request, closing, chunk.retry_after_s)
        try:
            status = ChunkStatus(chunk.status)
            name, cause = status.name, _CAUSE_OF_STATUS.get(status, causes.UNNAMED)
        except ValueError:
            name, cause = f"status {chunk.status}", causes.UNNAMED
        reason = f"{name}: {chunk.message}" if chunk.message else name
        if not superseded:  # we superseded it ourselves
            self.trouble, self.is_refused = Reason(cause, reason), True
        return self._drop(now_ns, terms, Dropped(ChunkVerdict.ERROR_ANSWER, reason))

    def _take_invalid(self, now_ns: int, terms: IntakeTerms, request: OpenRequest, dropped: Dropped) -> ChunkDecision:
        self._requests.close(now_ns, request, Closing.FAILED)
        self.trouble = Reason(causes.INVALID_CHUNKS, f"{dropped.verdict.name}: {dropped.reason}")
        self.is_refused = True
        self._invalid_in_a_row += 1
        if self._invalid_in_a_row >= INVALID_IN_A_ROW:
            text = f"{self._invalid_in_a_row} invalid chunks in a row: {dropped.reason}"
            self.trouble = Reason(causes.INVALID_CHUNKS, text)
            self._execution.forget_rows()
        return self._drop(now_ns, terms, dropped)

    def _take_rows(
        self, now_ns: int, terms: IntakeTerms, bounds: Bounds, request: OpenRequest, usable: UsableRows
    ) -> ChunkDecision:
        """Place rows that may be executed, and close the request by where they went."""
        self._invalid_in_a_row, self.is_refused = 0, False
        age_s = (now_ns - request.sent_ns) / 1e9
        limit_s = terms.settings.max_action_age_s
        if age_s > limit_s:
            text = f"chunk came after {age_s:.2f} s, rows live {limit_s:g} s (max_action_age_s)"
            return self._expire(now_ns, terms, request, Reason(causes.ROWS_TOO_OLD, text))
        placement = self._execution.place(request, usable.rows, terms.settings, bounds)
        rows = len(usable.rows)
        shorter = f"chunk shorter than round trip: {rows} rows, {placement.steps_since} steps"
        if placement.alignment is None or placement.blended is None:
            return self._expire(now_ns, terms, request, Reason(causes.CHUNK_TOO_SHORT, shorter))
        self.trouble = Reason(causes.CHUNK_TOO_SHORT, shorter) if placement.alignment.realigned else NO_REASON
        self._requests.close(now_ns, request, Closing.ACCEPTED)
        self._counters.accepted += 1
        self._counters.rows_trimmed += placement.alignment.trimmed
        self._counters.values_clamped += usable.values_clamped
        self._tell_placement(now_ns, terms, request, placement)
        return ChunkDecision(
            ChunkVerdict.ACCEPTED,
            round_trip_s=age_s,
            rows_trimmed=placement.alignment.trimmed,
            values_clamped=usable.values_clamped,
            rows_ramped=placement.blended.rows_ramped,
            seam=tuple(placement.blended.seam.tolist()),
        )

    def _tell_placement(self, now_ns: int, terms: IntakeTerms, request: OpenRequest, placement: Placement) -> None:
        """Count and tell what was unusual about an accepted chunk."""
        if placement.alignment is not None and placement.alignment.realigned:
            self._counters.expired += 1
            text = f"{self.trouble.text}; aligned by executed steps instead"
            terms.lines.add(now_ns, "expired", LogLevel.WARNING, text)
        if placement.is_late_continuation:
            self._counters.late_continuations += 1
            took, expected = placement.steps_since, request.expected_delay_steps
            text = f"rtc: the chunk took {took} steps, the policy was told {expected}: the seam is ramped"
            terms.lines.add(now_ns, "late continuation", LogLevel.INFO, text)

    def _expire(self, now_ns: int, terms: IntakeTerms, request: OpenRequest, reason: Reason) -> ChunkDecision:
        """Drop a chunk of which nothing is left to execute; the rule requests again without waiting."""
        self._counters.expired += 1
        self.trouble = reason
        self._requests.close(now_ns, request, Closing.EXPIRED)
        terms.lines.add(now_ns, "expired", LogLevel.WARNING, f"Error receiving actions: {reason.text}")
        return ChunkDecision(ChunkVerdict.STALE, reason.text)


def identify(chunk: ReceivedChunk, origin: ChunkOrigin, ledger: RequestLedger) -> OpenRequest | Dropped:
    """Return the request that the chunk answers.

    Any request of this session will do that is neither answered nor older than the last accepted one, whatever was
    requested since: a timeout that is too short must not turn good chunks away.
    """
    foreign = _why_foreign(chunk, origin, ledger)
    if foreign:
        return Dropped(ChunkVerdict.REJECTED_FOREIGN, foreign)
    if chunk.request_id in ledger.answered:
        return Dropped(ChunkVerdict.DUPLICATE, "")
    request = ledger.open.get(chunk.request_id)
    if request is None:
        newest = ledger.last_accepted_id
        text = f"answers request {chunk.request_id}; {newest} is in the queue already"
        return Dropped(ChunkVerdict.STALE, text)
    if request.server_id not in (0, chunk.server_id):
        text = f"from server {chunk.server_name or '?'} ({chunk.server_id}); another one was asked"
        return Dropped(ChunkVerdict.REJECTED_FOREIGN, text)
    if chunk.step != request.step:
        text = f"echoes step {chunk.step}, requested at step {request.step}"
        return Dropped(ChunkVerdict.REJECTED_FOREIGN, text)
    return request


def _why_foreign(chunk: ReceivedChunk, origin: ChunkOrigin, ledger: RequestLedger) -> str:
    if not origin.session:
        return "no session has begun"
    if chunk.session != origin.session:
        return f"of another session ({chunk.session})"
    if chunk.server_id not in (origin.server_id, origin.second_id or origin.server_id):
        return f"from server {chunk.server_name or '?'} ({chunk.server_id}), which is not the bound one"
    if chunk.spec_id != origin.spec_id:
        return f"made for another policy_spec ({chunk.spec_id})"
    if not 1 <= chunk.request_id <= ledger.last_id:
        return f"answers request {chunk.request_id}, which was never sent"
    return ""


def read(chunk: ReceivedChunk, settings: QueueSettings, bounds: Bounds) -> UsableRows | Dropped:
    """Check an OK chunk's content and bring it into our joint order and limits."""
    wrong = _shape_fault(chunk, settings)
    if wrong:
        return Dropped(ChunkVerdict.REJECTED_SHAPE, wrong)
    at = {name: index for index, name in enumerate(chunk.joint_names)}
    order = [at[name] for name in settings.joint_names]
    rows = chunk.positions.astype(np.float64).reshape(chunk.rows, len(order))[:, order]
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        row, joint = bad[0]
        text = f"row {row}, {settings.joint_names[joint]} is {rows[row, joint]}"
        return Dropped(ChunkVerdict.REJECTED_NOT_FINITE, text)
    clipped = bounds.clip(rows)
    excess = np.abs(rows - clipped)
    if excess.size and float(excess.max()) > settings.implausible_rad:
        row, joint = np.unravel_index(int(excess.argmax()), excess.shape)
        return Dropped(
            ChunkVerdict.REJECTED_IMPLAUSIBLE,
            f"row {row}, {settings.joint_names[joint]} = {rows[row, joint]:.3f} rad is {excess[row, joint]:.3f} rad "
            f"beyond its limits (implausible_rad {settings.implausible_rad:g})",
        )
    return UsableRows(clipped, int(np.count_nonzero(excess)))


def _shape_fault(chunk: ReceivedChunk, settings: QueueSettings) -> str:
    """Return what does not fit, or ""."""
    names = chunk.joint_names
    if len(names) != len(settings.joint_names) or set(names) != set(settings.joint_names):
        return f"joints {', '.join(names) or 'none'}, expected {', '.join(settings.joint_names)}"
    if not 1 <= chunk.rows <= settings.actions_per_chunk:
        return f"{chunk.rows} rows, expected 1 to {settings.actions_per_chunk} (actions_per_chunk)"
    if len(chunk.positions) != chunk.rows * len(names):
        return f"{len(chunk.positions)} values, expected {chunk.rows} rows x {len(names)} joints"
    period_s = 1.0 / settings.fps
    if not abs(chunk.period_s - period_s) <= PERIOD_TOLERANCE * period_s:
        return f"period {chunk.period_s:g} s, expected {period_s:g} s (fps {settings.fps:g})"
    return ""
