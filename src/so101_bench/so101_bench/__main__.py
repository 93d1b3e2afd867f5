# SPDX-License-Identifier: Apache-2.0
"""`./so101 bench`: `lerobot` and `policy` measure, print and write here, `robots` in `so101_bench.robots`."""

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from so101_demo.run import Interrupted, StopRequest

from so101_bench.errors import BenchError, TwoHostsError
from so101_bench.hosts import LOOPBACK, across
from so101_bench.matrix import cases
from so101_bench.metrics import Turn
from so101_bench.options import BenchOptions, parse
from so101_bench.plots import label, plot_periods, plot_summary
from so101_bench.policy_speed.command import PolicyBenchOptions
from so101_bench.policy_speed.command import run as run_policy
from so101_bench.progress import BenchProgress, make_progress
from so101_bench.report_file import check_writable, open_log, write_report
from so101_bench.run import BenchRun
from so101_bench.table import print_report
from so101_bench.two_hosts.hosts import TwoHosts, why_not
from so101_bench.two_hosts.wire import NO_WIRE
from so101_bench.work import Work, prepare


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench and return the exit code: 0 if it completed, whatever the metrics are."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    stop = StopRequest()
    stop.install()
    try:
        if given[:1] == ["robots"]:
            from so101_bench.robots import command

            return command.main(given[1:], stop)
        options = parse(given)
        if isinstance(options, PolicyBenchOptions):
            return _bench_policy(options)
        return _bench_lerobot(options, stop)
    except BenchError as error:
        print(f"so101 bench: {error}", file=sys.stderr)
        return 1
    except Interrupted:
        print("so101 bench: interrupted", file=sys.stderr)
        return 128 + stop.received


def _bench_lerobot(options: BenchOptions, stop: StopRequest) -> int:
    folder = Path(tempfile.mkdtemp(prefix="so101-bench-"))
    try:
        return _bench(options, stop, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _bench_policy(options: PolicyBenchOptions) -> int:
    if options.report is not None:
        check_writable(options.report)
    write_report(run_policy(options), options.report)
    return 0


def _bench(options: BenchOptions, stop: StopRequest, folder: Path) -> int:
    console = Console()
    if options.report is not None:
        check_writable(options.report)
    if options.plots is not None:
        _make_folder(options.plots)
    options = _possible(options)
    with open_log(folder) as log, make_progress(console) as progress:
        progress.begin("making policy and images", 15.0)
        work = prepare(folder, options)
        reports: list[dict[str, Any]] = []
        failed = False
        for number, case in enumerate(cases(options) if options.matrix else [options]):
            try:
                turns, report = _measure(replace(work, options=case), f"{number}", log, progress, stop)
            except BenchError as error:
                if not options.matrix:
                    raise
                print(f"so101 bench: {case.wire}: {error}", file=sys.stderr)
                failed = True
                continue
            reports.append(report)
            print_report(report, console)
            # After each run: what an interrupted matrix has measured is kept.
            write_report({"runs": reports} if options.matrix else report, options.report)
            if options.plots is not None:
                plot_periods(turns, label(report), options.plots / f"periods_{number}.png")
                plot_summary(reports, options.plots / "summary.png")
    return 1 if failed else 0


def _possible(options: BenchOptions) -> BenchOptions:
    """The options as far as this machine can follow them; says what it cannot."""
    reason = why_not()
    if reason is None or (options.wire == NO_WIRE and not options.matrix and not options.cut_s):
        return options
    print(f"so101 bench: {reason}: running on loopback instead", file=sys.stderr)
    return replace(options, wire=NO_WIRE, cut_s=0.0, matrix=False)


def _measure(
    work: Work, name: str, log: TextIO, progress: BenchProgress, stop: StopRequest
) -> tuple[Mapping[str, Sequence[Turn]], dict[str, Any]]:
    """Run once and return what was seen and the report."""
    options = work.options
    if options.wire == NO_WIRE and not options.cut_s:
        bench = BenchRun(work, LOOPBACK, None, log, progress, stop.check)
        return bench.turns, bench.run(name)
    try:
        with TwoHosts(options.wire) as network:
            bench = BenchRun(work, across(network), network, log, progress, stop.check)
            return bench.turns, bench.run(name)
    except TwoHostsError as error:
        raise BenchError(str(error)) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"--plots {folder}: cannot be made ({error.strerror})") from error


if __name__ == "__main__":
    sys.exit(main())
