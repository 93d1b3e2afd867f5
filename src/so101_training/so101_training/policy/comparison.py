# SPDX-License-Identifier: Apache-2.0
"""Success against the policy's delay, for each way to execute late chunks: the table, its JSON file and its plot."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from so101_demo.execution_modes import MODES

JSON_FILE, PLOT_FILE = "compare.json", "compare.png"
LABELS = {
    "aligned": "aligned by time (ours)",
    "unaligned": "unaligned: each chunk from its first row",
    "stop_and_wait": "stop and wait: request, hold, execute all",
}
COLOURS = {"aligned": "#1b7837", "unaligned": "#d95f02", "stop_and_wait": "#5e3c99"}
# Points from a point to its label: right of all three that fall together, one below the other.
LABEL_OFFSETS = {"aligned": (6, 9), "unaligned": (17, -3), "stop_and_wait": (9, -15)}
_Z = 1.96  # 95 %


@dataclass(frozen=True, slots=True)
class ModeCell:
    """Episodes under one mode and delay. failed_seeds: of the scenes, where they are known."""

    mode: str
    delay_ms: float
    successes: int
    episodes: int
    failed_seeds: tuple[int, ...] = ()

    @property
    def ratio(self) -> float:
        """Of the episodes that succeeded, 0 to 1."""
        return self.successes / self.episodes

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the success rate."""
        n, p, z = self.episodes, self.ratio, _Z
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)


def sort_key(cell: ModeCell) -> tuple[int, float]:
    """Ours first, then by delay."""
    return MODES.index(cell.mode), cell.delay_ms


def write(folder: Path, about: dict[str, Any], cells: Sequence[ModeCell]) -> None:
    """JSON and plot into `folder`; `about` says of what: task, checkpoint, and where it was run."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = sorted(cells, key=sort_key)
    content = {**about, "cells": [asdict(cell) for cell in cells]}
    (folder / JSON_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    plot(folder / PLOT_FILE, f"{about['task']}: success against the policy's delay, {about['where']}", cells)


def read(folder: Path, about: dict[str, Any]) -> list[ModeCell]:
    """The cells of an earlier run of the same kind in `folder`; none if there was none, or of another kind."""
    path = folder / JSON_FILE
    if not path.is_file():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    if {key: content.get(key) for key in about} != about:
        return []
    return [ModeCell(**{**cell, "failed_seeds": tuple(cell["failed_seeds"])}) for cell in content["cells"]]


def plot(path: Path, title: str, cells: Sequence[ModeCell]) -> None:
    """One line for each mode, with 95 % intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), dpi=110, layout="constrained")
    for index, mode in enumerate(MODES):
        mine = sorted((cell for cell in cells if cell.mode == mode), key=sort_key)
        if not mine:
            continue
        x = [cell.delay_ms + 9.0 * (index - 1) for cell in mine]  # side by side where they fall together
        y = [100 * cell.ratio for cell in mine]
        below = [100 * (cell.ratio - cell.interval[0]) for cell in mine]
        above = [100 * (cell.interval[1] - cell.ratio) for cell in mine]
        axes.errorbar(x, y, yerr=[below, above], marker="o", capsize=4, color=COLOURS[mode], label=LABELS[mode])
        for cell, at_x, at_y in zip(mine, x, y, strict=True):
            text = f"{cell.successes}/{cell.episodes}"
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
            axes.annotate(
                text,
                (at_x, at_y),
                LABEL_OFFSETS[mode],
                textcoords="offset points",
                size=8,
                color=COLOURS[mode],
                bbox=box,
            )
    axes.set(xlabel="delay of the policy, ms", ylabel="episodes that succeeded, %", ylim=(-12, 112), title=title)
    axes.margins(x=0.1)
    axes.grid(alpha=0.3)
    axes.legend(loc="center right", fontsize=8)
    figure.savefig(path)
    pyplot.close(figure)
