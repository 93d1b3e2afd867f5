# SPDX-License-Identifier: Apache-2.0
"""What the queue did in the last seconds, ready to be drawn. No clock is read: times come in as arguments."""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from so101_node.metrics.latency import LatencyBreakdown, LatencyWindow
from so101_node.protocol import QueueState

WINDOW_S = 30.0
LEADS_NS = 5_000_000_000  # of so long the soonest tick counts: long enough for a quick one, short for drifting clocks
OUT_OF_ORDER_NS = 1_000_000_000  # ticks of two queues on one computer come in an order that is this far from theirs

STATES = tuple(QueueState.__members__)
"""Names of the constants of QueueStatus, by value."""


@dataclass(frozen=True, slots=True)
class TickMark:
    """One QueueStatus, as far as it is drawn. `state`: index into STATES; ages and times in s, NaN where unknown.

    `tick_ns` is on the robot's monotonic clock.
    """

    tick_ns: int
    state: int
    cause: str
    length: int
    chunk_size: int
    threshold: float
    action_age: float
    tick_hz: float
    round_trip_last: float
    round_trip_p95: float
    starved_ticks: int


@dataclass(frozen=True, slots=True)
class ChunkMark:
    """One chunk whose first row has been executed; `time_ns` is when that was heard, on the clock of this process."""

    time_ns: int
    breakdown: LatencyBreakdown


@dataclass(frozen=True, slots=True)
class Curves:
    """The ticks of the window as arrays, (n,), oldest first. age_s: time before now, never rising, never below 0."""

    age_s: NDArray[np.float64]
    length: NDArray[np.float64]
    requests_at: NDArray[np.float64]
    state: NDArray[np.int64]
    action_age: NDArray[np.float64]


class _RobotClock:
    """Where the ticks of one queue lie on the clock of this process.

    A tick is heard some time after it was, now soon, now late. What came through soonest of late tells how the clocks
    lie; all ticks are placed by that, so that their distances are the robot's own, whenever each was heard.
    """

    def __init__(self) -> None:
        self.newest_tick_ns = -(2**63)
        self._leads: deque[tuple[int, int]] = deque()  # when heard, and how far this clock was ahead of the tick then

    def hear(self, tick_ns: int, heard_ns: int) -> None:
        self.newest_tick_ns = max(self.newest_tick_ns, tick_ns)
        self._leads.append((heard_ns, heard_ns - tick_ns))
        while self._leads[0][0] < heard_ns - LEADS_NS:
            self._leads.popleft()

    @property
    def lead_ns(self) -> int:
        """How far this process's clock is ahead of the robot's, ns."""
        return min(lead_ns for _, lead_ns in self._leads)

    def is_of(self, tick_ns: int, heard_ns: int, window_ns: int) -> bool:
        """Tell whether a tick can be of this clock: no reboot, no bag that began again, no other computer."""
        backwards = tick_ns < self.newest_tick_ns - OUT_OF_ORDER_NS
        return not backwards and heard_ns - tick_ns > self.lead_ns - window_ns


class QueueHistory:
    """The last WINDOW_S of ticks and chunks; what is older is forgotten when something newer comes.

    Ticks may come late, in bursts, out of order, of two queues at once or of clocks that begin again: their curves run
    forward in time all the same.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self.window_s = window_s
        self._window_ns = round(window_s * 1e9)
        self._clock: _RobotClock | None = None
        self._ticks: deque[tuple[_RobotClock, TickMark]] = deque()
        self._chunks: deque[ChunkMark] = deque()
        self._heard_ns = 0
        self.latency = LatencyWindow()

    def add_tick(self, mark: TickMark, heard_ns: int) -> None:
        """Take in one tick, heard at this time of this process's clock."""
        if self._clock is None or not self._clock.is_of(mark.tick_ns, heard_ns, self._window_ns):
            self._clock = _RobotClock()
        self._clock.hear(mark.tick_ns, heard_ns)
        self._ticks.append((self._clock, mark))
        self._heard_ns = heard_ns
        self._forget(heard_ns)

    def add_chunk(self, mark: ChunkMark) -> None:
        """Take in one chunk."""
        self._chunks.append(mark)
        self.latency.add(mark.breakdown)
        self._forget(mark.time_ns)

    @property
    def newest(self) -> TickMark | None:
        """The tick that was heard last, or None before the first."""
        return self._ticks[-1][1] if self._ticks else None

    @property
    def chunks(self) -> tuple[ChunkMark, ...]:
        """The chunks of the window, oldest first."""
        return tuple(self._chunks)

    def silent_s(self, now_ns: int) -> float:
        """Return how long no tick was heard; infinite before the first."""
        return (now_ns - self._heard_ns) * 1e-9 if self._ticks else math.inf

    def curves(self, now_ns: int) -> Curves:
        """Return the window's ticks as arrays."""
        leads = {clock: clock.lead_ns for clock, _ in self._ticks}
        ages_ns = np.array([now_ns - mark.tick_ns - leads[clock] for clock, mark in self._ticks], np.int64)
        order = np.argsort(-ages_ns, kind="stable")
        marks = [self._ticks[index][1] for index in order]
        return Curves(
            age_s=np.maximum(ages_ns[order], 0) * 1e-9,
            length=np.array([mark.length for mark in marks], np.float64),
            requests_at=np.array([mark.threshold * mark.chunk_size for mark in marks], np.float64),
            state=np.array([mark.state for mark in marks], np.int64),
            action_age=np.array([mark.action_age for mark in marks], np.float64),
        )

    def _forget(self, now_ns: int) -> None:
        oldest_ns = now_ns - self._window_ns
        while len(self._ticks) > 1 and self._ticks[0][1].tick_ns + self._ticks[0][0].lead_ns < oldest_ns:
            self._ticks.popleft()
        while self._chunks and self._chunks[0].time_ns < oldest_ns:
            self._chunks.popleft()
