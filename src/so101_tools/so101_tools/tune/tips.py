"""The nine tuning tips of the requirements, each tried: what it changes, before and after.

Three complaints, three remedies each. The complaint sets the stage (a delay at which it arises), the remedy is the only
thing that changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.settings import Settings

from so101_tools.tune.flow import run_flow
from so101_tools.tune.matrix import Cell, Flow

CAMERAS = 3
PICTURE = (640, 480)
SMALL_PICTURE = (320, 240)


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


def try_tips(way: NDArray[np.float64], seconds: float, picture_bytes: Callable[[int, int], int]) -> list[Tip]:
    """Try all nine. picture_bytes: (width, height) -> bytes of one JPEG picture of the scene."""
    return [*_empty(way, seconds), *_imprecise(way, seconds), *_narrow(way, seconds, picture_bytes)]


def _empty(way: NDArray[np.float64], seconds: float) -> list[Tip]:
    complaint, measure = "the queue is often empty", "starved ticks, %"
    base = Cell(50, 0.5, 0.9)

    def starved(cell: Cell, settings: Settings | None = None) -> float:
        return 100 * run_flow(cell, way, seconds, settings=settings).starved_share

    before = starved(base)
    longer, slower = starved(Cell(100, 0.5, 0.9)), starved(base, Settings(fps=20.0))
    # The other way round is tried where 0.5 still flows, so that only the threshold can be to blame.
    high, low = starved(Cell(50, 0.5, 0.6)), starved(Cell(50, 0.3, 0.6))
    return [
        Tip(complaint, "actions_per_chunk 50 -> 100", measure, before, longer, longer < before,
            "if the policy's horizon allows it: the server gives no more rows than that, and says so"),
        Tip(complaint, "fps 30 -> 20", measure, before, slower, slower < before,
            "a chunk then lasts 2.5 s instead of 1.7 s, but the arm moves at 2/3 of the speed it was trained at"),
        Tip(complaint, "chunk_size_threshold 0.5 -> 0.3", measure, high, low, low < high,
            "contradicts what the threshold means: with 0.3 the question is asked later, with 15 rows left instead of "
            "25, so the answer comes later and the queue runs empty sooner. Raise it, or use request_policy adaptive"),
    ]  # fmt: skip


def _imprecise(way: NDArray[np.float64], seconds: float) -> list[Tip]:
    complaint, age = "movements are not precise enough", "mean age of the observation behind an action, ms"
    base = Cell(50, 0.5, 0.1)

    def flow(cell: Cell, settings: Settings | None = None) -> Flow:
        return run_flow(cell, way, seconds, settings=settings)

    before, shorter, sooner = flow(base), flow(Cell(30, 0.5, 0.1)), flow(Cell(50, 0.7, 0.1))
    latest = flow(base, Settings(aggregate_fn_name="latest_only"))
    return [
        Tip(complaint, "actions_per_chunk 50 -> 30", age, 1e3 * before.action_age_s, 1e3 * shorter.action_age_s,
            shorter.action_age_s < before.action_age_s,
            "fresher actions; too short a chunk costs success by replanning too often and leaves no room for a delay"),
        Tip(complaint, "chunk_size_threshold 0.5 -> 0.7", age, 1e3 * before.action_age_s, 1e3 * sooner.action_age_s,
            sooner.action_age_s < before.action_age_s, "fresher actions, for more questions a second"),
        Tip(complaint, "aggregate_fn_name latest_only -> weighted_average", "p99 seam, rad per tick",
            latest.seam_p99_rad, before.seam_p99_rad, before.seam_p99_rad < latest.seam_p99_rad,
            "smoother where two chunks meet; it is the default"),
    ]  # fmt: skip


def _narrow(way: NDArray[np.float64], seconds: float, picture_bytes: Callable[[int, int], int]) -> list[Tip]:
    complaint, measure = "the network is narrow", "kB per observation"
    large, small = (CAMERAS * picture_bytes(*size) / 1e3 for size in (PICTURE, SMALL_PICTURE))
    raw = CAMERAS * PICTURE[0] * PICTURE[1] * 3 / 1e3
    often = run_flow(Cell(50, 0.5, 0.1), way, seconds).requests_per_s
    seldom = run_flow(Cell(50, 0.3, 0.1), way, seconds).requests_per_s
    return [
        Tip(complaint, "pictures of 640x480 -> 320x240", measure, large, small, small < large,
            "where the policy reads no more than that"),
        Tip(complaint, "chunk_size_threshold 0.5 -> 0.3", "questions a second", often, seldom, seldom < often,
            "right here, as long as the queue does not run empty: 0.3 x rows must outlast the round trip"),
        Tip(complaint, "compressed pictures", measure, raw, large, large < raw,
            "always done here: cameras answer with JPEG; raw is what LeRobot sends"),
    ]  # fmt: skip


def as_markdown(tips: list[Tip]) -> list[str]:
    """Return the tips as a table for docs/tuning.md."""
    lines = ["| Complaint | Tip | Measure | Before | After | Holds | Remark |", "|---|---|---|---|---|---|---|"]
    for tip in tips:
        holds = "yes" if tip.holds else "**no**"
        numbers = f"{_short(tip.before)} | {_short(tip.after)}"
        lines.append(f"| {tip.complaint} | {tip.remedy} | {tip.measure} | {numbers} | {holds} | {tip.remark} |")
    return lines


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
