# SPDX-License-Identifier: Apache-2.0
"""Requests for chunks: when the next one is due, what it says, and which are open.

One request is outstanding at a time, or up to `max_requests_in_flight`. That gates requesting only: which chunks are
good is decided by their ids. So a timeout that is too short costs requests, never chunks.

One module because a request has one life: when it is due, what it says, how it opens and how it closes share one state.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from so101_action_queue.core.aggregation import AGGREGATIONS
from so101_action_queue.core.camera_choice import frame_sizes
from so101_action_queue.core.decisions import ChunkRequest, OpenRequest
from so101_action_queue.core.execution import Execution
from so101_action_queue.core.inputs import JointPositions, ServerReport
from so101_action_queue.core.request_rules import REQUEST_RULES, RoundTrips, is_slow
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.core.under_way import RequestsUnderWay

MAX_HISTORY = 32  # observation steps; LeRobot's policies read 1 to 4
FIRST_BACK_OFF_S = 0.2
LONGEST_BACK_OFF_S = 2.0
LONGEST_RETRY_AFTER_S = 10.0  # a server may ask for patience, not silence a robot for good
REMEMBERED = 256  # requests; more unanswered ones than that and the oldest chunks count as stale


class Closing(Enum):
    """How a chunk closes the request that it answers."""

    ACCEPTED = "its rows are in the queue"
    EXPIRED = "it came too late to be used"
    FAILED = "it was an error, or invalid"
    OVERTAKEN = "the server dropped it for a newer request"


@dataclass(frozen=True, slots=True)
class Due:
    """Whether to request in this tick, and how many requests are given up for it: their chunks did not come in time."""

    now: bool
    timed_out: int = 0


@dataclass(slots=True)
class RequestLedger:
    """The requests of one session, as `intake` reads them to tell which chunks are news.

    open: neither answered nor overtaken by an accepted one, by id. answered: ids that had their answer; every answer is
    sent twice, so most have a second. Ids rise by one from 1.
    """

    open: OrderedDict[int, OpenRequest] = field(default_factory=OrderedDict)
    answered: OrderedDict[int, None] = field(default_factory=OrderedDict)
    last_id: int = 0
    last_accepted_id: int = 0


class Requests:
    """Requests of one session, some of them outstanding; an error chunk makes the next one wait.

    outstanding: sent, neither answered nor overtaken by an accepted one, nor given up after its timeout.
    """

    def __init__(self) -> None:
        self.ledger = RequestLedger()
        self.round_trips = RoundTrips()
        self._under_way = RequestsUnderWay()
        self._at_once = False
        self._ticks_since_request: float = math.inf
        self._measured: deque[tuple[float, ...]] = deque(maxlen=MAX_HISTORY)
        self._not_before_ns: int | None = None
        self._failed_ns = 0
        self._has_failed = False
        self._back_off_s = FIRST_BACK_OFF_S

    @property
    def outstanding(self) -> OpenRequest | None:
        """The outstanding request that was sent first."""
        return self._under_way.oldest

    @property
    def count(self) -> int:
        """Requests outstanding."""
        return len(self._under_way)

    # -- what happens --------------------------------------------------------------------------------------------------

    def request_at_once(self) -> None:
        """Let the next tick request whatever is outstanding or left to execute."""
        self._at_once = True

    def new_server(self) -> None:
        """Another server, or the same one after a restart, is ready: measure from the beginning and request at once."""
        self.round_trips.new_server()
        self._under_way.new_server()
        self._at_once = True

    def see(self, measured: JointPositions | None) -> None:
        """A tick begins: remember its joint positions for policies that read several."""
        self._ticks_since_request += 1
        if measured is not None:
            self._measured.append(measured.positions)

    def forget_outstanding(self) -> None:
        """Nobody will answer them (server lost or restarted): the next request need not wait."""
        self._under_way.clear()
        self._ticks_since_request = math.inf
        self._has_failed = False
        self._not_before_ns = None
        self._back_off_s = FIRST_BACK_OFF_S

    def server_is_busy_with_us(self, now_ns: int) -> None:
        """A heartbeat said that the server works on a request of this session."""
        self._under_way.server_is_busy_with_us(now_ns)

    def is_hedge_due(self, now_ns: int) -> bool:
        """Return whether a second server should be asked: a request is late by p95, and no second one is asked yet."""
        oldest, p95_s = self.outstanding, self.round_trips.p95_s
        if oldest is None or math.isnan(p95_s) or self._under_way.has_hedge or self.is_waiting_to_retry(now_ns):
            return False
        return now_ns - oldest.sent_ns > p95_s * 1e9

    # -- when ----------------------------------------------------------------------------------------------------------

    def due(self, now_ns: int, execution: Execution, settings: QueueSettings) -> Due:
        """Return whether to request now."""
        if self._at_once:
            return Due(True)
        overdue = len(self._overdue(now_ns, settings))
        if settings.max_requests_in_flight > 1:
            return Due(self._has_place_and_spacing(now_ns, overdue, settings), overdue)
        if self._under_way.waits_for_bound:
            return Due(overdue > 0, overdue)
        if self.is_waiting_to_retry(now_ns):
            return Due(False)
        if not execution.length or self._not_before_ns is not None:  # an error's waiting time is over
            return Due(True)
        return Due(execution.length <= self.level(execution.chunk_rows, settings))

    def level(self, chunk_rows: int, settings: QueueSettings) -> float:
        """Return how many rows may be left when the next request is due."""
        if settings.max_requests_in_flight > 1:
            return chunk_rows  # requests go by their spacing
        return REQUEST_RULES[settings.request_policy](chunk_rows, self.round_trips, settings)

    def slow_warning(self, chunk_rows: int, settings: QueueSettings) -> str:
        """Return the line that warns of round trips too long for `adaptive`, or ""."""
        if settings.request_policy != "adaptive" or settings.max_requests_in_flight > 1:
            return ""
        if not is_slow(chunk_rows, self.round_trips, settings):
            return ""
        return (
            f"round trip p95 {self.round_trips.p95_s:.2f} s is more than half of a chunk of {chunk_rows} rows: "
            "requesting after every chunk"
        )

    def is_overdue(self, now_ns: int, settings: QueueSettings) -> bool:
        """Return whether the outstanding request should be repeated, or the oldest of several be given up."""
        return bool(self._overdue(now_ns, settings))

    def _overdue(self, now_ns: int, settings: QueueSettings) -> list[OpenRequest]:
        return self._under_way.overdue(now_ns, self.round_trips, settings)

    def _has_place_and_spacing(self, now_ns: int, overdue: int, settings: QueueSettings) -> bool:
        """Return whether the next of several requests is due; those overdue leave it their places.

        After an error they go out one at a time until a chunk is accepted.
        """
        places = 1 if self._has_failed else settings.max_requests_in_flight
        if self.is_waiting_to_retry(now_ns) or self.count - overdue >= places:
            return False
        waited = self._not_before_ns is not None  # for an error
        return waited or self._ticks_since_request >= settings.request_spacing_steps

    def is_waiting_to_retry(self, now_ns: int) -> bool:
        """Return whether an error chunk's waiting time is still running."""
        return self._not_before_ns is not None and now_ns < self._not_before_ns

    # -- opening and closing -------------------------------------------------------------------------------------------

    def make(
        self,
        now_ns: int,
        measured: JointPositions,
        execution: Execution,
        server: ServerReport,
        session: int,
        settings: QueueSettings,
        *,
        is_hedge: bool = False,
    ) -> ChunkRequest:
        """Open the next request: one snapshot of step, joint positions and rows ahead.

        `is_hedge`: `server` is a second one, asked in addition to the bound one; what is outstanding stays so.
        """
        self._at_once = False
        rows_ahead = execution.rows_ahead()
        sends_leftover = AGGREGATIONS[settings.aggregate_fn_name].sends_leftover
        leftover = rows_ahead if sends_leftover else rows_ahead[:0]
        delay = self._expected_delay_steps(len(leftover), settings)
        opened = self.open(
            now_ns,
            execution.step,
            execution.executed,
            delay,
            overdue=() if is_hedge else self._overdue(now_ns, settings),
            capacity=settings.max_requests_in_flight + (is_hedge or self._under_way.has_hedge),
            server_id=server.server_id if settings.hedge else 0,
            is_hedge=is_hedge,
        )
        history = min(max(1, server.n_obs_steps), MAX_HISTORY)
        return ChunkRequest(
            session=session,
            request_id=opened.request_id,
            spec_id=server.spec_id,
            step=execution.step,
            must_go=not len(rows_ahead),
            task=settings.task,
            history=history,
            joint_names=settings.joint_names,
            positions=self._newest_measured(history),
            positions_age_s=measured.age_s,
            expected_delay_steps=delay,
            leftover_rows=len(leftover),
            leftover=tuple(leftover.ravel().tolist()),
            server_id=opened.server_id,
            frame_sizes=frame_sizes(settings, server),
        )

    def open(
        self,
        now_ns: int,
        step: int,
        executed: int,
        expected_delay_steps: int = 0,
        *,
        overdue: Iterable[OpenRequest] = (),
        capacity: int = 1,
        server_id: int = 0,
        is_hedge: bool = False,
    ) -> OpenRequest:
        """Enter the next request into the ledger; it is outstanding from now on.

        Given up for it, though a chunk that comes late is still good: those overdue, and the oldest beyond `capacity`.
        """
        ledger = self.ledger
        ledger.last_id += 1
        opened = OpenRequest(
            ledger.last_id,
            now_ns,
            step,
            executed,
            expected_delay_steps,
            ledger.last_accepted_id,
            server_id,
            is_hedge,
        )
        ledger.open[opened.request_id] = opened
        while len(ledger.open) > REMEMBERED:
            ledger.open.popitem(last=False)
        self._under_way.add(opened, overdue, capacity)
        self._ticks_since_request = 0
        self._not_before_ns = None
        return opened

    def close(self, now_ns: int, request: OpenRequest, closing: Closing, retry_after_s: float = 0.0) -> None:
        """A chunk came for `request`.

        ACCEPTED: its round trip counts, and chunks for older requests are of no use any more. EXPIRED: the rule decides
        about the next request, without waiting. FAILED: the next one waits `retry_after_s`, or 0.2 s doubling to 2 s
        where that is not a positive number. OVERTAKEN: as FAILED, unless a newer one is outstanding.
        """
        if closing is Closing.ACCEPTED:
            if not request.is_hedge:  # what the bound server takes
                self.round_trips.add((now_ns - request.sent_ns) / 1e9)
            self._close_up_to(request)
            return
        was_outstanding = self._close_one(request)
        if closing is Closing.EXPIRED or not was_outstanding:
            return  # where a later request is out already, its chunk counts
        if closing is Closing.OVERTAKEN and self._under_way:
            return
        is_news = request.sent_ns >= self._failed_ns  # else it was under way when another one's error came
        if math.isfinite(retry_after_s) and retry_after_s > 0.0:
            wait_s = min(retry_after_s, LONGEST_RETRY_AFTER_S)
        elif is_news:
            wait_s = self._back_off_s
            self._back_off_s = min(2.0 * self._back_off_s, LONGEST_BACK_OFF_S)
        else:
            return
        if is_news:
            self._failed_ns, self._has_failed = now_ns, True
        self._not_before_ns = max(self._not_before_ns or 0, now_ns + round(wait_s * 1e9))

    def _close_up_to(self, request: OpenRequest) -> None:
        self._remember_answered(request)
        self.ledger.last_accepted_id = request.request_id
        for request_id in [known for known in self.ledger.open if known <= request.request_id]:
            del self.ledger.open[request_id]
        self._back_off_s = FIRST_BACK_OFF_S
        self._has_failed = False
        self._under_way.accepted(request.request_id)

    def _close_one(self, request: OpenRequest) -> bool:
        """Mark answered; return whether it was outstanding."""
        self.ledger.open.pop(request.request_id, None)
        self._remember_answered(request)
        return self._under_way.answered(request.request_id)

    def _remember_answered(self, request: OpenRequest) -> None:
        self.ledger.answered[request.request_id] = None
        while len(self.ledger.answered) > REMEMBERED:
            self.ledger.answered.popitem(last=False)

    # -- what a request says -------------------------------------------------------------------------------------------

    def _expected_delay_steps(self, leftover_rows: int, settings: QueueSettings) -> int:
        """Steps that will run before the chunk comes. No more than there are rows: an empty queue executes nothing."""
        estimate_s = self.round_trips.estimate_s
        if not leftover_rows or math.isnan(estimate_s):
            return 0
        return min(math.ceil(estimate_s * settings.fps), leftover_rows)

    def _newest_measured(self, history: int) -> tuple[float, ...]:
        """Return the newest joint positions, newest last; before the first the arm stood where it was then."""
        measured = list(self._measured)[-history:]
        measured = [measured[0]] * (history - len(measured)) + measured
        return tuple(value for positions in measured for value in positions)
