# SPDX-License-Identifier: Apache-2.0
"""Training of a correction, five minutes on one core: AdamW, smooth L1, a running average of the weights.

What is left of the residual offline ranks corrections wrongly: trained with the command of the tick before as an input
one was the best by it, and picked 1 cube of 14. `./so101 policy compare --correction` decides.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from so101_training.correction.samples import (
    GRIPPER_HIDDEN,
    CorrectionEpisode,
    CorrectionSamples,
    SampleBatch,
    SampleNoise,
)
from so101_training.correction.torch_network import TorchCorrection
from so101_training.denormals import flushed_denormals

HELD_BACK = 12  # every so many episodes one is not trained on, for the offline figure
MEASURED_SAMPLES = 1500
SCALED_BY_SAMPLES = 4000


@dataclass(frozen=True, slots=True)
class FitRecipe:
    """How a correction learns. steps batches of batch_size samples; the learning rate falls along a cosine.

    earlier_steps: control steps between the newest frame and the earlier one that it is shown; 0 = none.
    """

    seed: int = 0
    steps: int = 2500
    batch_size: int = 96
    learning_rate: float = 1.5e-3
    final_rate_ratio: float = 0.03
    warm_up_steps: int = 50
    weight_decay: float = 1e-3
    clip_norm: float = 5.0
    smooth_below: float = 0.3
    average_decay: float = 0.995
    noise: SampleNoise = GRIPPER_HIDDEN
    earlier_steps: int = 0


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained network, and the root mean square to correct without it and with it, rad, where it was not trained."""

    network: TorchCorrection
    before_rad: float
    after_rad: float
    seconds: float


@dataclass(frozen=True, slots=True)
class FitProgress:
    """steps done, and what was left of the residual in the last hundred, rad."""

    step: int
    left_rad: float


@flushed_denormals()
def fit(
    episodes: Sequence[CorrectionEpisode],
    recipe: FitRecipe,
    *,
    sees: bool,
    told: Callable[[FitProgress], None],
    begin: Mapping[str, NDArray[np.float32]] | None = None,
) -> Fitted:
    """Train on demonstrations; sees: with frames, else a blind network for comparison; begin: weights to go on from."""
    began = time.monotonic()
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    is_few = len(episodes) < HELD_BACK
    earlier = recipe.earlier_steps if sees else 0
    held = [episode for index, episode in enumerate(episodes) if index % HELD_BACK == HELD_BACK - 1]
    learned = [episode for i, episode in enumerate(episodes) if is_few or i % HELD_BACK != HELD_BACK - 1]
    samples = CorrectionSamples(learned, earlier_steps=earlier)
    network = _new_network(episodes[0], samples, rng, recipe, sees)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if begin is not None:
        network.load_state_dict({name: torch.from_numpy(value) for name, value in begin.items()})
    average = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    left: list[float] = []
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(recipe, step)
        batch = samples.draw(rng, recipe.batch_size, noise=recipe.noise, sees=sees)
        given, wanted = network(*_tensors(batch)), torch.from_numpy(batch.residual)
        scale = network.residual_scale
        loss = torch.nn.functional.smooth_l1_loss(given / scale, wanted / scale, beta=recipe.smooth_below)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
        optimizer.step()
        decay = min(recipe.average_decay, (step + 1) / (step + 11))
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1 - decay)
        left = [*left[-99:], _rms(given.detach().numpy() - batch.residual)]
        told(FitProgress(step + 1, float(np.mean(left))))
    network.load_state_dict(average)
    network.eval()
    judged = CorrectionSamples(held, earlier_steps=earlier) if held else samples
    before, after = _measure(network, judged, recipe, sees)
    return Fitted(network, before, after, time.monotonic() - began)


def _new_network(
    episode: CorrectionEpisode, samples: CorrectionSamples, rng: np.random.Generator, recipe: FitRecipe, sees: bool
) -> TorchCorrection:
    """A network that adds nothing yet, scaled to the data."""
    drawn = samples.draw(rng, SCALED_BY_SAMPLES, noise=recipe.noise, sees=False)
    height, width = next(iter(episode.thumbnails.values())).shape[1:3]
    cameras, joints = len(samples.cameras) if sees else 0, episode.positions.shape[1]
    network = TorchCorrection(cameras, joints, height, width, sees_earlier=recipe.earlier_steps > 0)
    network.input_mean.copy_(torch.from_numpy(drawn.told.mean(axis=0)))
    network.input_std.copy_(torch.from_numpy(drawn.told.std(axis=0) + 1e-3))
    network.residual_scale.copy_(torch.from_numpy(drawn.residual.std(axis=0) + 1e-4))
    return network


def _tensors(batch: SampleBatch) -> tuple[list[Tensor], Tensor]:
    # Channels stay last in memory, as torch's convolutions like them: a step takes 0.13 s instead of 0.17 s.
    images = [torch.from_numpy(image).permute(0, 3, 1, 2) for image in batch.images.values()]
    return images, torch.from_numpy(batch.told)


def _measure(
    network: TorchCorrection, samples: CorrectionSamples, recipe: FitRecipe, sees: bool
) -> tuple[float, float]:
    rng = np.random.default_rng(recipe.seed)
    before, after = [], []
    for _ in range(MEASURED_SAMPLES // 100):
        batch = samples.draw(rng, 100, noise=recipe.noise, sees=sees)
        with torch.no_grad():
            given = network(*_tensors(batch)).numpy()
        before.append(_rms(batch.residual))
        after.append(_rms(batch.residual - given))
    return _rms(np.array(before)), _rms(np.array(after))


def _learning_rate(recipe: FitRecipe, step: int) -> float:
    """Linear warm-up, then a cosine down to `final_rate_ratio`."""
    ratio = recipe.final_rate_ratio
    cosine = 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
    return recipe.learning_rate * min(1.0, (step + 1) / recipe.warm_up_steps) * (cosine * (1 - ratio) + ratio)


def _rms(values: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
