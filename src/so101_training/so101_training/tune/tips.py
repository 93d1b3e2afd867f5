# SPDX-License-Identifier: Apache-2.0
"""Nine tuning tips for asynchronous inference, each tried: what it changes, before and after.

Three complaints, three remedies each. The complaint sets the stage (a delay at which it arises), the remedy is the only
thing that changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.core.settings import QueueSettings

from so101_training.tune.flow import run_flow
from so101_training.tune.matrix import Flow, TuneCell

CAMERAS = 3
FRAME = (640, 480)
SMALL_FRAME = (320, 240)


@dataclass(frozen=True, slots=True)
class Tip:
    """One tip as tried: `measure` before and after; `holds` whether it did what it promises."""

    complaint: str
    remedy: str
    measure: str
    before: float
    after: float
    holds: bool
    remark: str


def try_tips(way: NDArray[np.float64], seconds: float, frame_bytes: Callable[[int, int], int]) -> list[Tip]:
    """Try all nine. frame_bytes: (width, height) -> bytes of one JPEG image of the scene."""
    return [*_empty(way, seconds), *_imprecise(way, seconds), *_narrow(way, seconds, frame_bytes)]


def _empty(way: NDArray[np.float64], seconds: float) -> list[Tip]:
    complaint, measure = "the queue is often empty", "starved ticks, %"
    base = TuneCell(50, 0.5, 0.9)

    def starved(cell: TuneCell, settings: QueueSettings | None = None) -> float:
        return 100 * run_flow(cell, way, seconds, settings=settings).starved_ratio

    before = starved(base)
    longer, slower = starved(TuneCell(100, 0.5, 0.9)), starved(base, QueueSettings(fps=20.0))
    # The other way round is tried where 0.5 still flows, so that only the threshold can be to blame.
    high, low = starved(TuneCell(50, 0.5, 0.6)), starved(TuneCell(50, 0.3, 0.6))
    return [
        Tip(complaint, "actions_per_chunk 50 -> 100", measure, before, longer, longer < before,
            "if the policy's horizon allows it: the server gives no more rows than that, and says so"),
        Tip(complaint, "fps 30 -> 20", measure, before, slower, slower < before,
            "a chunk then lasts 2.5 s instead of 1.7 s, but the arm moves at 2/3 of the speed it was trained at"),
        Tip(complaint, "chunk_size_threshold 0.5 -> 0.3", measure, high, low, low < high,
            "contradicts what the threshold means: with 0.3 the request is sent later, with 15 rows left instead of "
            "25, so the chunk comes later and the queue runs empty sooner. Raise it, or use request_policy adaptive"),
    ]  # fmt: skip


def _imprecise(way: NDArray[np.float64], seconds: float) -> list[Tip]:
    complaint, age = "movements are not precise enough", "mean age of the observation behind an action, ms"
    base = TuneCell(50, 0.5, 0.1)

    def flow(cell: TuneCell, settings: QueueSettings | None = None) -> Flow:
        return run_flow(cell, way, seconds, settings=settings)

    before, shorter, sooner = flow(base), flow(TuneCell(30, 0.5, 0.1)), flow(TuneCell(50, 0.7, 0.1))
    latest = flow(base, QueueSettings(aggregate_fn_name="latest_only"))
    return [
        Tip(complaint, "actions_per_chunk 50 -> 30", age, 1e3 * before.action_age_s, 1e3 * shorter.action_age_s,
            shorter.action_age_s < before.action_age_s,
            "fresher actions; too short a chunk costs success by replanning too often and leaves no room for a delay"),
        Tip(complaint, "chunk_size_threshold 0.5 -> 0.7", age, 1e3 * before.action_age_s, 1e3 * sooner.action_age_s,
            sooner.action_age_s < before.action_age_s, "fresher actions, for more requests a second"),
        Tip(complaint, "aggregate_fn_name latest_only -> weighted_average", "p99 seam, rad per tick",
            latest.seam_p99_rad, before.seam_p99_rad, before.seam_p99_rad < latest.seam_p99_rad,
            "smoother where two chunks meet; it is the default"),
    ]  # fmt: skip


def _narrow(way: NDArray[np.float64], seconds: float, frame_bytes: Callable[[int, int], int]) -> list[Tip]:
    complaint, measure = "the network is narrow", "kB per observation"
    large, small = (CAMERAS * frame_bytes(*size) / 1e3 for size in (FRAME, SMALL_FRAME))
    raw = CAMERAS * FRAME[0] * FRAME[1] * 3 / 1e3
    often = run_flow(TuneCell(50, 0.5, 0.1), way, seconds).requests_per_s
    seldom = run_flow(TuneCell(50, 0.3, 0.1), way, seconds).requests_per_s
    return [
        Tip(complaint, "images of 640x480 -> 320x240", measure, large, small, small < large,
            "where the policy reads no more than that"),
        Tip(complaint, "chunk_size_threshold 0.5 -> 0.3", "requests a second", often, seldom, seldom < often,
            "right here, as long as the queue does not run empty: 0.3 x rows must outlast the round trip"),
        Tip(complaint, "compressed images", measure, raw, large, large < raw,
            "always done here: cameras send JPEG; raw is what LeRobot sends"),
    ]  # fmt: skip


def as_text(tips: list[Tip]) -> list[str]:
    """Return the tips as lines for a terminal: under each complaint its remedies, with what they changed."""
    lines = []
    for number, tip in enumerate(tips):
        if number == 0 or tip.complaint != tips[number - 1].complaint:
            lines.append(f"{tip.complaint}:")
        verdict = "helps" if tip.holds else "does NOT help"
        lines.append(f"  {tip.remedy}: {verdict}; {tip.measure}: {_short(tip.before)} -> {_short(tip.after)}")
    return lines


def as_markdown(tips: list[Tip]) -> list[str]:
    """Return the tips as a table for docs/explanation/tuning_matrix.md."""
    lines = ["| Complaint | Tip | Measure | Before | After | Holds | Remark |", "|---|---|---|---|---|---|---|"]
    for tip in tips:
        holds = "yes" if tip.holds else "**no**"
        numbers = f"{_short(tip.before)} | {_short(tip.after)}"
        lines.append(f"| {tip.complaint} | {tip.remedy} | {tip.measure} | {numbers} | {holds} | {tip.remark} |")
    return lines


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
