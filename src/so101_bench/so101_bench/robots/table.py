# SPDX-License-Identifier: Apache-2.0
"""The report of `bench robots` for people."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from so101_bench.table import VERDICTS

BATCHED_RATIO = 2.5
"""A stand-in that takes as long for four as for one could reach 4; messages and frames take the rest."""
REAL_RATIO = 1.3
FAIR_RATIO = 1.5


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print the runs and what they are held against."""
    table = Table(
        title=f"{report['policy']} on {report['device']}, max_batch {report['max_batch']}", title_justify="left"
    )
    for name in (
        "robots",
        "chunks/s",
        "wait p50, ms",
        "wait p99, ms",
        "p99, slowest / fastest",
        "refused",
        "no answer",
    ):
        table.add_column(name, justify="right")
    for run in report["runs"]:
        table.add_row(
            str(run["robots"]),
            f"{run['chunks_per_s']:.1f}",
            *(_shown(run[key]) for key in ("wait_p50_ms", "wait_p99_ms")),
            _shown(run["p99_slowest_to_fastest"], "{:.2f}"),
            str(sum(run["refused"].values())),
            str(run["unanswered"]),
        )
    console.print(table)
    for text, ok in verdicts(report):
        console.print(f"{text}: {VERDICTS[ok]}")
    for text in {text for run in report["runs"] for text in run["refused"]}:
        console.print(f"refused: {text}", style="yellow", markup=False)


def verdicts(report: Mapping[str, Any]) -> list[tuple[str, bool | None]]:
    """What the report is held against, one line each, and whether it holds; None where it was not measured."""
    last, ratio = report["runs"][-1], report["ratio"]
    bound = REAL_RATIO if report["cross_talk"] is None else BATCHED_RATIO
    found: list[tuple[str, bool | None]] = []
    if ratio is not None:
        known = ratio >= bound if last["robots"] >= 4 else None
        held = "no bound below four robots" if known is None else f"at least {bound:g}"
        found.append((f"{last['robots']} robots to one, chunks/s: {ratio:.2f} ({held})", known))
    fair = last["p99_slowest_to_fastest"]
    if fair is not None and last["robots"] > 1:
        text = f"p99 wait of the slowest robot to the fastest: {fair:.2f} (at most {FAIR_RATIO:g})"
        found.append((text, fair <= FAIR_RATIO))
    if report["cross_talk"] is not None:
        text = f"chunks of another request: {report['cross_talk']} of {report['chunks']} (0)"
        found.append((text, report["cross_talk"] == 0))
    return found


def _shown(value: float | None, form: str = "{:.1f}") -> str:
    return "-" if value is None else form.format(value)
