# SPDX-License-Identifier: Apache-2.0
"""The report as plots, for the documentation and for slides."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no display is needed

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from so101_bench.metrics import FPS, Turn

NAMES = {"lerobot": "LeRobot 0.6.1", "ours": "this workspace", "link": "the same through the link"}
COLOURS = {"lerobot": "#b0722c", "ours": "#2a6f97", "link": "#5c8a4a"}
DPI = 110


def plot_periods(turns: Mapping[str, Sequence[Turn]], title: str, file: Path) -> None:
    """Draw the periods of the control loops over the time of their first turn."""
    figure, axes = plt.subplots(figsize=(8.0, 3.2), layout="constrained")
    for side, runs in turns.items():
        turn = runs[0]
        times_ns = [t.sample.tick_ns for t in turn.trace.ticks if turn.begin_ns <= t.sample.tick_ns <= turn.end_ns]
        seconds = [(at_ns - turn.begin_ns) * 1e-9 for at_ns in times_ns[1:]]
        periods = [(after - before) * 1e-6 for before, after in pairwise(times_ns)]
        axes.plot(seconds, periods, ".", markersize=3, color=COLOURS[side], label=NAMES[side])
    axes.axhline(1e3 / FPS, color="black", linewidth=0.6)
    axes.set(xlabel="time, s", ylabel="control period, ms", title=title, yscale="log")
    axes.legend(loc="upper right")
    _save(figure, file)


def plot_summary(reports: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Draw rate and added latency of all sides on every wire."""
    sides = [side for side in NAMES if any(side in report for report in reports)]
    height = 1.2 + 0.21 * len(sides) * len(reports)
    figure, (rate, latency) = plt.subplots(1, 2, figsize=(9.0, height), sharey=True, layout="constrained")
    _bars(rate, reports, sides, ("tick", "hz"), "{:.1f}")
    rate.axvline(FPS, color="black", linewidth=0.6)
    rate.set(xlabel="control rate, Hz", xlim=(0, FPS * 1.25))
    _bars(latency, reports, sides, ("added_latency_ms", "p50"), "{:.0f}")
    latency.set(xlabel="added latency p50, ms", xscale="log")
    longest = max((report[side]["added_latency_ms"]["p50"] or 1.0) for report in reports for side in sides)
    latency.set_xlim(1.0, 4.0 * longest)  # room for the last number
    rate.set_yticks(range(len(reports)), [label(report) for report in reports])
    rate.invert_yaxis()
    handles, labels = rate.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(sides), frameon=False)
    _save(figure, file)


def label(report: Mapping[str, Any]) -> str:
    """Return what tells one run from another."""
    return f"{report['wire']}, {report['policy_delay_s'] * 1e3:.0f} ms policy"


def _bars(
    axes: Axes, reports: Sequence[Mapping[str, Any]], sides: Sequence[str], path: tuple[str, str], form: str
) -> None:
    pitch = 0.76 / len(sides)
    for number, side in enumerate(sides):
        offset = (number - (len(sides) - 1) / 2) * pitch
        values = [report[side][path[0]][path[1]] or 0.0 for report in reports]
        places = [index + offset for index in range(len(reports))]
        bars = axes.barh(places, values, height=0.95 * pitch, color=COLOURS[side], label=NAMES[side])
        axes.bar_label(bars, [form.format(value) if value else "-" for value in values], padding=2, fontsize=8)


def _save(figure: Any, file: Path) -> None:
    figure.savefig(file, dpi=DPI)
    plt.close(figure)
