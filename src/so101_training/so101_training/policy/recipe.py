# SPDX-License-Identifier: Apache-2.0
"""What the demo policy sees, how it is built and how long it trains: every number that a rebuild depends on."""

from dataclasses import dataclass
from typing import Final

TRAINING_SEEDS: Final = range(1_000_000, 2_000_000)
"""Scene seeds of demonstrations. The demo and every evaluation draw theirs from below, so none was trained on."""

EVALUATION_SEEDS: Final = range(1_000_000)

FPS: Final = 30
"""Control rate of the demonstrations, and so of the policy."""


@dataclass(frozen=True, slots=True)
class ObservationRecipe:
    """What the policy reads. Cameras give 640x480 JPEG; the policy's size is what the server resizes to."""

    cameras: tuple[str, ...] = ("top", "wrist")
    height: int = 64
    width: int = 80


@dataclass(frozen=True, slots=True)
class ModelRecipe:
    """LeRobot's ACT, small enough to compute a chunk in 30-60 ms on one CPU core: 13.7 M parameters, 27 MB in fp16."""

    chunk_size: int = 50
    dim_model: int = 256
    dim_feedforward: int = 512
    heads: int = 8
    encoder_layers: int = 3


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """How it learns. `steps` batches of `batch_size` frames; the learning rate falls along a cosine."""

    seed: int = 0
    steps: int = 8000
    batch_size: int = 8
    learning_rate: float = 2e-4
    final_rate_share: float = 0.03
    warm_up_steps: int = 100
    weight_decay: float = 1e-4
    clip_norm: float = 10.0
    average_every: int = 10
    average_decay: float = 0.98
