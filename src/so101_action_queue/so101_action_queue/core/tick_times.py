# SPDX-License-Identifier: Apache-2.0
"""What the times of the ticks say: control periods that passed, and for how long this process stood still."""

import math
from dataclasses import dataclass

from so101_action_queue.core import causes
from so101_action_queue.core.causes import NO_REASON, Reason
from so101_action_queue.core.settings import QueueSettings

HELD_UP_S = 0.1  # a tick that comes so much too late: the queue itself stood still, and heard nobody
EARLY_PERIODS = 0.25  # a tick may come that much before its time, counted from the first, which itself was late


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Since the tick before: control periods (1 or more), and by how much this tick came too late, ns."""

    periods: int
    held_up_ns: int

    def is_held_up(self, settings: QueueSettings) -> bool:
        """Whether this process stood still, and the settings want that to be looked at."""
        return settings.resume_within_s > 0.0 and self.held_up_ns > HELD_UP_S * 1e9

    def fault(self, settings: QueueSettings) -> Reason:
        """Return why a session must not go on after this process stood still, or NO_REASON."""
        limit_s = settings.resume_within_s
        if self.held_up_ns <= limit_s * 1e9:
            return NO_REASON
        text = f"the queue itself was held up for {self.held_up_ns / 1e9:.1f} s (resume_within_s {limit_s:g})"
        return Reason(causes.HELD_UP, text)


class TickTimes:
    """Counts control periods from the first tick on: a late tick and the next one, which comes in time, are two."""

    def __init__(self) -> None:
        self._first_ns: int | None = None
        self._last_ns: int | None = None
        self._periods = 0  # that the ticks so far stand for

    def tick(self, now_ns: int, period_ns: int) -> Elapsed:
        """Take note of a tick."""
        if self._first_ns is None:
            self._first_ns = now_ns
        passed = math.floor((now_ns - self._first_ns) / period_ns + EARLY_PERIODS)
        periods = max(1, passed + 1 - self._periods)
        self._periods += periods
        held_up_ns = 0 if self._last_ns is None else now_ns - self._last_ns - period_ns
        self._last_ns = now_ns
        return Elapsed(periods, held_up_ns)
