# SPDX-License-Identifier: Apache-2.0
"""Draws success against delay, with and without a correction, one panel for each world.

`./so101 ros python docs/generators/correction_plot.py docs/explanation/correction.png docs/explanation/correction.json`
A file is a report of `./so101 policy compare --report F` or `./so101 demo --report F`, or a list of such reports; those
of the same world, delay and kind are added up.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so101_training.policy.comparison import ModeCell

WORLDS = {
    "belt_changing": "speed changes, 2 to 8 cm/s",
    "belt_nudged": "cube nudged once by 2 to 4 cm",
    "belt_reversing": "belt reverses (never trained on)",
    "belt": "constant belt",
    "static": "cube lies still",
}
TITLES = {False: "as shipped", True: "corrected on the robot"}
COLOURS = {False: "#d95f02", True: "#1b7837"}


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """What makes one line of a panel.

    is_warm: the first chunk of an episode is there at once. is_overlapping: several requests are under way at once.
    """

    corrected: bool
    is_warm: bool
    is_overlapping: bool

    @property
    def label(self) -> str:
        """Words of the legend."""
        warm, overlapping = ", first chunk at once" * self.is_warm, ", requests overlap" * self.is_overlapping
        return TITLES[self.corrected] + warm + overlapping


class ReportError(ValueError):
    """A file is no report; one line."""


def read(path: Path) -> list[tuple[str, Kind, ModeCell]]:
    """Return world, kind and successes of each report in a file.

    ReportError where a key is missing or of another type.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        return [_cell_of(report) for report in (content if isinstance(content, list) else [content])]
    except (KeyError, TypeError) as error:
        raise ReportError(f"{path}: expected task, delay_s, correction, successes and episodes, got {error}") from error
    except ReportError as error:
        raise ReportError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        raise ReportError(f"{path}: is no report: {error}") from error


def _cell_of(report: Any) -> tuple[str, Kind, ModeCell]:
    if not isinstance(report, dict):
        raise TypeError(type(report).__name__)
    overlapping = int(report.get("requests_in_flight", 1)) > 1
    kind = Kind(report["correction"] not in ("off", ""), bool(report.get("is_warm", False)), overlapping)
    cell = ModeCell("", 1000 * float(report["delay_s"]), int(report["successes"]), int(report["episodes"]))
    task = str(report["task"])
    if task not in WORLDS or not cell.episodes:
        raise ReportError(f"expected a task of {', '.join(WORLDS)} with episodes, got {task}: {cell.episodes}")
    return task, kind, cell


def collect(reports: Iterable[tuple[str, Kind, ModeCell]]) -> dict[str, dict[Kind, list[ModeCell]]]:
    """Return the cells by world and kind, in order of delay; those of one delay are added up."""
    added: dict[tuple[str, Kind, float], ModeCell] = {}
    for task, kind, cell in reports:
        key = (task, kind, cell.delay_ms)
        old = added.get(key, ModeCell("", cell.delay_ms, 0, 0))
        added[key] = ModeCell("", cell.delay_ms, old.successes + cell.successes, old.episodes + cell.episodes)
    worlds: dict[str, dict[Kind, list[ModeCell]]] = {}
    for (task, kind, _), cell in sorted(added.items()):
        worlds.setdefault(task, {}).setdefault(kind, []).append(cell)
    return {task: worlds[task] for task in WORLDS if task in worlds}


def draw(path: Path, worlds: Mapping[str, Mapping[Kind, Sequence[ModeCell]]]) -> None:
    """Write the plot: a panel for each world, with 95 % intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    size = (1 + 3.6 * len(worlds), 4.8)
    figure, row = pyplot.subplots(
        1, len(worlds), figsize=size, dpi=110, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axes, (task, lines) in zip(row[0], worlds.items(), strict=True):
        for place, (kind, cells) in enumerate(sorted(lines.items())):
            _draw_line(axes, kind, cells, place - (len(lines) - 1) / 2)
        axes.set(title=WORLDS[task], xlabel="delay of a chunk, s", ylim=(-8, 112))
        axes.margins(x=0.15)
        axes.grid(alpha=0.3)
    row[0][0].set_ylabel("cubes placed, %")
    legends = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in row[0]]
    entries = {label: handle for legend in legends for handle, label in legend}
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figure.savefig(path)
    pyplot.close(figure)


def _draw_line(axes: Any, kind: Kind, cells: Sequence[ModeCell], place: float) -> None:
    x = [cell.delay_ms / 1000 + 0.012 * place for cell in cells]  # side by side where they fall together
    y = [100 * cell.ratio for cell in cells]
    below = [100 * (cell.ratio - cell.interval[0]) for cell in cells]
    above = [100 * (cell.interval[1] - cell.ratio) for cell in cells]
    colour = COLOURS[kind.corrected]
    dashes, marker = ("-", "o") if not kind.is_warm else (":", "^") if kind.is_overlapping else ("--", "s")
    style = {"linestyle": dashes, "marker": marker, "color": colour}
    axes.errorbar(x, y, yerr=[below, above], capsize=3, label=kind.label, **style)
    up = 7 if kind.corrected else -14
    beside, align = (5, "left") if kind.is_warm else (-5, "right")  # the same delay, cold and warm: one on each side
    for cell, at_x, at_y in zip(cells, x, y, strict=True):
        text = f"{cell.successes}/{cell.episodes}"
        axes.annotate(text, (at_x, at_y), (beside, up), textcoords="offset points", size=7.5, color=colour, ha=align)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the plot; 0 on success, 1 with one line on failure."""
    parser = argparse.ArgumentParser(prog="correction_plot", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("plot", type=Path, help="image to write: .png or .svg")
    parser.add_argument(
        "reports", type=Path, nargs="+", help="JSON files of policy compare or of the demo, or lists of them"
    )
    given = parser.parse_args(arguments)
    try:
        draw(given.plot, collect(report for path in given.reports for report in read(path)))
    except (ReportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
