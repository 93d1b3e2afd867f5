# SPDX-License-Identifier: Apache-2.0
"""What is tried, and what came out: plain values that every other module here passes on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

ROWS: Final = (20, 30, 50, 100)
THRESHOLDS: Final = (0.3, 0.5, 0.7)
DELAYS_S: Final = (0.1, 0.3, 0.7)
"""Added to the policy's own time and a quiet network: a good network, a busy one or a larger policy, a bad one."""

POLICY_S: Final = 0.05
"""What the shipped ACT takes on one CPU core."""

LEARNED_HORIZON: Final = 50
"""Rows of the shipped policy. A larger chunk needs another policy: there the scripted expert takes its place."""


@dataclass(frozen=True, slots=True, order=True)
class TuneCell:
    """One setting. rows: actions_per_chunk; threshold: chunk_size_threshold; delay_s: added to the policy's time."""

    rows: int
    threshold: float
    delay_s: float

    @property
    def policy(self) -> str:
        """Who drives the arm in this cell's episodes."""
        return "act" if self.rows <= LEARNED_HORIZON else "expert"

    @property
    def note(self) -> str:
        """What must be known to read the cell, or ""."""
        if self.policy == "act":
            return ""
        return f"{self.rows} rows need a policy with that horizon; episodes by the scripted expert"


@dataclass(frozen=True, slots=True)
class Flow:
    """How the commands flowed over many virtual seconds; no physics.

    Attributes:
        starved_ratio: of ticks after the first chunk, those with an empty queue.
        jerk_p99: 99th percentile of |third difference| of the commands over all joints, rad/s^3.
        seam_p99_rad: 99th percentile over chunks of the largest joint's seam before it is bounded, rad per tick.
        action_age_s: mean age of the observation behind an executed row.
        requests_per_s: requests sent.
        round_trip_s: median from request to chunk.
    """

    starved_ratio: float
    jerk_p99: float
    seam_p99_rad: float
    action_age_s: float
    requests_per_s: float
    round_trip_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """One cell: its flow, and its episodes if any were run."""

    cell: TuneCell
    flow: Flow
    episodes: int = 0
    successes: int = 0

    @property
    def success_ratio(self) -> float:
        """Ratio of episodes that succeeded; NaN without episodes."""
        return self.successes / self.episodes if self.episodes else math.nan


def cells(delays_s: tuple[float, ...] = DELAYS_S) -> list[TuneCell]:
    """Return the whole matrix, one delay after the other."""
    return [TuneCell(rows, threshold, delay_s) for delay_s in delays_s for rows in ROWS for threshold in THRESHOLDS]
