"""A thread that calls a function at a fixed rate on absolute deadlines.

rclpy's timers share an executor with every callback (p99 10 ms and 213 ms at worst under a MultiThreadedExecutor);
a sleep relative to the last tick drifts. Here deadline k is start + k x period, whatever happened before. Deadlines
that went by are counted and left out, never made up for in a burst.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from so101_node.priority import use_realtime

from so101_node import clock


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick as it happened. Times in ns on the monotonic clock."""

    index: int
    now_ns: int
    error_ns: int
    misses: int
    hz: float


class TickGrid:
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


class SessionMisses:
    """Counts missed deadlines from the begin of each session, as the other counters of QueueStatus do."""

    def __init__(self) -> None:
        self._session = 0
        self._before = 0

    def since_begin(self, session: int, tick: Tick) -> Tick:
        """Return `tick` with only the misses after the first tick of `session`."""
        if session != self._session:
            self._session, self._before = session, tick.misses
        return replace(tick, misses=tick.misses - self._before)


class TickThread:
    """Runs `work(tick)` once per period until `stop`. An exception in `work` ends the thread and is kept in `error`."""

    def __init__(self, period_ns: int, work: Callable[[Tick], None], realtime_priority: int = 0) -> None:
        self._period_ns = period_ns
        self._work = work
        self._priority = realtime_priority
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tick", daemon=True)
        self.name = self._thread.name
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin; the first tick is one period from now."""
        self._thread.start()

    def stop(self) -> None:
        """End after the tick in progress. Returns within a period and a second."""
        self._stop.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(self._period_ns / 1e9 + 1.0)

    def _run(self) -> None:
        use_realtime(self._priority)
        grid = TickGrid(clock.now_ns() + self._period_ns, self._period_ns)
        try:
            while not self._stop.is_set():
                wait_ns = grid.deadline_ns - clock.now_ns()
                if wait_ns > 0:
                    time.sleep(wait_ns / 1e9)
                if self._stop.is_set():
                    return
                self._work(grid.begin(clock.now_ns()))
        except Exception as error:  # noqa: BLE001 - handed to the node, which ends with it
            self.error = error
