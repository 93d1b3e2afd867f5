# SPDX-License-Identifier: Apache-2.0
"""The report for people: one table, the goals, and where LeRobot's metrics are not those recorded before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from so101_bench.goals import baseline_complaints


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what people call it, where it is in a side's report, and its format."""

    label: str
    path: tuple[str, ...]
    form: str = "{:.1f}"
    scale: float = 1.0


ROWS = (
    Row("control rate, Hz", ("tick", "hz"), "{:.2f}"),
    Row("actions executed, per s", ("fps",), "{:.2f}"),
    Row("tick std, ms", ("tick", "std_ms"), "{:.2f}"),
    Row("tick off its period p99, ms", ("tick", "p99_ms"), "{:.2f}"),
    Row("tick off its period max, ms", ("tick", "max_ms")),
    Row("starved ticks", ("starved_ticks",), "{:.0f}"),
    Row("added latency p50, ms", ("added_latency_ms", "p50")),
    Row("added latency p99, ms", ("added_latency_ms", "p99")),
    Row("waited for fresher frames p50, ms (not in added latency)", ("frame_wait_ms", "p50")),
    Row("age of the oldest frame, published, p50, ms", ("frame_age_ms", "p50")),
    Row("the same, when the last one is published, p50, ms", ("observation_age_ms", "p50")),
    Row("observation to chunk p50, ms", ("observation_to_chunk_ms", "p50")),
    Row("observation to first action p50, ms", ("observation_to_action_ms", "p50")),
    Row("inference p50, ms", ("inference_ms", "p50")),
    Row("one way, estimate, ms", ("one_way_ms_estimate",)),
    Row("control loop blocked by a send p50, ms", ("send_blocks_ms", "p50")),
    Row("control loop blocked by a send max, ms", ("send_blocks_ms", "max")),
    Row("observations sent", ("observations",), "{:.0f}"),
    Row("observations used", ("observations_used",), "{:.0f}"),
    Row("sent per chunk used", ("observations_per_chunk",), "{:.2f}"),
    Row("kB sent per chunk used", ("bytes_per_observation",), "{:.0f}", 1e-3),
    Row("robot's CPU, cores", ("cpu_robot",), "{:.2f}"),
    Row("server killed: READY to acting, s", ("restart", "acting_s"), "{:.2f}"),
    Row("wire cut: healed to acting, s", ("cut", "acting_s"), "{:.2f}"),
)
HEADS = {"lerobot": "LeRobot", "ours": "ours", "link": "ours, link"}
VERDICTS = {True: "[green]pass[/]", False: "[red]fail[/]", None: "-"}
TARGETS = {
    "fps_30": "30 actions a second",
    "one_way_below_50_ms": "one way below 50 ms",
    "inference_below_100_ms": "inference below 100 ms",
}


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print one run's report."""
    console.print(_metrics(report))
    console.print(_goals(report))
    if report["baseline"] is not None:
        for line in baseline_complaints(report["baseline"]):
            console.print(line, style="yellow", markup=False)


def cell(side: Mapping[str, Any], row: Row) -> str:
    """Return one figure as text; `-` where nothing was measured, `never` where something did not come back."""
    value: Any = side
    for key in row.path:
        if value is None:
            return "-"
        value = value[key]
    if value is None:
        return "never" if row.path[-1] == "acting_s" else "-"
    return row.form.format(value * row.scale)


def _metrics(report: Mapping[str, Any]) -> Table:
    title = f"{report['wire']}, policy delay {report['policy_delay_s']:g} s"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    sides = [side for side in HEADS if side in report]
    for side in sides:
        table.add_column(HEADS[side], justify="right")
    for row in ROWS:
        cells = [cell(report[side], row) for side in sides]
        if set(cells) != {"-"}:
            table.add_row(row.label, *cells)
    for key, label in TARGETS.items():
        table.add_row(label, *(VERDICTS[report[side]["targets"][key]] for side in sides))
    return table


def _goals(report: Mapping[str, Any]) -> Table:
    table = Table(title="goals", title_justify="left")
    for name in ("", "measured", "at most", ""):
        table.add_column(name)
    for goal in report["goals"]:
        measured = "never" if goal["measured"] is None and goal["ok"] is False else goal["measured"]
        shown = f"{measured:.3f}" if isinstance(measured, float) else str("-" if measured is None else measured)
        table.add_row(goal["name"], shown, f"{goal['bound']:g}", VERDICTS[goal["ok"]])
    return table
