# SPDX-License-Identifier: Apache-2.0
"""Recorded commands as rows to send at a steady rate, with a slow start to each stretch of motion. Free of ROS."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from so101_node.protocol import FloatArray

GAP_S = 0.5  # without a command for this long the queue had stopped: what follows is a stretch of its own
SETTLE_S = 0.5  # at rest before and after each stretch
SHORTEST_APPROACH_S = 1.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """Commands without a longer pause between them: times (N,) in s, rising from 0; positions (N, J) in rad."""

    start_s: float
    times: FloatArray
    positions: FloatArray


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, one row a period.

    Attributes:
        rows: (M, J) rad.
        recorded_s: (M,) when in the recording, s since its first command, each row was commanded; NaN on the way
            between stretches and at rest.
    """

    rows: FloatArray
    recorded_s: FloatArray


def split_stretches(times_s: FloatArray, positions: FloatArray) -> list[Stretch]:
    """Cut recorded commands where they paused. times_s: (N,) rising; positions: (N, J) rad."""
    if not len(times_s):
        return []
    cuts = np.flatnonzero(np.diff(times_s) > GAP_S) + 1
    found = []
    for part, rows in zip(np.split(times_s, cuts), np.split(positions, cuts), strict=True):
        found.append(Stretch(float(part[0] - times_s[0]), part - part[0], rows))
    return found


def plan(stretches: Sequence[Stretch], start: FloatArray, period_s: float, approach_speed_rad_s: float) -> Plan:
    """Return the whole motion: from `start` (J,) slowly to each stretch's first row, then through it as recorded."""
    rows: list[FloatArray] = []
    moments: list[FloatArray] = []
    at = start
    for stretch in stretches:
        way = approach(at, stretch.positions[0], period_s, approach_speed_rad_s)
        grid = np.arange(0.0, stretch.times[-1] + 0.5 * period_s, period_s)
        # The newest command at each moment, as the driver saw it; a millisecond's grace for the clock's jitter.
        held = np.searchsorted(stretch.times, grid + 0.25 * period_s, side="right") - 1
        motion = stretch.positions[np.maximum(held, 0)]
        rest = np.repeat(motion[-1:], round(SETTLE_S / period_s), axis=0)
        rows += [way, motion, rest]
        moments += [np.full(len(way), np.nan), stretch.start_s + grid, np.full(len(rest), np.nan)]
        at = motion[-1]
    return Plan(np.concatenate(rows), np.concatenate(moments))


def approach(start: FloatArray, goal: FloatArray, period_s: float, speed_rad_s: float) -> FloatArray:
    """Return (N, J) rows from rest to rest whose fastest joint stays below the speed, with a pause at the end."""
    distance = float(np.abs(goal - start).max())
    duration_s = max(SHORTEST_APPROACH_S, 1.875 * distance / speed_rad_s)  # minimum jerk peaks at 1.875 x the mean
    ratio = np.linspace(0.0, 1.0, int(np.ceil(duration_s / period_s)) + 1)
    smooth = ratio**3 * (10 - 15 * ratio + 6 * ratio**2)
    rows = start + smooth[:, None] * (goal - start)
    return np.concatenate([rows, np.repeat(goal[None], round(SETTLE_S / period_s), axis=0)])
