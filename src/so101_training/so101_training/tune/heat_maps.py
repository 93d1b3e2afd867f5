# SPDX-License-Identifier: Apache-2.0
"""The matrix as heat maps: one row of maps for each measure, one column for each delay."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from so101_training.tune.matrix import ROWS, THRESHOLDS, Result

Measure = tuple[str, Callable[[Result], float], str, str]
MEASURES: tuple[Measure, ...] = (
    ("starved ticks, %", lambda result: 100 * result.flow.starved_ratio, "Reds", ".1f"),
    ("p99 jerk, rad/s³", lambda result: result.flow.jerk_p99, "Oranges", ".0f"),
    ("p99 seam, rad per tick", lambda result: result.flow.seam_p99_rad, "Purples", ".3f"),
    ("requests a second", lambda result: result.flow.requests_per_s, "Blues", ".2f"),
    ("episodes placed, %", lambda result: 100 * result.success_ratio, "Greens", ".0f"),
)


def draw(path: Path, results: Sequence[Result]) -> None:
    """Draw all measures of all delays into one PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    delays = sorted({result.cell.delay_s for result in results})
    measures = [m for m in MEASURES if any(math.isfinite(m[1](result)) for result in results)]
    figure, axes = pyplot.subplots(
        len(measures), len(delays), figsize=(3.4 * len(delays) + 1, 2.7 * len(measures)), squeeze=False
    )
    for line, (title, value, colours, form) in zip(axes, measures, strict=True):
        known = [value(result) for result in results if math.isfinite(value(result))]
        top = max([*known, 1e-9])
        for axis, delay_s in zip(line, delays, strict=True):
            grid = np.full((len(ROWS), len(THRESHOLDS)), math.nan)
            for result in results:
                if result.cell.delay_s == delay_s:
                    grid[ROWS.index(result.cell.rows), THRESHOLDS.index(result.cell.threshold)] = value(result)
            axis.imshow(grid, cmap=colours, vmin=0.0, vmax=top, aspect="auto")
            for (row, column), number in np.ndenumerate(grid):
                if math.isfinite(number):
                    shade = "white" if number > 0.6 * top else "black"
                    axis.text(column, row, format(number, form), ha="center", va="center", color=shade)
            axis.set_xticks(range(len(THRESHOLDS)), [str(threshold) for threshold in THRESHOLDS])
            axis.set_yticks(range(len(ROWS)), [str(rows) for rows in ROWS])
            axis.set_title(f"{title}\n{delay_s * 1e3:.0f} ms added", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("chunk_size_threshold")
    for axis in axes[:, 0]:
        axis.set_ylabel("actions_per_chunk")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
