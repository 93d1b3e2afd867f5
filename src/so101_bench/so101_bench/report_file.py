# SPDX-License-Identifier: Apache-2.0
"""The files that a bench writes: its report and its log."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from so101_node.writable import obstacle

from so101_bench.errors import BenchError

LOG = Path("outputs/bench.log")


def write_report(report: Mapping[str, Any], file: Path | None) -> None:
    """Write a report as JSON; nothing where no file is given.

    Raises:
        BenchError: it cannot be written.
    """
    if file is None:
        return
    try:
        file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise BenchError(f"--report {file}: cannot be written ({error.strerror})") from error


def check_writable(file: Path) -> None:
    """Raise BenchError for a report that cannot be written: known before minutes are spent on it."""
    if reason := obstacle(file):
        raise BenchError(f"--report {file}: cannot be written ({reason})")


def open_log(folder: Path) -> TextIO:
    """Open the log where people look for it, else in the run's own folder.

    Raises:
        BenchError: neither can be written.
    """
    for path in (LOG, folder / LOG.name):
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("w", encoding="utf-8")
    raise BenchError(f"neither {LOG} nor a file in {folder} can be written: free some space")
