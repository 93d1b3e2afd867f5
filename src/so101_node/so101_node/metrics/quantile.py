# SPDX-License-Identifier: Apache-2.0
"""Quantiles, once each way: of a few durations as one of them, of the many samples of a run between two of them."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

WINDOW: Final = 50
"""The newest durations that every p50 and p95 in a message or on /diagnostics is taken over.

An all-time figure never forgets: one warm-up of 2 s, and every later p95 is 2 s.
"""


def quantile(ordered: Sequence[float], ratio: float) -> float:
    """Return the smallest of `ordered` (rising) that at least `ratio` (0..1) of them do not exceed; NaN of none.

    Every p50 and p95 in a message or on /diagnostics is this one: a duration that was measured, not one between two.
    The action queue times its requests by it, so a recorded session repeats only with this definition.
    """
    return ordered[max(0, math.ceil(ratio * len(ordered)) - 1)] if ordered else math.nan


def percentile(values: Sequence[float] | NDArray[np.float64], percent: float) -> float | None:
    """Return the percentile (0..100, linear between neighbours, as in every report), or None of nothing."""
    return float(np.percentile(np.asarray(values, dtype=np.float64), percent)) if len(values) else None
