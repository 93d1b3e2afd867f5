# SPDX-License-Identifier: Apache-2.0
"""Trying a checkpoint out: in virtual time, or through the whole chain by running the demo."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from so101_training.errors import TrainingError
from so101_training.policy.comparison import ModeCell
from so101_training.policy.recipe import EVALUATION_SEEDS, ObservationRecipe

if TYPE_CHECKING:
    from so101_policy_server.policy import Policy

    from so101_training.policy.lockstep_arm import LockstepArm
    from so101_training.policy.viewpoint import Viewpoint
    from so101_training.policy.virtual_episode import Outcome


class TrialError(TrainingError):
    """A checkpoint cannot be tried out. The message is one line."""


def evaluation_seeds(first: int, episodes: int) -> range:
    """Seeds of that many scenes; TrialError where they would meet those that policies are trained on."""
    seeds = range(first, first + episodes)
    if seeds.start not in EVALUATION_SEEDS or seeds.stop - 1 not in EVALUATION_SEEDS:
        raise TrialError(f"seeds {seeds.start} to {seeds.stop - 1}: evaluation has 0 to {EVALUATION_SEEDS.stop - 1}")
    return seeds


@dataclass(frozen=True, slots=True)
class VirtualTrials:
    """A loaded policy with a virtual arm and cameras in virtual time."""

    task: str
    seeds: range
    policy: Policy
    arm: LockstepArm
    viewpoint: Viewpoint

    def run(self, mode: str, delay_s: float) -> Iterator[Outcome]:
        """One episode after the other."""
        from so101_sim.core.tasks import task_named

        from so101_training.policy.evaluation import Evaluator, queue_settings
        from so101_training.policy.virtual_episode import PolicyDelay

        task = task_named(self.task)
        settings = queue_settings(self.policy, task, mode)
        evaluator = Evaluator(self.arm, self.viewpoint, self.policy, task, settings, PolicyDelay(delay_s))
        for seed in self.seeds:
            yield evaluator.run(seed)


@contextmanager
def virtual_trials(task: str, checkpoint: Path, seeds: range) -> Iterator[VirtualTrials]:
    """Load the checkpoint and start the arm; TrialError if the checkpoint cannot be loaded."""
    import torch
    from so101_policy_server.lerobot.lerobot_policy import load_policy
    from so101_policy_server.policy import PolicyLoadError, PolicySource

    from so101_training.policy.lockstep_arm import lockstep_arm
    from so101_training.policy.viewpoint import Viewpoint

    torch.set_num_threads(1)
    try:
        policy = load_policy(PolicySource(path=str(checkpoint)), lambda _doing: None)
    except PolicyLoadError as error:
        raise TrialError(str(error)) from error
    with lockstep_arm() as arm, Viewpoint(_observation_of(policy)) as viewpoint:
        yield VirtualTrials(task, seeds, policy, arm, viewpoint)


def _observation_of(policy: Policy) -> ObservationRecipe:
    """The cameras and the one size that a checkpoint reads."""
    features = policy.description.images
    if not features:
        raise TrialError("the checkpoint reads no camera")
    return ObservationRecipe(tuple(f.camera for f in features), features[0].height, features[0].width)


def run_demo(task: str, checkpoint: Path, mode: str, delay_ms: float, episodes: int, seed: int) -> ModeCell:
    """One cell through the whole chain; TrialError with the demo's own last line if it does not complete."""
    with tempfile.TemporaryDirectory(prefix="so101-compare-") as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "so101_demo", "--headless", "--no-video", "--task", task]
        command += ["--checkpoint", str(checkpoint), "--execution", mode, "--policy-delay", f"{delay_ms / 1000:g}"]
        command += ["--episodes", str(episodes), "--seed", str(seed), "--report", str(report)]
        demo = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if demo.returncode != 0:
            lines = demo.stdout.strip().splitlines() or [f"exit code {demo.returncode}"]
            raise TrialError(f"{mode} at {delay_ms:g} ms: {lines[-1].removeprefix('so101 demo: ')}")
        metrics = json.loads(report.read_text(encoding="utf-8"))
    return ModeCell(mode, delay_ms, metrics["successes"], metrics["episodes"])
