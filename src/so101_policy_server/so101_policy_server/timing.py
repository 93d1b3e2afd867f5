"""Inference times over the last answers, and when to warn about them."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import numpy as np

WINDOW: Final = 50
"""Answers that percentiles are taken over, as the message says."""

WARN_EVERY_NS: Final = 10_000_000_000


class InferenceTimes:
    """Percentiles of the policy's own time over the last `WINDOW` answers.

    Args:
        target_s: a median above this is worth a warning, not more than one in 10 s; nothing ever sleeps to meet it.
    """

    def __init__(self, target_s: float) -> None:
        self._target_s = target_s
        self._seconds: deque[float] = deque(maxlen=WINDOW)
        self._warned_ns: int | None = None

    def add(self, seconds: float, now_ns: int) -> str | None:
        """Take in one answer's inference time; returns a warning line when one is due."""
        self._seconds.append(seconds)
        median = self.percentile(50)
        if median <= self._target_s or (self._warned_ns is not None and now_ns - self._warned_ns < WARN_EVERY_NS):
            return None
        self._warned_ns = now_ns
        return (
            f"inference takes {median:.3f} s (median of {len(self._seconds)}), "
            f"target inference_latency = {self._target_s:g} s"
        )

    def percentile(self, percent: float) -> float:
        """Percentile over the window, s; NaN before the first answer."""
        return float(np.percentile(self._seconds, percent)) if self._seconds else math.nan
