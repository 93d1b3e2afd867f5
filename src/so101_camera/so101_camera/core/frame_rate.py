# SPDX-License-Identifier: Apache-2.0
"""What a camera really delivers, against what was asked of it and against what a policy server accepts."""

from collections import deque

WINDOW_NS = 5_000_000_000

# Short of the rate asked by more than this, a camera is slow. Cameras are 1-2 % off, and a busy computer drops a few.
TOLERATED_SHARE = 0.8

# Auto exposure halves the rate in the dark; a window that is not full yet says nothing.
SETTLED_NS = 4_000_000_000

# max_frame_age_s of the policy server, as it comes. A frame is as old as a period, and then some for its way.
SERVER_ACCEPTS_S = 0.2
OLD_FROM_S = 0.75 * SERVER_ACCEPTS_S


class FrameRate:
    """The rate over the last seconds, from counts taken about once a second."""

    def __init__(self, asked: float) -> None:
        """Start; `asked` is in frames a second, 0 where nobody asked."""
        self._asked = asked
        self._counts: deque[tuple[int, int]] = deque()
        self._last_new_ns: int | None = None

    def add(self, now_ns: int, frames: int) -> None:
        """Take in the number of frames since the start, counted at `now_ns` of a monotonic clock."""
        if self._last_new_ns is None or frames > self._counts[-1][1]:
            self._last_new_ns = now_ns
        self._counts.append((now_ns, frames))
        while len(self._counts) > 2 and now_ns - self._counts[1][0] >= WINDOW_NS:
            self._counts.popleft()

    @property
    def measured(self) -> float:
        """Frames a second over the last 5 s; 0 before two counts."""
        if len(self._counts) < 2:
            return 0.0
        (begin_ns, before), (end_ns, after) = self._counts[0], self._counts[-1]
        return (after - before) * 1e9 / (end_ns - begin_ns)

    @property
    def is_silent(self) -> bool:
        """Whether frames are overdue: none for 1 s, or for 2.5 periods of a camera that was asked for fewer."""
        if self._last_new_ns is None or self._counts[-1][1] == 0:
            return True
        limit_ns = 2.5e9 / self._asked if self._asked else 0.0
        return self._counts[-1][0] - self._last_new_ns >= max(0.9e9, limit_ns)

    @property
    def is_slow(self) -> bool:
        """Whether clearly fewer frames come than were asked for, over the whole window."""
        return self._is_settled and self.measured < TOLERATED_SHARE * self._asked

    @property
    def is_old(self) -> bool:
        """Whether the newest frame is at times too old for a policy server as it comes."""
        return self._is_settled and 0 < self.measured < 1 / OLD_FROM_S

    @property
    def _is_settled(self) -> bool:
        return not self.is_silent and self._counts[-1][0] - self._counts[0][0] >= SETTLED_NS

    def words(self) -> str:
        """Return both rates: `15.0 frames/s, 30 asked`."""
        asked = f", {self._asked:g} asked" if self._asked else ""
        return f"{self.measured:.1f} frames/s{asked}"

    def age_words(self) -> str:
        """Return in words what the rate means for a policy server, with the value to type."""
        period = 1 / self.measured
        return (
            f"at {self.measured:.1f} frames/s a frame is up to {period:.2f} s old, and a policy server refuses frames "
            f"older than max_frame_age_s ({SERVER_ACCEPTS_S:g} s unless set): set it to {1.5 * period:.2f} or more"
        )
