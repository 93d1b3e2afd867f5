# SPDX-License-Identifier: Apache-2.0
"""When a camera's next frame is due, and whether a request should wait for it."""

from collections import deque

from so101_node.metrics.quantile import quantile

INTERVALS = 9  # whose median is the period: a dropped frame or two do not change it

# By how much of a period a frame may come late. By more, the camera has dropped it or stands still.
LATE_SHARE = 0.1

# With the lateness half a period: who waits longer is later by more than the frame is fresher.
LONGEST_SHARE = 0.4


class FramePhase:
    """Knows period and phase of one camera from when its frames came. Not thread-safe; the owner holds a lock.

    Args:
        within_ns: a request waits for the next frame where that is due within this time, ns; 0 = never.
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

    def wait_ns(self, now_ns: int) -> int:
        """How long a request that comes now may wait for the next frame, ns; 0 = the newest frame answers it."""
        if not self._within_ns or self._last_ns is None or len(self._intervals) < INTERVALS:
            return 0
        period_ns = quantile(sorted(self._intervals), 0.5)
        due_in_ns = self._last_ns + period_ns - now_ns
        if due_in_ns > min(self._within_ns, LONGEST_SHARE * period_ns):
            return 0
        return max(0, round(due_in_ns + LATE_SHARE * period_ns))
