"""`./so101 bench lerobot`: measure, print, write."""

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from so101_tools.bench.figures import Turn
from so101_tools.bench.hosts import LOOPBACK, across
from so101_tools.bench.matrix import cases
from so101_tools.bench.options import BenchError, BenchOptions, parse
from so101_tools.bench.plots import label, plot_periods, plot_summary
from so101_tools.bench.progress import BenchProgress, make_progress
from so101_tools.bench.run import BenchRun
from so101_tools.bench.table import print_report
from so101_tools.bench.work import Work, prepare
from so101_tools.demo.run import Interrupted, StopRequest
from so101_tools.two_hosts.hosts import TwoHosts, TwoHostsError, why_not
from so101_tools.two_hosts.wire import NO_WIRE

LOG = Path("outputs/bench.log")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench and return the exit code: 0 if it completed, whatever the figures are."""
    options = parse(arguments)
    stop = StopRequest()
    stop.install()
    folder = Path(tempfile.mkdtemp(prefix="so101-bench-"))
    try:
        return _bench(options, stop, folder)
    except BenchError as error:
        print(f"so101 bench: {error}", file=sys.stderr)
        return 1
    except Interrupted:
        print("so101 bench: interrupted", file=sys.stderr)
        return 128 + stop.received
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _bench(options: BenchOptions, stop: StopRequest, folder: Path) -> int:
    console = Console()
    if options.report is not None:
        _check_writable(options.report)
    if options.plots is not None:
        _make_folder(options.plots)
    options = _possible(options)
    with _open_log(folder) as log, make_progress(console) as progress:
        progress.begin("making policy and pictures", 15.0)
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
            _write({"runs": reports} if options.matrix else report, options.report)
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


def _write(report: Mapping[str, Any], file: Path | None) -> None:
    if file is None:
        return
    try:
        file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise BenchError(f"--report {file}: cannot be written ({error.strerror})") from error


def _check_writable(file: Path) -> None:
    """A report that cannot be written must be known before minutes are spent on it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        existed = file.exists()
        file.open("a").close()
        if not existed:
            file.unlink()
    except OSError as error:
        raise BenchError(f"--report {file}: cannot be written ({error.strerror})") from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"--plots {folder}: cannot be made ({error.strerror})") from error


def _open_log(folder: Path) -> TextIO:
    """Open the log where people look for it, else in the run's own folder."""
    for path in (LOG, folder / LOG.name):
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("w", encoding="utf-8")
    raise BenchError(f"neither {LOG} nor a file in {folder} can be written: free some space")


if __name__ == "__main__":
    sys.exit(main())
