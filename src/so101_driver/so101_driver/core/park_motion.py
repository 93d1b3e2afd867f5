# SPDX-License-Identifier: Apache-2.0
"""A slow straight line in joint space that starts and ends at rest."""

import numpy as np
import numpy.typing as npt
from so101_node.protocol import FloatArray


class ParkMotion:
    """Minimum-jerk motion between joint positions whose fastest joint reaches `peak_speed` at its middle."""

    def __init__(self, start: npt.ArrayLike, end: npt.ArrayLike, peak_speed: float, start_ns: int) -> None:
        """`start`, `end`: (joints,), rad. `peak_speed`: rad/s. Raises ValueError for shapes that differ."""
        self._start = np.array(start, dtype=np.float64)
        self.end = np.array(end, dtype=np.float64)
        if self._start.shape != self.end.shape:
            raise ValueError(f"start has shape {self._start.shape}, end has {self.end.shape}")
        self.peak_speed = peak_speed
        self._start_ns = start_ns
        # The speed of s(t) = 10 t^3 - 15 t^4 + 6 t^5 peaks at 15/8 of its mean.
        self._duration_ns = max(1, round(1.875 * float(np.max(np.abs(self.end - self._start))) / peak_speed * 1e9))

    def sample(self, now_ns: int) -> FloatArray:
        """Joint positions at `now_ns`, (joints,), rad."""
        t = min(max((now_ns - self._start_ns) / self._duration_ns, 0.0), 1.0)
        return self._start + (10 * t**3 - 15 * t**4 + 6 * t**5) * (self.end - self._start)

    def is_over(self, now_ns: int) -> bool:
        """Whether the end has been reached."""
        return now_ns - self._start_ns >= self._duration_ns
