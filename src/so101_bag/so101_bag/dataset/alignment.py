# SPDX-License-Identifier: Apache-2.0
"""Streams of their own rates put on one grid of a fixed rate. Times in ns on the recorder's clock. Free of ROS."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from so101_node.protocol import FloatArray

TimeArray = NDArray[np.int64]

LATEST_ACTION_S = 0.5
"""A command that comes later than this after the observation does not belong to it: the queue was not running."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Joint positions as they were recorded: times (N,) rising, ns; rows (N, J), rad."""

    times: TimeArray
    rows: FloatArray


def grid(start_ns: int, end_ns: int, fps: float, commands: TimeArray) -> TimeArray:
    """Return the times of the frames of an episode, ns, (T,).

    They begin half a period before the episode's first command and end with the last: half a period from the commands
    on either side, so that jitter neither skips nor doubles one where the rates are equal.
    """
    period_ns = 1e9 / fps
    inside = commands[(commands >= start_ns) & (commands <= end_ns)]
    if len(inside) < 2:
        return np.zeros(0, dtype=np.int64)
    # Where the commands lie on the grid: over all of them, so that no single one's jitter counts.
    steps = np.round((inside - inside[0]) / period_ns)
    first_ns = float(np.median(inside - steps * period_ns)) - period_ns / 2
    count = int(np.floor((inside[-1] - first_ns) / period_ns)) + 1
    return np.asarray(np.round(first_ns + np.arange(count) * period_ns), dtype=np.int64)


def newest_before(times: TimeArray, moments: TimeArray) -> TimeArray:
    """Return the index of the newest sample at or before each moment; -1 where there is none."""
    return np.asarray(np.searchsorted(times, moments, side="right") - 1, dtype=np.int64)


def next_after(times: TimeArray, moments: TimeArray) -> TimeArray:
    """Return the index of the first sample at or after each moment; the last one where that is too far away."""
    index = np.minimum(np.searchsorted(times, moments, side="left"), len(times) - 1)
    too_far = times[index] - moments > LATEST_ACTION_S * 1e9
    before = np.maximum(newest_before(times, moments), 0)
    return np.asarray(np.where(too_far, before, index), dtype=np.int64)
