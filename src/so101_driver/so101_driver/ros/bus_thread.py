# SPDX-License-Identifier: Apache-2.0
"""The thread that runs the control cycle 60 times a second on absolute deadlines."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from so101_node.threads import FatalSlot, FixedRateThread, Tick

from so101_driver.core.control_cycle import ControlCycle, Snapshot
from so101_driver.core.gate_values import GateReply
from so101_driver.core.safety_gate import SafetyGate

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
        fatal: FatalSlot,
        realtime_priority: int = 0,
    ) -> None:
        """`on_snapshot` is called on this thread after each tick and must not block.

        `realtime_priority`: SCHED_FIFO, 1 to 99, where the system permits it; 0 leaves the thread as it is.
        """
        self._cycle = cycle
        self._on_snapshot = on_snapshot
        self._cycle_lock = threading.Lock()
        self._commands: deque[tuple[npt.NDArray[np.float64] | None, int]] = deque(maxlen=_COMMANDS_KEPT)
        self._stopping = threading.Event()
        self._give_up_ns: int | None = None
        # On the grid only: a cycle that was late must not be followed by the next one at once.
        self._ticker = FixedRateThread(
            "servo_bus",
            round(period_s * 1e9),
            self._tick,
            fatal,
            realtime_priority=realtime_priority,
            at_once=True,
            on_grid_only=True,
        )

    @property
    def missed_deadlines(self) -> int:
        """Ticks left out because the one before took too long or came too late."""
        return self._ticker.misses

    def start(self) -> None:
        """Begin ticking."""
        self._ticker.start()

    def stop(self) -> None:
        """Let the arm brake and end the thread, within about a second. The servos keep holding."""
        self._stopping.set()
        self._ticker.join(_JOIN_TIMEOUT_S)

    def command(self, positions: npt.NDArray[np.float64] | None, now_ns: int) -> None:
        """Hand over a command, (6,), rad, or None for one that could not be read. Never blocks."""
        self._commands.append((positions, now_ns))

    def request(self, ask: Callable[[SafetyGate], GateReply]) -> GateReply:
        """Put a request to the gate; waits for the tick in progress."""
        with self._cycle_lock:
            return ask(self._cycle.gate)

    def _tick(self, tick: Tick) -> bool:
        """Run one cycle; True when the arm has braked after `stop`."""
        with self._cycle_lock:
            if self._stopping.is_set() and self._give_up_ns is None:
                self._cycle.gate.stop()
                self._give_up_ns = tick.now_ns + _BRAKING_NS
            self._take_commands()
            snapshot = self._cycle.run(tick.now_ns)
            still = self._cycle.gate.is_still
        self._on_snapshot(snapshot)
        return self._give_up_ns is not None and (still or tick.now_ns >= self._give_up_ns)

    def _take_commands(self) -> None:
        while self._commands:
            positions, now_ns = self._commands.popleft()
            if positions is None:
                self._cycle.gate.reject_command()
            else:
                self._cycle.gate.command(positions, now_ns)
