# SPDX-License-Identifier: Apache-2.0
"""The results as CSV, JSON and a table for people."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from so101_training.tune.matrix import Result

COLUMNS = (
    "delay_s",
    "actions_per_chunk",
    "chunk_size_threshold",
    "starved_ratio",
    "jerk_p99",
    "seam_p99_rad",
    "action_age_s",
    "requests_per_s",
    "round_trip_s",
    "episodes",
    "successes",
    "policy",
    "note",
)


def record(result: Result) -> dict[str, Any]:
    """Return one result under the names of COLUMNS; what is not known is None."""
    values = {
        "delay_s": result.cell.delay_s,
        "actions_per_chunk": result.cell.rows,
        "chunk_size_threshold": result.cell.threshold,
        **{name: _rounded(value) for name, value in asdict(result.flow).items()},
        "episodes": result.episodes,
        "successes": result.successes,
        "policy": result.cell.policy,
        "note": result.cell.note,
    }
    return {name: values[name] for name in COLUMNS}


def write_csv(path: Path, results: Sequence[Result]) -> None:
    """Write one line a cell."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(record(result) for result in results)


def write_json(path: Path, results: Sequence[Result], more: Mapping[str, Any]) -> None:
    """Write everything, `more` beside the cells."""
    content = {"cells": [record(result) for result in results], **more}
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def text_table(results: Sequence[Result]) -> list[str]:
    """Return the matrix as lines of plain text."""
    lines = ["  delay  rows thresh.  starved  jerk p99  seam p99  reqs/s   placed"]
    for result in results:
        cell, flow = result.cell, result.flow
        placed = f"{result.successes}/{result.episodes}" if result.episodes else "-"
        mark = " *" if cell.note else ""
        lines.append(
            f"{cell.delay_s * 1e3:4.0f} ms {cell.rows:5d} {cell.threshold:7.1f} {flow.starved_ratio:8.1%} "
            f"{flow.jerk_p99:9.0f} {flow.seam_p99_rad:9.3f} {flow.requests_per_s:7.2f} {placed:>8}{mark}"
        )
    notes = {result.cell.note for result in results if result.cell.note}
    lines += [f"* {note}" for note in sorted(notes)]
    return lines


def _rounded(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None
