# SPDX-License-Identifier: Apache-2.0
"""Three cells through the real chain in real time, beside what virtual time says of them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from so101_training.errors import TrainingError
from so101_training.tune.flow import run_flow
from so101_training.tune.matrix import POLICY_S, TuneCell

REAL_CELLS: Final = (TuneCell(50, 0.5, 0.3), TuneCell(50, 0.3, 0.7), TuneCell(20, 0.5, 0.6))
"""One that flows, one that a low threshold starves, one that a short chunk starves. Here `delay_s` is the least time
of an inference."""

EPISODES: Final = 2
SECONDS: Final = 120.0
TOLERANCE: Final = 0.25
TOLERANCE_RATIO: Final = 0.03
TIMEOUT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """One cell both ways. `agree`: the starved ratios differ by no more than 3 points or a quarter."""

    rows: int
    threshold: float
    policy_delay_s: float
    round_trip_ms: float
    starved_real: float
    starved_virtual: float
    episodes: int
    successes: int
    agree: bool


class ValidationError(TrainingError):
    """The real chain did not run. The message is one line."""


def compare(way: NDArray[np.float64], say: Callable[[str], None]) -> Iterator[Comparison]:
    """Run each of REAL_CELLS in real time, then at the round trip that was measured in virtual time.

    Raises:
        ValidationError: a run failed.
    """
    for cell in REAL_CELLS:
        say(
            f"real time: {cell.rows} rows, threshold {cell.threshold:g}, inference of {cell.delay_s:g} s or more, "
            f"{EPISODES} episodes"
        )
        yield judge(cell, _run(cell), way)


def judge(cell: TuneCell, report: dict[str, Any], way: NDArray[np.float64]) -> Comparison:
    """Compare a report of the demo with virtual time at the same round trip."""
    added_s = (report["added_latency_ms"]["p50"] + (report["frame_wait_ms"]["p50"] or 0.0)) / 1e3
    policy_s = report["inference_ms"]["p50"] / 1e3
    virtual = run_flow(TuneCell(cell.rows, cell.threshold, policy_s + added_s - POLICY_S), way, SECONDS)
    real = report["starved_ticks"] / max(1, report["ticks"])
    apart = abs(real - virtual.starved_ratio)
    return Comparison(
        rows=cell.rows,
        threshold=cell.threshold,
        policy_delay_s=cell.delay_s,
        round_trip_ms=round(1e3 * (policy_s + added_s), 1),
        starved_real=round(real, 4),
        starved_virtual=round(virtual.starved_ratio, 4),
        episodes=report["episodes"],
        successes=report["successes"],
        agree=apart <= max(TOLERANCE_RATIO, TOLERANCE * max(real, virtual.starved_ratio)),
    )


def words(comparison: Comparison) -> str:
    """Return one line for people."""
    verdict = "agree" if comparison.agree else "DIFFER"
    return (
        f"{comparison.rows} rows, threshold {comparison.threshold:g}, round trip {comparison.round_trip_ms:.0f} ms: "
        f"starved {comparison.starved_real:.1%} in real time, {comparison.starved_virtual:.1%} in virtual time: "
        f"{verdict}; {comparison.successes} of {comparison.episodes} placed"
    )


def record(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison for the JSON report."""
    return asdict(comparison)


def _run(cell: TuneCell) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="so101-tune-") as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "so101_training.tune.real_cell", str(cell.rows), str(cell.threshold)]
        command += [str(cell.delay_s), str(EPISODES), str(report)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise ValidationError(f"--validate: the chain did not end within {TIMEOUT_S:g} s") from error
        if done.returncode == 130:
            raise KeyboardInterrupt
        if done.returncode != 0 or not report.is_file():
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise ValidationError(f"--validate: {said[-1] if said else f'exit code {done.returncode}'}")
        content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return content
