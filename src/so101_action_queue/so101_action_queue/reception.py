"""What becomes of an answer: identified, admitted, aligned and spliced into the rows ahead, or dropped and counted."""

from dataclasses import dataclass

from so101_action_queue import causes
from so101_action_queue.admission import Admitted, Bounds, Rejected, admit
from so101_action_queue.asker import Asker
from so101_action_queue.asking import Asked, is_slow
from so101_action_queue.causes import NO_REASON, Reason
from so101_action_queue.decisions import ChunkDecision, Counters, Level, Verdict
from so101_action_queue.execution import Execution
from so101_action_queue.identity import Party, Unwanted, identify
from so101_action_queue.inputs import Answer, AnswerStatus
from so101_action_queue.notices import Notices
from so101_action_queue.settings import Settings

INVALID_IN_A_ROW = 3  # this many unusable chunks and the rows still ahead are not trusted either
_CAUSE_OF_STATUS = {
    AnswerStatus.NOT_READY: causes.SERVER_NOT_READY,
    AnswerStatus.OBSERVATION_INCOMPLETE: causes.OBSERVATION_INCOMPLETE,
    AnswerStatus.SPEC_REJECTED: causes.SPEC_REJECTED,
    AnswerStatus.BAD_REQUEST: causes.BAD_REQUEST,
    AnswerStatus.POLICY_ERROR: causes.POLICY_ERROR,
}
_COUNTER = {
    Verdict.ERROR_ANSWER: "errors",
    Verdict.REJECTED_SHAPE: "rejected_shape",
    Verdict.REJECTED_NOT_FINITE: "rejected_not_finite",
    Verdict.REJECTED_IMPLAUSIBLE: "rejected_implausible",
    Verdict.REJECTED_FOREIGN: "rejected_foreign",
    Verdict.STALE: "stale",
    Verdict.DUPLICATE: "duplicate",
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds when an answer comes: settings, joint limits (None: nothing may be executed, `idle` says why)."""

    settings: Settings
    bounds: Bounds | None
    notices: Notices
    idle: str = ""


class Reception:
    """Takes answers for one session; `trouble` is what went wrong with the newest ones, NO_REASON after a good one.

    `is_refused`: the newest answer was an error or invalid, so that the next one will hardly be better.
    """

    def __init__(self, execution: Execution, asker: Asker, counters: Counters) -> None:
        self.trouble = NO_REASON
        self.is_refused = False
        self._execution = execution
        self._asker = asker
        self._counters = counters
        self._invalid_in_a_row = 0

    def take(self, now_ns: int, answer: Answer, party: Party, terms: Terms) -> ChunkDecision:
        """Take in an answer, change the rows ahead where it is good, and say what became of it."""
        asked = identify(answer, party, self._asker.questions)
        if isinstance(asked, Unwanted):
            return self._drop(now_ns, terms, asked.verdict, asked.reason)
        if terms.bounds is None:
            return self._drop(now_ns, terms, Verdict.STALE, terms.idle)
        if answer.status != AnswerStatus.OK:
            return self._take_error(now_ns, terms, answer, asked)
        admitted = admit(answer, terms.settings, terms.bounds)
        if isinstance(admitted, Rejected):
            return self._take_invalid(now_ns, terms, asked, admitted)
        return self._take_rows(now_ns, terms, terms.bounds, asked, admitted)

    def _drop(self, now_ns: int, terms: Terms, verdict: Verdict, reason: str) -> ChunkDecision:
        counter = _COUNTER[verdict]
        setattr(self._counters, counter, getattr(self._counters, counter) + 1)
        if verdict is Verdict.STALE:
            terms.notices.add(now_ns, verdict.name, Level.INFO, f"late answer left out: {reason}")
        elif verdict is not Verdict.DUPLICATE:  # every answer is sent twice; the second copy is worth no line
            text = f"Error receiving actions: {verdict.name}: {reason}"
            terms.notices.add(now_ns, verdict.name, Level.WARNING, text)
        return ChunkDecision(verdict, reason)

    def _take_error(self, now_ns: int, terms: Terms, answer: Answer, asked: Asked) -> ChunkDecision:
        self._asker.questions.close_failed(now_ns, asked, answer.retry_after_s)
        try:
            status = AnswerStatus(answer.status)
            name, cause = status.name, _CAUSE_OF_STATUS.get(status, causes.UNNAMED)
        except ValueError:
            name, cause = f"status {answer.status}", causes.UNNAMED
        reason = f"{name}: {answer.message}" if answer.message else name
        if answer.status != AnswerStatus.SUPERSEDED:  # we superseded it ourselves
            self.trouble, self.is_refused = Reason(cause, reason), True
        return self._drop(now_ns, terms, Verdict.ERROR_ANSWER, reason)

    def _take_invalid(self, now_ns: int, terms: Terms, asked: Asked, rejected: Rejected) -> ChunkDecision:
        self._asker.questions.close_failed(now_ns, asked)
        self.trouble = Reason(causes.INVALID_CHUNKS, f"{rejected.verdict.name}: {rejected.reason}")
        self.is_refused = True
        self._invalid_in_a_row += 1
        if self._invalid_in_a_row >= INVALID_IN_A_ROW:
            text = f"{self._invalid_in_a_row} invalid chunks in a row: {rejected.reason}"
            self.trouble = Reason(causes.INVALID_CHUNKS, text)
            self._execution.forget_rows()
        return self._drop(now_ns, terms, rejected.verdict, rejected.reason)

    def _take_rows(self, now_ns: int, terms: Terms, bounds: Bounds, asked: Asked, admitted: Admitted) -> ChunkDecision:
        """Align, aggregate and ramp an admitted chunk into the rows ahead."""
        chunk = admitted.rows
        self._invalid_in_a_row, self.is_refused = 0, False
        age_s = (now_ns - asked.asked_ns) / 1e9
        limit_s = terms.settings.max_action_age_s
        if age_s > limit_s:
            text = f"answer came after {age_s:.2f} s, rows live {limit_s:g} s (max_action_age_s)"
            return self._expire(now_ns, terms, asked, Reason(causes.ROWS_TOO_OLD, text))
        alignment = self._execution.align(asked, len(chunk), terms.settings)
        past = self._execution.step - asked.step
        shorter = Reason(causes.CHUNK_TOO_SHORT, f"chunk shorter than round trip: {len(chunk)} rows, {past} steps")
        if alignment is None:
            return self._expire(now_ns, terms, asked, shorter)
        self.trouble = NO_REASON
        if alignment.realigned:
            self._counters.expired += 1
            self.trouble = shorter
            terms.notices.add(now_ns, "expired", Level.WARNING, f"{shorter.text}; aligned by executed steps instead")
        self._count_late_continuation(now_ns, terms, asked)
        spliced = self._execution.accept(asked, chunk, alignment.trimmed, terms.settings, bounds)
        self._asker.questions.close_accepted(asked)
        self._asker.round_trips.add(age_s)
        self._counters.accepted += 1
        self._counters.rows_trimmed += alignment.trimmed
        self._counters.values_clamped += admitted.values_clamped
        self._warn_if_slow(now_ns, terms)
        return ChunkDecision(
            Verdict.ACCEPTED,
            round_trip_s=age_s,
            rows_trimmed=alignment.trimmed,
            values_clamped=admitted.values_clamped,
            rows_ramped=spliced.rows_ramped,
            seam=tuple(spliced.seam.tolist()),
        )

    def _count_late_continuation(self, now_ns: int, terms: Terms, asked: Asked) -> None:
        if not self._execution.is_late_continuation(asked, terms.settings):
            return
        self._counters.late_continuations += 1
        took, expected = self._execution.step - asked.step, asked.expected_delay_steps
        text = f"rtc: the answer took {took} steps, the policy was told {expected}: the seam is ramped"
        terms.notices.add(now_ns, "late continuation", Level.INFO, text)

    def _expire(self, now_ns: int, terms: Terms, asked: Asked, reason: Reason) -> ChunkDecision:
        """Drop an answer of which nothing is left to execute; the rule asks again without waiting."""
        self._counters.expired += 1
        self.trouble = reason
        self._asker.questions.close_expired(asked)
        terms.notices.add(now_ns, "expired", Level.WARNING, f"Error receiving actions: {reason.text}")
        return ChunkDecision(Verdict.STALE, reason.text)

    def _warn_if_slow(self, now_ns: int, terms: Terms) -> None:
        rows = self._execution.chunk_rows
        if terms.settings.request_policy == "adaptive" and is_slow(rows, self._asker.round_trips, terms.settings):
            text = (
                f"round trip p95 {self._asker.round_trips.p95_s:.2f} s is more than half of a chunk of {rows} rows: "
                "asking after every answer"
            )
            terms.notices.add(now_ns, "slow", Level.WARNING, text)
