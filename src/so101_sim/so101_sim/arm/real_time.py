# SPDX-License-Identifier: Apache-2.0
"""How many physics steps are due so that simulated time keeps up with the clock."""

from __future__ import annotations


class RealTimePacer:
    """Counts steps of `step_ns` against a monotonic clock that is handed in.

    After a pause longer than `max_lag_ns` (a suspended or starved process) the missed time is given up and counted as
    a slip: a burst of catching up would move the arm far between two bus transactions.
    """

    def __init__(self, step_ns: int, max_lag_ns: int, now_ns: int) -> None:
        self.slips = 0
        self.slipped_ns = 0
        self._step_ns = step_ns
        self._max_lag_ns = max_lag_ns
        self._done_ns = now_ns

    def due(self, now_ns: int) -> int:
        """Steps to do now; the caller does them."""
        lag = now_ns - self._done_ns
        if lag > self._max_lag_ns:
            self.slips += 1
            self.slipped_ns += lag - self._step_ns
            self._done_ns = now_ns - self._step_ns
        steps = max(0, (now_ns - self._done_ns) // self._step_ns)
        self._done_ns += steps * self._step_ns
        return steps

    def next_ns(self, batch_ns: int) -> int:
        """When a batch of `batch_ns` of steps will be due."""
        return self._done_ns + max(batch_ns, self._step_ns)
