"""How long a question takes: quantiles over the newest answers.

An all-time maximum never forgets: one warm-up of 2 s, and every later estimate is 2 s. A window of 50 answers does.
"""

import math
from collections import deque

from so101_node.quantile import quantile

WINDOW = 50


class RoundTrips:
    """Round trips of the last `WINDOW` accepted answers, s. The first answer of each server is warm-up, left out."""

    def __init__(self) -> None:
        self._window: deque[float] = deque(maxlen=WINDOW)
        self._warm = False
        self.last_s = math.nan
        self.p50_s = math.nan
        self.p95_s = math.nan

    @property
    def estimate_s(self) -> float:
        """How long the next answer may take: p95, or what the warm-up took while nothing else is known; NaN before."""
        if not math.isnan(self.p95_s):
            return self.p95_s
        return self.last_s if self._warm else math.nan

    def new_server(self) -> None:
        """Forget what the previous server took; the next answer is warm-up."""
        self._window.clear()
        self._warm = False
        self.p50_s = self.p95_s = math.nan

    def add(self, seconds: float) -> None:
        """Take in one accepted answer."""
        self.last_s = seconds
        if not self._warm:
            self._warm = True
            return
        self._window.append(seconds)
        ordered = sorted(self._window)
        self.p50_s = quantile(ordered, 0.50)
        self.p95_s = quantile(ordered, 0.95)
