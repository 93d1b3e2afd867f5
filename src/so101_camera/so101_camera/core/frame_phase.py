# SPDX-License-Identifier: Apache-2.0
"""When a camera's next frame is due, and whether a request should wait for it."""

from collections import deque
from dataclasses import dataclass

from so101_node.metrics.quantile import quantile

INTERVALS = 9  # whose median is the period: a dropped frame or two do not change it

# By how much of a period a frame may come late. By more, the camera has dropped it or stands still.
LATE_SHARE = 0.1

# By how much a camera's own estimate of when its frame is due may differ from that of who asks.
TOLERANCE_NS = 1_000_000

# With the lateness half a period: who waits longer is later by more than the frame is fresher.
LONGEST_SHARE = 0.4

# A camera is regular where all but two of the intervals are this close to the period, in parts of it.
REGULAR_SHARE = 0.2
REGULAR_INTERVALS = INTERVALS - 2


@dataclass(frozen=True, slots=True)
class FrameWait:
    """What a request waits for: so many frames, at most so long, ns. Without frames the newest one answers it."""

    frames: int = 0
    longest_ns: int = 0


NO_WAIT = FrameWait()


class FramePhase:
    """Knows period and phase of one camera from when its frames came. Not thread-safe; the owner holds a lock.

    Args:
        within_ns: any request waits for the next frame where that is due within this time, ns; 0 = only those do that
            say how long they may.
    """

    def __init__(self, within_ns: int) -> None:
        self._within_ns = within_ns
        self._last_ns: int | None = None
        self._intervals: deque[float] = deque(maxlen=INTERVALS)

    def add(self, now_ns: int) -> None:
        """A frame came at `now_ns` of the monotonic clock."""
        if self._last_ns is not None:
            self._intervals.append(now_ns - self._last_ns)
        self._last_ns = now_ns

    @property
    def period_ns(self) -> float | None:
        """Time between two frames, ns; None before `INTERVALS` of them, and where they come irregularly."""
        if len(self._intervals) < INTERVALS:
            return None
        period_ns = quantile(sorted(self._intervals), 0.5)
        close = sum(abs(interval - period_ns) <= REGULAR_SHARE * period_ns for interval in self._intervals)
        return period_ns if period_ns > 0 and close >= REGULAR_INTERVALS else None

    def wait(self, now_ns: int, granted_ns: int = 0) -> FrameWait:
        """What a request that comes now waits for.

        Args:
            now_ns: monotonic clock, ns.
            granted_ns: how long the request itself lets cameras wait, ns: for the last frame that is due by then.
        """
        granted_ns += TOLERANCE_NS if granted_ns > 0 else 0
        longest_ns = max(self._within_ns, granted_ns)
        period_ns = self.period_ns if longest_ns else None
        if period_ns is None or self._last_ns is None:
            return NO_WAIT
        late_ns = LATE_SHARE * period_ns
        due_in_ns = self._last_ns + period_ns - now_ns
        within_ns = max(min(self._within_ns, LONGEST_SHARE * period_ns), granted_ns)
        if due_in_ns > within_ns or due_in_ns <= -late_ns:
            return NO_WAIT
        more = max(0, int((granted_ns - max(0.0, due_in_ns)) // period_ns))
        return FrameWait(1 + more, round(due_in_ns + more * period_ns + late_ns))
