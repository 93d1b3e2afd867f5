# SPDX-License-Identifier: Apache-2.0
"""Times over the last answers: their percentiles, and when to warn about those of inference."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from so101_node.metrics.quantile import WINDOW, quantile

WARN_EVERY_NS: Final = 10_000_000_000


class RecentTimes:
    """Percentiles of one duration over the last `WINDOW` answers."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=WINDOW)

    def __len__(self) -> int:
        return len(self._seconds)

    def add(self, seconds: float) -> None:
        """Take in one answer's; NaN, which means that it is not known, is left out."""
        if not math.isnan(seconds):
            self._seconds.append(seconds)

    def percentile(self, percent: float) -> float:
        """Percentile over the window, s; NaN before the first answer."""
        return quantile(sorted(self._seconds), percent / 100)


class InferenceTimes:
    """Percentiles of the policy's own time over the last `WINDOW` answers.

    Args:
        target_s: a median above this is worth a warning, not more than one in 10 s; nothing ever sleeps to meet it.
    """

    def __init__(self, target_s: float) -> None:
        self._target_s = target_s
        self._times = RecentTimes()
        self._warned_ns: int | None = None

    def add(self, seconds: float, now_ns: int) -> str | None:
        """Take in one answer's inference time; returns a warning line when one is due."""
        self._times.add(seconds)
        median = self.percentile(50)
        if median <= self._target_s or (self._warned_ns is not None and now_ns - self._warned_ns < WARN_EVERY_NS):
            return None
        self._warned_ns = now_ns
        return (
            f"inference takes {median:.3f} s (median of {len(self._times)}), "
            f"target inference_latency = {self._target_s:g} s"
        )

    def percentile(self, percent: float) -> float:
        """Percentile over the window, s; NaN before the first answer."""
        return self._times.percentile(percent)
