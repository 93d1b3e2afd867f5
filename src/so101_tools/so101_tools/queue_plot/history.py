"""What the queue did in the last seconds, ready to be drawn. No clock is read: times come in as arguments."""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from so101_node.latency_breakdown import LatencyBreakdown, LatencyWindow

WINDOW_S = 30.0

STATES = ("IDLE", "WAITING", "RUNNING", "STARVED", "HOLDING", "STOPPED")
"""Names of the constants of QueueStatus, by value."""


@dataclass(frozen=True, slots=True)
class TickMark:
    """One QueueStatus, as far as it is drawn. `state`: index into STATES; ages and times in s, NaN where unknown."""

    time_ns: int
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
    """One chunk whose first row has been executed."""

    time_ns: int
    breakdown: LatencyBreakdown


@dataclass(frozen=True, slots=True)
class Curves:
    """The ticks of the window as arrays, (n,), oldest first. age_s: time before now, falling."""

    age_s: NDArray[np.float64]
    length: NDArray[np.float64]
    asks_at: NDArray[np.float64]
    state: NDArray[np.int64]
    action_age: NDArray[np.float64]


class QueueHistory:
    """The last WINDOW_S of ticks and chunks; what is older is forgotten when something newer comes."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self.window_s = window_s
        self._ticks: deque[TickMark] = deque()
        self._chunks: deque[ChunkMark] = deque()
        self.latency = LatencyWindow()

    def add_tick(self, mark: TickMark) -> None:
        """Take in one tick, in the order of time."""
        self._ticks.append(mark)
        self._forget(mark.time_ns)

    def add_chunk(self, mark: ChunkMark) -> None:
        """Take in one chunk, in the order of time."""
        self._chunks.append(mark)
        self.latency.add(mark.breakdown)
        self._forget(mark.time_ns)

    @property
    def newest(self) -> TickMark | None:
        """The newest tick, or None before the first."""
        return self._ticks[-1] if self._ticks else None

    @property
    def chunks(self) -> tuple[ChunkMark, ...]:
        """The chunks of the window, oldest first."""
        return tuple(self._chunks)

    def silent_s(self, now_ns: int) -> float:
        """Return how long no tick was heard; infinite before the first."""
        return (now_ns - self._ticks[-1].time_ns) * 1e-9 if self._ticks else math.inf

    def curves(self, now_ns: int) -> Curves:
        """Return the window's ticks as arrays."""
        marks = self._ticks
        return Curves(
            age_s=np.array([(now_ns - mark.time_ns) * 1e-9 for mark in marks], np.float64),
            length=np.array([mark.length for mark in marks], np.float64),
            asks_at=np.array([mark.threshold * mark.chunk_size for mark in marks], np.float64),
            state=np.array([mark.state for mark in marks], np.int64),
            action_age=np.array([mark.action_age for mark in marks], np.float64),
        )

    def _forget(self, now_ns: int) -> None:
        oldest_ns = now_ns - int(self.window_s * 1e9)
        for marks in (self._ticks, self._chunks):
            while marks and marks[0].time_ns < oldest_ns:
                marks.popleft()
