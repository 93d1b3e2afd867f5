# SPDX-License-Identifier: Apache-2.0
"""Writing a replay's report: JSON, and a plot of the same name beside it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from so101_bag.errors import ReplayError


def write_report(path: Path | None, metrics: Mapping[str, Any], plot: Callable[[Path], None]) -> list[str]:
    """Write report and plot, and return one line for each file.

    Raises:
        ReplayError: they cannot be written.
    """
    if path is None:
        return []
    image = path.with_suffix(".png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.part")
        beside.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        beside.replace(path)
        plot(image)
    except OSError as error:
        raise ReplayError(f"--report {path}: cannot be written ({error.strerror})") from error
    return [f"report: {path}", f"plot: {image}"]
