"""Quantiles of a few measured durations, without interpolation: the figure is one that was measured."""

import math
from collections.abc import Sequence


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of `ordered` (rising) that at least `share` (0..1) of them do not exceed; NaN of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
