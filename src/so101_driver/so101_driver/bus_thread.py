"""The thread that runs the control cycle 60 times a second on absolute deadlines."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from so101_node.priority import use_realtime

from so101_driver.control_cycle import ControlCycle, Snapshot
from so101_driver.gate_values import Outcome
from so101_driver.safety_gate import SafetyGate
from so101_node import clock

_JOIN_TIMEOUT_S: Final = 1.5
_BRAKING_NS: Final = 500_000_000  # 8 rad/s at 40 rad/s^2 takes 0.2 s
_COMMANDS_KEPT: Final = 4  # a flood of commands costs no more than this many per tick


class BusThread:
    """Owns the control cycle while it runs; other threads speak to it through these methods only."""

    def __init__(
        self,
        cycle: ControlCycle,
        period_s: float,
        on_snapshot: Callable[[Snapshot], None],
        realtime_priority: int = 0,
    ) -> None:
        """`on_snapshot` is called on this thread after each tick and must not block.

        `realtime_priority`: SCHED_FIFO, 1 to 99, where the system permits it; 0 leaves the thread as it is.
        """
        self._cycle = cycle
        self._period_ns = round(period_s * 1e9)
        self._on_snapshot = on_snapshot
        self._priority = realtime_priority
        self._cycle_lock = threading.Lock()
        self._commands: deque[tuple[npt.NDArray[np.float64] | None, int]] = deque(maxlen=_COMMANDS_KEPT)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure: Exception | None = None
        self.missed_deadlines = 0

    def start(self) -> None:
        """Begin ticking."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="servo_bus", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the arm brake and end the thread, within about a second. The servos keep holding."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        thread.join(_JOIN_TIMEOUT_S)

    def command(self, positions: npt.NDArray[np.float64] | None, now_ns: int) -> None:
        """Hand over a command, (6,), rad, or None for one that could not be read. Never blocks."""
        self._commands.append((positions, now_ns))

    def request(self, ask: Callable[[SafetyGate], Outcome]) -> Outcome:
        """Put a request to the gate; waits for the tick in progress."""
        with self._cycle_lock:
            return ask(self._cycle.gate)

    def _run(self) -> None:
        use_realtime(self._priority)
        try:
            self._tick_until_stopped()
        except Exception as error:  # noqa: BLE001 - any defect must end the process with a line, not die in silence
            self.failure = error

    def _tick_until_stopped(self) -> None:
        deadline_ns = clock.now_ns()
        give_up_ns: int | None = None
        while True:
            now_ns = clock.now_ns()
            with self._cycle_lock:
                if self._stopping.is_set() and give_up_ns is None:
                    self._cycle.gate.stop()
                    give_up_ns = now_ns + _BRAKING_NS
                self._take_commands()
                snapshot = self._cycle.run(now_ns)
                still = self._cycle.gate.is_still
            self._on_snapshot(snapshot)
            if give_up_ns is not None and (still or now_ns >= give_up_ns):
                return
            deadline_ns = self._sleep_until_next(deadline_ns)

    def _take_commands(self) -> None:
        while self._commands:
            positions, now_ns = self._commands.popleft()
            if positions is None:
                self._cycle.gate.reject_command()
            else:
                self._cycle.gate.command(positions, now_ns)

    def _sleep_until_next(self, deadline_ns: int) -> int:
        """Sleep to the next deadline on the grid; those already past are counted, never made up for in a burst."""
        deadline_ns += self._period_ns
        now_ns = clock.now_ns()
        if now_ns >= deadline_ns:
            missed = (now_ns - deadline_ns) // self._period_ns + 1
            self.missed_deadlines += missed
            deadline_ns += missed * self._period_ns
        time.sleep((deadline_ns - now_ns) / 1e9)
        return deadline_ns
