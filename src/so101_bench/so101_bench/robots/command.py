# SPDX-License-Identifier: Apache-2.0
"""`./so101 bench robots`: measure, print, write."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from so101_demo.run import StopRequest

from so101_bench.progress import make_progress
from so101_bench.report_file import check_writable, open_log, write_report
from so101_bench.robots.options import parse
from so101_bench.robots.run import RobotsRun
from so101_bench.robots.table import print_report


def main(arguments: Sequence[str], stop: StopRequest) -> int:
    """Run it and return the exit code: 0 if it completed, whatever the metrics are.

    Raises:
        BenchError: it could not.
        Interrupted: a person ended it.
    """
    options = parse(arguments)
    console = Console()
    if options.report is not None:
        check_writable(options.report)
    folder = Path(tempfile.mkdtemp(prefix="so101-bench-"))
    try:
        with open_log(folder) as log, make_progress(console) as progress:
            report = RobotsRun(options, folder, log, progress, stop.check).run()
        write_report(report, options.report)
        print_report(report, console)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0
