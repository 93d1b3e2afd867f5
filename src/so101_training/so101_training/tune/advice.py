# SPDX-License-Identifier: Apache-2.0
"""From the matrix to one sentence: what to set for a round trip."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from so101_training.errors import TrainingError
from so101_training.tune.matrix import Result, TuneCell

STARVED_LIMIT = 0.001
"""One tick in a thousand; below that a person sees no stop."""

SIMILAR = 1.1
"""Jerk within ten per cent of the best is as good: then fewer requests decide."""


class ReportError(TrainingError):
    """A report does not tell a round trip. The message is one line."""


def round_trip_of(path: Path) -> float:
    """Return the median round trip, s, that a report of demo or bench holds: the policy's time and what was added.

    Raises:
        ReportError: the file cannot be read or has no such metrics.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(f"--from {path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ReportError(f"--from {path}: is not JSON ({' '.join(str(error).split())})") from error
    report = report.get("ours", report) if isinstance(report, dict) else {}
    try:
        waited_ms = report.get("frame_wait_ms", {}).get("p50") or 0.0  # reports before it was measured have none
        return (float(report["inference_ms"]["p50"]) + float(report["added_latency_ms"]["p50"]) + waited_ms) / 1e3
    except (KeyError, TypeError, ValueError):
        raise ReportError(
            f"--from {path}: has no inference_ms and added_latency_ms, as reports of demo and bench do"
        ) from None


def best(results: Sequence[Result]) -> Result | None:
    """Return the cell to take: no starvation, then most successes, then least jerk, then fewest requests; or None."""
    flowing = [result for result in results if result.flow.starved_ratio <= STARVED_LIMIT]
    if not flowing:
        return None
    ratios = [0.0 if math.isnan(result.success_ratio) else result.success_ratio for result in flowing]
    able = [result for result, ratio in zip(flowing, ratios, strict=True) if ratio >= max(ratios)]
    # A cell that another policy drove is taken only where no other flows.
    able = [result for result in able if not result.cell.note] or able
    smooth = min(result.flow.jerk_p99 for result in able) * SIMILAR
    return min(
        (result for result in able if result.flow.jerk_p99 <= smooth), key=lambda result: result.flow.requests_per_s
    )


def advise(results: Sequence[Result], round_trip_s: float, fps: float = 30.0) -> list[str]:
    """Return a recommendation in words for results that were all run at this round trip."""
    steps = round_trip_s * fps
    told = f"A round trip of {round_trip_s * 1e3:.0f} ms is {steps:.1f} steps at {fps:g} Hz."
    chosen = best(results)
    if chosen is None:
        least = min(results, key=lambda result: result.flow.starved_ratio)
        return [
            f"{told} No cell flows without a stop: one request at a time needs two round trips inside a chunk, "
            f"{math.ceil(2 * steps)} rows or more.",
            f"Least stops: {named(least.cell)} with {least.flow.starved_ratio:.1%} of ticks starved. Make the policy "
            "or the network faster, or use a policy with a longer horizon; the arm holds meanwhile, which is safe.",
        ]
    lines = [
        f"{told} Set {named(chosen.cell)}: {chosen.flow.starved_ratio:.1%} of ticks starved, p99 jerk "
        f"{chosen.flow.jerk_p99:.0f} rad/s^3, {chosen.flow.requests_per_s:.1f} requests a second, actions "
        f"{chosen.flow.action_age_s * 1e3:.0f} ms old on average{_placed(chosen)}."
    ]
    lowest = min((r for r in results if r.flow.starved_ratio <= STARVED_LIMIT), key=lambda r: r.cell.threshold)
    lines.append(
        f"Below chunk_size_threshold x rows = {math.ceil(steps) + 1} rows the queue runs empty before the chunk comes "
        f"(the lowest threshold here that does not is {lowest.cell.threshold:g}, with {lowest.cell.rows} rows). "
        "`request_policy: adaptive` finds that level automatically and follows a changing network."
    )
    if chosen.cell.note:
        lines.append(f"Note: {chosen.cell.note}.")
    return lines


def named(cell: TuneCell) -> str:
    """Return a cell as the parameters to set."""
    return f"actions_per_chunk {cell.rows} and chunk_size_threshold {cell.threshold:g}"


def _placed(result: Result) -> str:
    return f", {result.successes} of {result.episodes} episodes placed" if result.episodes else ""


def as_record(results: Sequence[Result], round_trip_s: float) -> dict[str, Any]:
    """Return the recommendation for machines."""
    chosen = best(results)
    return {
        "round_trip_ms": round(round_trip_s * 1e3, 1),
        "actions_per_chunk": chosen.cell.rows if chosen else None,
        "chunk_size_threshold": chosen.cell.threshold if chosen else None,
        "words": advise(results, round_trip_s),
    }
