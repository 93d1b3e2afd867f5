# SPDX-License-Identifier: Apache-2.0
"""One row of a table of corrections: a task at one delay, with a correction or without, its report and its line."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so101_demo.execution_modes import beside_a_correction
from so101_node.protocol import JOINT_NAMES
from so101_sim.core.camera_names import CAMERAS

from so101_training.policy.comparison import ModeCell
from so101_training.policy.recipe import FPS
from so101_training.policy.trials import TrialError, VirtualTrials, evaluation_seeds, virtual_trials

if TYPE_CHECKING:
    from so101_correction.core.correction_file import CorrectionFile

    from so101_training.policy.virtual_correction import CameraHealth
    from so101_training.policy.virtual_episode import Outcome, PolicyDelay, SessionCorrection


@dataclass(frozen=True, slots=True)
class ComparedCell:
    """What is tried.

    mode: one of MODES. requests_in_flight: at most. threshold: of the queue's rows at which it requests, as a ratio of
    a chunk; None = the task's own, with a correction that of beside_a_correction. correction: its file; None = without.
    """

    task: str
    checkpoint: Path
    mode: str
    delay: PolicyDelay
    requests_in_flight: int
    threshold: float | None
    correction: Path | None
    health: CameraHealth
    seed: int
    episodes: int

    @property
    def conditions(self) -> str:
        """Delay and what goes with it, in words."""
        words = [f"{self.delay.delay_s:g} s", "warm" if self.delay.is_warm else "cold"]
        if self.requests_in_flight > 1:
            words.append(f"{self.requests_in_flight} in flight")
        if self.correction is not None and self.health.value != "live":
            words.append(f"frames {self.health.value}")
        return ", ".join(words)


def run_cell(cell: ComparedCell, told: Callable[[Outcome], None]) -> dict[str, Any]:
    """Run all episodes, and return the report.

    Raises:
        TrialError: checkpoint or correction cannot be used, or they do not fit each other.
    """
    outcomes = []
    seeds = evaluation_seeds(cell.seed, cell.episodes)
    file = _read(cell)
    with virtual_trials(cell.task, cell.checkpoint, seeds) as trials, _correction(cell, file, trials) as correction:
        for outcome in _outcomes(cell, trials, correction):
            outcomes.append(outcome)
            told(outcome)
    failed = tuple(outcome.seed for outcome in outcomes if not outcome.succeeded)
    counted = ModeCell(cell.mode, 1000 * cell.delay.delay_s, len(outcomes) - len(failed), len(outcomes), failed)
    return {
        "task": cell.task,
        "checkpoint": cell.checkpoint.absolute().name,
        "where": "in virtual time",
        "execution": cell.mode,
        "delay_s": cell.delay.delay_s,
        "is_warm": cell.delay.is_warm,
        "requests_in_flight": cell.requests_in_flight,
        "chunk_size_threshold": _changed(cell).get("chunk_size_threshold"),
        "correction": cell.correction.name if cell.correction else "",
        "frames": cell.health.value,
        "seed": cell.seed,
        "successes": counted.successes,
        "episodes": counted.episodes,
        "interval": list(counted.interval),
        "median_s": median_s(outcomes),
        "failed_seeds": list(failed),
    }


def median_s(outcomes: Sequence[Outcome]) -> float | None:
    """Median time from the scene to a cube that rests in the bin, s, of the successes; None where there is none."""
    placed_s = [outcome.duration_s for outcome in outcomes if outcome.succeeded]
    return round(statistics.median(placed_s), 2) if placed_s else None


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write the report as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def table_line(cell: ComparedCell, report: dict[str, Any]) -> str:
    """The row of a Markdown table: task, conditions, correction, successes, Wilson's interval in percent."""
    low, high = (100 * bound for bound in report["interval"])
    successes = f"{report['successes']}/{report['episodes']}"
    name = report["correction"] or "none"
    return f"| {cell.task} | {cell.conditions} | {name} | {successes} | {low:.0f}-{high:.0f} % |"


def _outcomes(cell: ComparedCell, trials: VirtualTrials, correction: SessionCorrection | None) -> Iterator[Outcome]:
    from so101_sim.core.tasks import task_named

    from so101_training.policy.evaluation import Evaluator, queue_settings

    task = task_named(cell.task)
    settings = queue_settings(trials.policy, task, cell.mode)
    settings = replace(settings, **_changed(cell))
    evaluator = Evaluator(trials.arm, trials.viewpoint, trials.policy, task, settings, cell.delay, correction)
    for seed in trials.seeds:
        yield evaluator.run(seed)


def _changed(cell: ComparedCell) -> dict[str, Any]:
    """What of the task's settings is another."""
    changed: dict[str, Any] = {} if cell.correction is None else beside_a_correction(cell.mode, cell.delay.delay_s)
    if cell.threshold is not None:
        changed["chunk_size_threshold"] = cell.threshold
    return changed | {"max_requests_in_flight": cell.requests_in_flight}


def _read(cell: ComparedCell) -> CorrectionFile | None:
    """The correction's file, checked against the checkpoint."""
    if cell.correction is None:
        return None
    from so101_correction.core.correction_file import check, read
    from so101_correction.errors import CorrectionError
    from so101_node.fingerprint import FingerprintError, of_checkpoint

    try:
        file, fingerprint = read(cell.correction), of_checkpoint(cell.checkpoint)
    except (CorrectionError, FingerprintError) as error:
        raise TrialError(str(error)) from error
    differs = check(file, fingerprint=fingerprint, cameras=CAMERAS, joint_names=JOINT_NAMES, fps=FPS)
    if differs:
        raise TrialError(f"{cell.correction}: {differs}")
    return file


@contextmanager
def _correction(
    cell: ComparedCell, file: CorrectionFile | None, trials: VirtualTrials
) -> Iterator[SessionCorrection | None]:
    if file is None:
        yield None
        return
    from so101_correction.core.corrector import FROZEN_S, Corrector

    from so101_training.policy.recipe import ObservationRecipe
    from so101_training.policy.viewpoint import Viewpoint
    from so101_training.policy.virtual_correction import CameraHealth, VirtualCorrection

    calibration = trials.arm.calibration
    frozen_s = FROZEN_S if cell.health is CameraHealth.FROZEN else 0.0  # rendered frames of a still scene are equal
    corrector = Corrector(file, (calibration.lower_rad(), calibration.upper_rad()), frozen_s=frozen_s)
    with Viewpoint(ObservationRecipe(file.cameras, file.height, file.width)) as viewpoint:
        yield VirtualCorrection(corrector, viewpoint, file.cameras, (file.height, file.width), cell.health)
