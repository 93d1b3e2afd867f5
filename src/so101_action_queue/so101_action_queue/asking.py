"""When to ask for the next chunk, and the ledger of questions asked.

One question is outstanding at a time, and that gates asking only: which answers are good is decided by their ids. So a
timeout that is too short costs questions, never answers.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from so101_action_queue.round_trip import RoundTrips
from so101_action_queue.settings import Settings

UNHEARD_PATIENCE_S = 0.2  # with a server that never answered yet, which may not hear us or the cameras yet
UNHEARD_PATIENCE_GROWTH = 1.5
FIRST_BACK_OFF_S = 0.2
LONGEST_BACK_OFF_S = 2.0
LONGEST_RETRY_AFTER_S = 10.0  # a server may ask for patience, not silence a robot for good
REMEMBERED = 256  # questions; more unanswered ones than that and the oldest answers count as stale


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: when it was asked, and where the queue stood."""

    request_id: int
    asked_ns: int
    step: int
    executed: int
    expected_delay_steps: int


class Questions:
    """Questions of one session: ids rise by one, one is outstanding, error answers make the next one wait."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, Asked] = OrderedDict()
        self._answered: OrderedDict[int, None] = OrderedDict()
        self.last_id = 0
        self.last_accepted_id = 0
        self.outstanding: Asked | None = None
        self._not_before_ns: int | None = None
        self._back_off_s = FIRST_BACK_OFF_S
        self._busy_heard_ns = 0
        self._unheard_patience_s = UNHEARD_PATIENCE_S

    def new_server(self) -> None:
        """Another server, or the same one anew: what is sent while DDS still connects to it may be lost."""
        self._unheard_patience_s = UNHEARD_PATIENCE_S

    def ask(self, now_ns: int, step: int, executed: int, expected_delay_steps: int = 0) -> Asked:
        """Open the next question, which becomes the outstanding one."""
        if self.outstanding is not None:
            self._unheard_patience_s *= UNHEARD_PATIENCE_GROWTH
        self.last_id += 1
        asked = Asked(self.last_id, now_ns, step, executed, expected_delay_steps)
        self._open[asked.request_id] = asked
        while len(self._open) > REMEMBERED:
            self._open.popitem(last=False)
        self.outstanding = asked
        self._not_before_ns = None
        return asked

    def find(self, request_id: int) -> Asked | None:
        """Return the question if an answer to it would be news: not answered, not overtaken by an accepted one."""
        return self._open.get(request_id)

    def is_answered(self, request_id: int) -> bool:
        """Return whether this question had its answer; every answer is sent twice, so most have a second."""
        return request_id in self._answered

    def close_accepted(self, asked: Asked) -> None:
        """The question brought a chunk that was accepted; answers to older ones are of no use any more."""
        self._remember_answered(asked)
        self.last_accepted_id = asked.request_id
        self._unheard_patience_s = math.inf
        for request_id in [known for known in self._open if known <= asked.request_id]:
            del self._open[request_id]
        self._back_off_s = FIRST_BACK_OFF_S
        if self.outstanding is not None and self.outstanding.request_id <= asked.request_id:
            self.outstanding = None

    def close_expired(self, asked: Asked) -> None:
        """The answer came too late to be used: ask again as the rule says, without waiting."""
        self._close(asked)

    def close_failed(self, now_ns: int, asked: Asked, retry_after_s: float = 0.0) -> None:
        """An error or an invalid chunk: wait `retry_after_s`, or 0.2 s doubling to 2 s where it says nothing."""
        if not self._close(asked):
            return  # a later question is out already; its answer counts
        if math.isfinite(retry_after_s) and retry_after_s > 0.0:
            wait_s = min(retry_after_s, LONGEST_RETRY_AFTER_S)
        else:
            wait_s = self._back_off_s
            self._back_off_s = min(2.0 * self._back_off_s, LONGEST_BACK_OFF_S)
        self._not_before_ns = now_ns + round(wait_s * 1e9)

    def _close(self, asked: Asked) -> bool:
        """Mark answered; return whether it was the outstanding one."""
        self._open.pop(asked.request_id, None)
        self._remember_answered(asked)
        if self.outstanding is None or self.outstanding.request_id != asked.request_id:
            return False  # SUPERSEDED, for one: no sign yet that the newest came through
        self.outstanding = None
        self._unheard_patience_s = math.inf
        return True

    def _remember_answered(self, asked: Asked) -> None:
        self._answered[asked.request_id] = None
        while len(self._answered) > REMEMBERED:
            self._answered.popitem(last=False)

    def forget_outstanding(self) -> None:
        """Nobody will answer it (server lost or restarted): the next question need not wait."""
        self.outstanding = None
        self._not_before_ns = None
        self._back_off_s = FIRST_BACK_OFF_S

    def server_is_busy_with_us(self, now_ns: int) -> None:
        """A heartbeat said that the server works on a question of this session."""
        self._busy_heard_ns = now_ns
        self._unheard_patience_s = math.inf

    def is_overdue(self, now_ns: int, settings: Settings, round_trips: RoundTrips) -> bool:
        """Return whether the outstanding question should be asked again.

        After max(request_timeout_s, 2 x p95), counted anew with each heartbeat that says busy with ours, and after
        `busy_timeout_s` whatever the server says. A server that gave no sign of any question yet is asked again after
        0.2 s, then 0.3 s and so on up to request_timeout_s.
        """
        asked = self.outstanding
        if asked is None:
            return False
        if now_ns - asked.asked_ns > settings.busy_timeout_s * 1e9:
            return True
        patience_s = min(settings.request_timeout_s, self._unheard_patience_s)
        if not math.isnan(round_trips.p95_s):
            patience_s = max(patience_s, 2.0 * round_trips.p95_s)
        return now_ns - max(asked.asked_ns, self._busy_heard_ns) > patience_s * 1e9

    def must_retry(self, now_ns: int) -> bool:
        """Return whether the newest question was answered with an error whose waiting time is over."""
        return self._not_before_ns is not None and now_ns >= self._not_before_ns

    def is_waiting_to_retry(self, now_ns: int) -> bool:
        """Return whether an error answer's waiting time is still running."""
        return self._not_before_ns is not None and now_ns < self._not_before_ns


def threshold(chunk_rows: int, round_trips: RoundTrips, settings: Settings) -> float:
    """LeRobot's rule: ask when at most the share `chunk_size_threshold` of the last chunk is left."""
    return settings.chunk_size_threshold * chunk_rows


def adaptive(chunk_rows: int, round_trips: RoundTrips, settings: Settings) -> float:
    """Ask as late as lets the answer come with `margin_steps` left at the windowed p95.

    At least `min_replan_steps` (of a short chunk: half of it) lie between two questions, because replanning too often
    hurts the policy. A round trip beyond half the chunk asks right after each answer. Before anything is measured
    `threshold` decides; while only the warm-up is, the earlier of the two rules.
    """
    by_share = threshold(chunk_rows, round_trips, settings)
    if math.isnan(round_trips.estimate_s):
        return by_share
    if is_slow(chunk_rows, round_trips, settings):
        return chunk_rows
    needed = math.ceil(round_trips.estimate_s * settings.fps) + settings.margin_steps
    if math.isnan(round_trips.p95_s):
        return min(max(needed, by_share), chunk_rows)
    return min(needed, max(chunk_rows - settings.min_replan_steps, chunk_rows // 2))


def is_slow(chunk_rows: int, round_trips: RoundTrips, settings: Settings) -> bool:
    """Return whether the round trip takes more than half a chunk: worth a warning under `adaptive`."""
    return round_trips.p95_s * settings.fps > 0.5 * chunk_rows


AskRule = Callable[[int, RoundTrips, Settings], float]
"""(rows of the last chunk, round trips, settings) -> ask when this many rows or fewer are left."""
ASK_RULES: dict[str, AskRule] = {"threshold": threshold, "adaptive": adaptive}
