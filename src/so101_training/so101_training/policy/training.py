# SPDX-License-Identifier: Apache-2.0
"""Training ACT on one CPU core with the whole dataset in memory.

Batches and dropout depend on the seed and the number of the step alone, so an interrupted and resumed training is the
same training.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.policies import make_pre_post_processors
from safetensors import SafetensorError
from torch import Tensor

from so101_training.denormals import flushed_denormals
from so101_training.errors import TrainingError
from so101_training.policy.act_policy import (
    SharedBackbone,
    calibrate_batch_norm,
    new_policy,
    policy_to_go_on_from,
    save_policy,
)
from so101_training.policy.dataset import ACTION, IMAGES, STATE, EpisodeArrays
from so101_training.policy.recipe import ModelRecipe, ObservationRecipe, TrainingRecipe
from so101_training.policy.training_state import STATE_FILE, Progress, load_state, read_progress, save_state

_CALIBRATION_FRAMES = 48
_SAVE_EVERY = 500
_REPORT_EVERY = 50


class TrainingRunError(TrainingError):
    """Training cannot go on. The message is one line."""


@dataclass(frozen=True, slots=True)
class Report:
    """How training goes: steps done, mean L1 loss since the last report (normalised units), seconds spent in all."""

    step: int
    loss: float
    seconds: float


def pretrained_folder(run: Path) -> Path:
    """Where a run's policy lies, in LeRobot's own layout."""
    return run / "checkpoints" / "last" / "pretrained_model"


class Trainer:
    """One training run in a folder."""

    def __init__(
        self,
        data: EpisodeArrays,
        run: Path,
        observation: ObservationRecipe,
        model: ModelRecipe,
        training: TrainingRecipe,
        note: dict[str, Any],
        init: Path | None = None,
    ) -> None:
        """Start from the beginning, or go on where the run in this folder was left.

        Args:
            data: all episodes.
            run: folder of the run; the policy is kept in `checkpoints/last/pretrained_model`.
            observation, model, training: the recipe.
            note: goes into the training card as it is.
            init: a policy of this recipe to begin with instead of random weights. Its normalisation is kept, since
                its weights know no other.

        Raises:
            TrainingRunError: the folder has a run of another recipe or other data, or `init` no policy of this recipe.
        """
        self._run = run
        self._recipe = training
        self._model_recipe = model
        self._observation = observation
        self._note = note
        torch.manual_seed(training.seed)
        self._policy = new_policy(observation, model)
        self._init = init
        if init is not None:
            data = replace(data, stats=self._begin_with(init))
        self._data = data
        self._preprocess, _ = make_pre_post_processors(self._policy.config, dataset_stats=data.stats)
        key = [asdict(observation), asdict(model), asdict(training), data.frames]
        self._key = json.dumps(key if init is None else [*key, str(init)], sort_keys=True)
        self._state_path = run / "checkpoints" / "last" / "training_state" / STATE_FILE
        if init is None:
            self._calibrate()
        self._average = copy.deepcopy(self._policy)
        self._optimizer = torch.optim.AdamW(
            self._policy.parameters(), training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
        self.step = 0
        self.seconds = 0.0
        self._resume()
        self._backbone = SharedBackbone(self._policy)
        self._policy.train()

    def train(self, report: Callable[[Report], None]) -> None:
        """Train to the last step, saving now and then and in the end; on KeyboardInterrupt too."""
        losses: list[float] = []
        last = time.monotonic()
        try:
            with flushed_denormals():
                while self.step < self._recipe.steps:
                    losses.append(self._train_step())
                    self.step += 1
                    now = time.monotonic()
                    self.seconds += now - last
                    last = now
                    if self.step % _REPORT_EVERY == 0 or self.step == self._recipe.steps:
                        report(Report(self.step, float(np.mean(losses)), self.seconds))
                        losses.clear()
                    if self.step % _SAVE_EVERY == 0:
                        self._save()
                        last = time.monotonic()
        finally:
            self._save()

    def _train_step(self) -> float:
        recipe = self._recipe
        torch.manual_seed(recipe.seed * 1_000_003 + self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(recipe, self.step)
        batch = self._batch(np.random.default_rng([recipe.seed, self.step]), recipe.batch_size)
        self._backbone.see(batch)
        loss, _ = self._policy.forward(batch)
        if not torch.isfinite(loss):
            raise TrainingRunError(f"the loss is {loss.item()} at step {self.step}; lower the learning rate")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._policy.parameters(), recipe.clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if (self.step + 1) % recipe.average_every == 0:
            self._update_average()
        return float(loss.item())

    def _batch(self, rng: np.random.Generator, size: int) -> dict[str, Tensor]:
        """Random frames with the rows that follow them, through LeRobot's own preprocessor."""
        data = self._data
        index = rng.integers(0, data.frames, size)
        rows = index[:, None] + np.arange(self._model_recipe.chunk_size)
        # An episode ends at rest, so its last row goes on forever: a longer truth than masking what is not there.
        rows = np.minimum(rows, data.episode_end[index][:, None] - 1)
        raw: dict[str, Any] = {
            STATE: torch.from_numpy(data.state[index]),
            ACTION: torch.from_numpy(data.action[rows]),
            "action_is_pad": torch.zeros(rows.shape, dtype=torch.bool),
            "task": [data.task] * size,
        }
        for camera, images in data.images.items():
            raw[IMAGES + camera] = torch.from_numpy(images[index]).type(torch.float32) / 255
        processed: dict[str, Tensor] = self._preprocess(raw)
        return processed

    def _begin_with(self, folder: Path) -> dict[str, Any]:
        """Take over a trained policy's weights; returns its statistics."""
        try:
            trained, stats = policy_to_go_on_from(folder)
            self._policy.load_state_dict(trained.state_dict())
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise TrainingRunError(f"{folder}: no policy of this recipe to begin with ({reason})") from error
        if stats.keys() < {STATE, ACTION, *(IMAGES + camera for camera in self._observation.cameras)}:
            raise TrainingRunError(f"{folder}: its normalisation lacks features; it knows {', '.join(sorted(stats))}")
        return stats

    def _calibrate(self) -> None:
        batch = self._batch(np.random.default_rng(self._recipe.seed), _CALIBRATION_FRAMES)
        calibrate_batch_norm(self._policy, [batch[IMAGES + camera] for camera in self._observation.cameras])

    def _update_average(self) -> None:
        """Exponential average of the weights: smooths the last steps' noise out of the policy that is kept."""
        # Early on the average follows quickly, so that an intermediate policy is of use too.
        done = (self.step + 1) / self._recipe.average_every
        decay = min(self._recipe.average_decay, done / (done + 10))
        with torch.no_grad():
            for mean, value in zip(self._average.parameters(), self._policy.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)

    def _resume(self) -> None:
        progress = read_progress(self._state_path)
        if progress is None:
            return
        if progress.recipe != self._key:
            raise TrainingRunError(
                f"{self._run} holds a training of another recipe or other data; choose another folder"
            )
        load_state(self._state_path, self._policy, self._average, self._optimizer)
        self.step, self.seconds = progress.step, progress.seconds

    def _save(self) -> None:
        save_state(
            self._state_path,
            Progress(self.step, self.seconds, self._key),
            self._policy,
            self._average,
            self._optimizer,
        )
        card = {
            **self._note,
            **({} if self._init is None else {"begun_with": self._init.name}),
            "episodes": self._data.episodes,
            "frames": self._data.frames,
            "steps": self.step,
            "minutes": round(self.seconds / 60, 1),
            **asdict(self._observation),
            **asdict(self._model_recipe),
            **{f"training_{name}": value for name, value in asdict(self._recipe).items()},
        }
        folder = pretrained_folder(self._run)
        folder.parent.mkdir(parents=True, exist_ok=True)
        save_policy(folder, self._average, self._data.stats, card)


def learning_rate(recipe: TrainingRecipe, step: int) -> float:
    """Linear warm-up, then a cosine down to `final_rate_share`."""
    ratio = recipe.final_rate_share
    cosine = 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
    return recipe.learning_rate * min(1.0, (step + 1) / recipe.warm_up_steps) * (cosine * (1 - ratio) + ratio)
