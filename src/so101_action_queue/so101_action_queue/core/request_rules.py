# SPDX-License-Identifier: Apache-2.0
"""When to request the next chunk: how long requests take, and the rules by which that decides.

An all-time maximum never forgets: one warm-up of 2 s, and every later estimate is 2 s. A window of 50 chunks does.
"""

import math
from collections import deque
from collections.abc import Callable

from so101_node.metrics.quantile import quantile

from so101_action_queue.core.settings import QueueSettings

WINDOW = 50


class RoundTrips:
    """Round trips of the last `WINDOW` accepted chunks, s. The first chunk of each server is warm-up, left out."""

    def __init__(self) -> None:
        self._window: deque[float] = deque(maxlen=WINDOW)
        self._warm = False
        self.last_s = math.nan
        self.p50_s = math.nan
        self.p95_s = math.nan

    @property
    def estimate_s(self) -> float:
        """How long the next chunk may take: p95, or what the warm-up took while nothing else is known; NaN before."""
        if not math.isnan(self.p95_s):
            return self.p95_s
        return self.last_s if self._warm else math.nan

    def new_server(self) -> None:
        """Forget what the previous server took; the next chunk is warm-up."""
        self._window.clear()
        self._warm = False
        self.p50_s = self.p95_s = math.nan

    def add(self, seconds: float) -> None:
        """Take in the round trip of one accepted chunk."""
        self.last_s = seconds
        if not self._warm:
            self._warm = True
            return
        self._window.append(seconds)
        ordered = sorted(self._window)
        self.p50_s = quantile(ordered, 0.50)
        self.p95_s = quantile(ordered, 0.95)


def threshold(chunk_rows: int, round_trips: RoundTrips, settings: QueueSettings) -> float:
    """LeRobot's rule: request when at most the ratio `chunk_size_threshold` of the last chunk is left."""
    return settings.chunk_size_threshold * chunk_rows


def adaptive(chunk_rows: int, round_trips: RoundTrips, settings: QueueSettings) -> float:
    """Request as late as lets the chunk come with `margin_steps` left at the windowed p95.

    At least `min_replan_steps` (of a short chunk: half of it) lie between two requests, because replanning too often
    hurts the policy. A round trip beyond half the chunk requests right after each chunk. Before anything is measured
    `threshold` decides; while only the warm-up is, the earlier of the two rules.
    """
    by_ratio = threshold(chunk_rows, round_trips, settings)
    if math.isnan(round_trips.estimate_s):
        return by_ratio
    if is_slow(chunk_rows, round_trips, settings):
        return chunk_rows
    needed = math.ceil(round_trips.estimate_s * settings.fps) + settings.margin_steps
    if math.isnan(round_trips.p95_s):
        return min(max(needed, by_ratio), chunk_rows)
    return min(needed, max(chunk_rows - settings.min_replan_steps, chunk_rows // 2))


def is_slow(chunk_rows: int, round_trips: RoundTrips, settings: QueueSettings) -> bool:
    """Return whether the round trip takes more than half a chunk: worth a warning under `adaptive`."""
    return round_trips.p95_s * settings.fps > 0.5 * chunk_rows


RequestRule = Callable[[int, RoundTrips, QueueSettings], float]
"""(rows of the last chunk, round trips, settings) -> request when this many rows or fewer are left."""
REQUEST_RULES: dict[str, RequestRule] = {"threshold": threshold, "adaptive": adaptive}
