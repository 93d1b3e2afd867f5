# SPDX-License-Identifier: Apache-2.0
"""What lies between a goal and the command that engages the arm is closed slowly, not within one period.

A first command is seldom far away: the action queue begins at the goal. It is where the driver or the queue itself
stood still (SIGSTOP, a busy computer) and the plan went on meanwhile: 0.2 rad at once would be a blow of 3 rad/s.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from so101_node.protocol import FloatArray

_SPEED_RAD_S: Final = 0.5


class Approach:
    """What is left of that distance. No clock: the time comes in."""

    def __init__(self) -> None:
        self._gap: FloatArray = np.zeros(0)
        self._since_ns = 0

    def begin(self, gap: npt.ArrayLike, now_ns: int) -> None:
        """`gap`: goal minus command, (joints,), rad."""
        self._gap = np.array(gap, dtype=np.float64)
        self._since_ns = now_ns

    def remaining(self, now_ns: int) -> FloatArray:
        """What to add to the commands now, (joints,), rad."""
        closed = _SPEED_RAD_S * max(0, now_ns - self._since_ns) / 1e9
        left: FloatArray = np.sign(self._gap) * np.maximum(np.abs(self._gap) - closed, 0.0)
        return left
