# SPDX-License-Identifier: Apache-2.0
"""From 30 Hz commands to 60 Hz goals.

A new command becomes the end of a straight line that starts where the goal is now and takes one command period. The
goal therefore arrives one period after the command, never later, and moves at an even speed between commands that
come evenly. With `enabled=False` the newest command is the goal at once, as in LeRobot.

No clock, no thread: a program that steps time itself calls `command` and `sample` with its own time.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from so101_node.protocol import FloatArray

_REMEMBERED_INTERVALS: Final = 5
_SHORTEST_PERIOD_NS: Final = 1_000_000_000 // 60  # the command rate is 10..60 Hz
_LONGEST_PERIOD_NS: Final = 1_000_000_000 // 10


class CommandInterpolator:
    """Piecewise linear goal of any number of joints."""

    def __init__(self, enabled: bool = True, nominal_period_s: float = 1.0 / 30.0) -> None:
        """`nominal_period_s`: period of the line until two commands have shown the real one."""
        self._enabled = enabled
        self._nominal_ns = round(nominal_period_s * 1e9)
        self._intervals_ns: list[int] = []
        self._start: FloatArray = np.zeros(0)
        self._end: FloatArray = np.zeros(0)
        self._start_ns = 0
        self._period_ns = self._nominal_ns
        self._last_command_ns: int | None = None

    @property
    def period_s(self) -> float:
        """Period of the commands, s, as learned; the longest there can be until two commands have shown it."""
        return (self._period_ns if self._intervals_ns else _LONGEST_PERIOD_NS) / 1e9

    def reset(self, position: npt.ArrayLike) -> None:
        """Stand at `position`, (joints,), and forget the commands before."""
        self._start = self._end = np.array(position, dtype=np.float64)
        self._intervals_ns.clear()
        self._last_command_ns = None

    def command(self, target: npt.ArrayLike, now_ns: int) -> None:
        """Head for `target`, (joints,), received at `now_ns`. `reset` goes first."""
        end = np.array(target, dtype=np.float64)
        if end.shape != self._end.shape:
            raise ValueError(f"expected {self._end.shape} positions as given to reset, got {end.shape}")
        self._start = self.sample(now_ns)
        self._end = end
        self._start_ns = now_ns
        self._period_ns = self._learn_period(now_ns)

    def sample(self, now_ns: int) -> FloatArray:
        """Goal at `now_ns`, (joints,): the line before its end, the last command after it."""
        elapsed_ns = now_ns - self._start_ns
        if not self._enabled or self._last_command_ns is None or elapsed_ns >= self._period_ns:
            return self._end.copy()
        ratio = max(0.0, elapsed_ns / self._period_ns)
        return self._start + ratio * (self._end - self._start)

    def _learn_period(self, now_ns: int) -> int:
        """Median of the last intervals: a late or doubled command must not bend the line."""
        if self._last_command_ns is not None:
            interval = min(max(now_ns - self._last_command_ns, _SHORTEST_PERIOD_NS), _LONGEST_PERIOD_NS)
            self._intervals_ns = [*self._intervals_ns[1 - _REMEMBERED_INTERVALS :], interval]
        self._last_command_ns = now_ns
        if not self._intervals_ns:
            return self._nominal_ns
        return sorted(self._intervals_ns)[len(self._intervals_ns) // 2]
