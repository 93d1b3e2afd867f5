# SPDX-License-Identifier: Apache-2.0
"""The command: options, table, report."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from so101_node.one_line_parser import path, whole, within
from so101_policy_server.lerobot.checkpoint import find_checkpoint
from so101_policy_server.policy import PolicyError, PolicyLoadError, PolicySource

from so101_bench.errors import BenchError


@dataclass(frozen=True, slots=True)
class PolicyBenchOptions:
    """One run of `bench policy`.

    Attributes:
        source: what to load; without a path full-size SmolVLA with random weights.
        repeats: chunks measured of each.
        report: where to write JSON; None = nowhere.
    """

    source: PolicySource
    repeats: int
    report: Path | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `bench policy`."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("checkpoint", nargs="?", default="", metavar="CHECKPOINT", help="folder, run folder or hub id")
    what.add_argument("--random", choices=("smolvla",), help="its full size with random weights, without any download")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps (default cpu)")
    parser.add_argument(
        "--threads", type=whole(0, 256), default=0, metavar="N", help="CPU threads of both; 0 = as measured"
    )
    parser.add_argument("--bound", type=within(0, 0.1), default=1e-4, metavar="D", help="optimize_bound (default 1e-4)")
    parser.add_argument(
        "--repeats", type=whole(1, 1000), default=3, metavar="N", help="chunks measured of each (default 3)"
    )
    parser.add_argument("--report", type=path, metavar="FILE", help="write all metrics there, as JSON")


def read(given: argparse.Namespace) -> PolicyBenchOptions:
    """The options as they were parsed."""
    source = PolicySource(
        given.checkpoint, device=given.device, torch_threads=given.threads, optimize_bound=given.bound
    )
    return PolicyBenchOptions(source, given.repeats, given.report)


def run(options: PolicyBenchOptions) -> dict[str, Any]:
    """Measure, print and return the report.

    Raises:
        BenchError: the policy cannot be loaded, or cannot run.
    """
    try:
        if options.source.path:
            find_checkpoint(options.source.path)
    except PolicyLoadError as error:
        raise BenchError(str(error)) from error
    # torch takes seconds, and LeRobot more: not for a wrong argument.
    from so101_bench.policy_speed.measure import load, measure

    def progress(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        report = measure(load(options.source, progress), options.repeats, progress)
    except (PolicyLoadError, PolicyError) as error:
        raise BenchError(str(error)) from error
    print_table(report, Console())
    return report


def print_table(report: dict[str, Any], console: Console) -> None:
    """Stages of both, what was tried, and the ratio."""
    policy = report["policy"]
    table = Table(title=f"{policy['type']}, {policy['path']}, on {report['machine']}; ms a chunk")
    for column in ("", "eager", "optimized"):
        table.add_column(column, justify="left" if not column else "right")
    eager, optimized = report["eager"], report["optimized"]
    names = list(dict.fromkeys([*eager["stages_ms"], *optimized["stages_ms"]]))
    for name in names:
        table.add_row(name, *(f"{side['stages_ms'].get(name, 0.0):.1f}" for side in (eager, optimized)))
    table.add_section()
    table.add_row("whole chunk", *(f"{side['chunk_ms']:.1f}" for side in (eager, optimized)))
    table.add_row("processor time", *(f"{side['cpu_ms']:.1f}" for side in (eager, optimized)))
    table.add_row("threads", *(f"{side['threads']}" for side in (eager, optimized)))
    console.print(table)
    for trial in report["trials"]:
        console.print(f"  {trial['option']}: {_verdict(trial)}", highlight=False)
    console.print(
        f"{report['ratio']:.2f} x as fast, largest difference {report['largest_difference']:.2g} of at most "
        f"{report['bound']:.2g} in the model's normalised space",
        highlight=False,
    )


def _verdict(trial: dict[str, Any]) -> str:
    if trial["difference"] is None:
        return str(trial["reason"])
    verdict = f"{trial['before_ms']:.4g} to {trial['after_ms']:.4g} ms, difference {trial['difference']:.2g}"
    return f"kept, {verdict}" if trial["kept"] else f"not kept, {trial['reason']}"
