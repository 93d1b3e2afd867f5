# SPDX-License-Identifier: Apache-2.0
"""A thread that calls a function at a fixed rate on absolute deadlines.

rclpy's timers share an executor with every callback (p99 10 ms and 213 ms at worst under a MultiThreadedExecutor);
a sleep relative to the last tick drifts. Here deadline k is start + k x period, whatever happened before. Deadlines
that went by are counted and left out, never made up for in a burst.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from so101_node.threads.fatal import FatalSlot
from so101_node.threads.priority import use_realtime
from so101_node.threads.watched import WatchedThread
from so101_node.timing import clock

_LONG_NS: Final = 100_000_000
"""A wait this long is broken off by `stop`; a shorter one sleeps, which costs a control thread less."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick as it happened. Times in ns on the control clock; `misses`: deadlines left out since the start."""

    index: int
    now_ns: int
    error_ns: int
    misses: int
    hz: float


class DeadlineGrid:
    """Deadlines on a fixed grid; knows no clock."""

    def __init__(self, start_ns: int, period_ns: int) -> None:
        self._period_ns = period_ns
        self._deadline_ns = start_ns
        self._times: deque[int] = deque(maxlen=max(2, round(1e9 / period_ns) + 1))
        self._index = 0
        self._misses = 0

    @property
    def deadline_ns(self) -> int:
        """When the next tick is due."""
        return self._deadline_ns

    @property
    def misses(self) -> int:
        """Deadlines left out so far."""
        return self._misses

    def begin(self, now_ns: int) -> Tick:
        """Take note that the tick due at `deadline_ns` begins, and move on to the first deadline still ahead.

        A tick that begins a whole period late or more counts one miss for each deadline it passes over.
        """
        error_ns = now_ns - self._deadline_ns
        passed = max(0, error_ns // self._period_ns)
        self._misses += passed
        self._deadline_ns += (passed + 1) * self._period_ns
        self._times.append(now_ns)
        span_ns = self._times[-1] - self._times[0]
        hz = (len(self._times) - 1) * 1e9 / span_ns if span_ns > 0 else 0.0
        tick = Tick(self._index, now_ns, error_ns, self._misses, hz)
        self._index += 1
        return tick

    def leave_out_passed(self, now_ns: int) -> None:
        """Count every deadline that `now_ns` has reached as missed, and move on to the first one after it."""
        if now_ns >= self._deadline_ns:
            passed = (now_ns - self._deadline_ns) // self._period_ns + 1
            self._misses += passed
            self._deadline_ns += passed * self._period_ns


class FixedRateThread:
    """Runs `work(tick)` once per period until `stop`, or until `work` returns True.

    Args:
        name: of the thread.
        period_ns: time between deadlines, ns.
        work: what to do; an exception ends the thread and goes into `fatal`.
        fatal: where the node looks for it.
        realtime_priority: SCHED_FIFO, 1 to 99, where the system permits it; 0 leaves the thread as it is.
        at_once: the first tick is due at the start, not one period after it.
        on_grid_only: a deadline that went by while `work` ran is left out; else its tick begins late, at once.
    """

    def __init__(
        self,
        name: str,
        period_ns: int,
        work: Callable[[Tick], bool | None],
        fatal: FatalSlot,
        *,
        realtime_priority: int = 0,
        at_once: bool = False,
        on_grid_only: bool = False,
    ) -> None:
        self._period_ns = period_ns
        self._work = work
        self._priority = realtime_priority
        self._first_ns = 0 if at_once else period_ns
        self._on_grid_only = on_grid_only
        self._grid = DeadlineGrid(0, period_ns)
        self._stop = threading.Event()
        self._thread = WatchedThread(name, self._run, fatal)

    @property
    def misses(self) -> int:
        """Deadlines left out since the start."""
        return self._grid.misses

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the tick in progress. Returns within a period and a second."""
        self._stop.set()
        self.join(self._period_ns / 1e9 + 1.0)

    def join(self, timeout_s: float) -> bool:
        """Wait until `work` has returned True, `timeout_s` at most. Whether the thread has ended."""
        return self._thread.join(timeout_s)

    def _run(self) -> None:
        use_realtime(self._priority)
        self._grid = grid = DeadlineGrid(clock.now_ns() + self._first_ns, self._period_ns)
        while not self._stop.is_set():
            wait_ns = grid.deadline_ns - clock.now_ns()
            if wait_ns >= _LONG_NS:
                self._stop.wait(wait_ns / 1e9)
            elif wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            if self._stop.is_set() or self._work(grid.begin(clock.now_ns())):
                return
            if self._on_grid_only:
                grid.leave_out_passed(clock.now_ns())
