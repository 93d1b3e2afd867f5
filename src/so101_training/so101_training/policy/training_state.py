# SPDX-License-Identifier: Apache-2.0
"""Everything that training needs to go on after an interruption, in one safetensors file: no pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

STATE_FILE = "training_state.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far training is: steps done, seconds spent, and the recipe it was started with as JSON."""

    step: int
    seconds: float
    recipe: str


def save_state(
    path: Path, progress: Progress, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write the state, whole or not at all."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in (("model", model), ("average", average)):
        tensors |= {f"{prefix}.{name}": value.contiguous() for name, value in module.state_dict().items()}
    for name, parameter in model.named_parameters():
        state = optimizer.state.get(parameter, {})
        tensors |= {f"{moment}.{name}": state[moment].contiguous() for moment in _MOMENTS if moment in state}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    metadata = {"step": str(progress.step), "seconds": f"{progress.seconds:.1f}", "recipe": progress.recipe}
    save_file(tensors, temporary, metadata=metadata)
    temporary.replace(path)


def read_progress(path: Path) -> Progress | None:
    """How far the saved training is; None if there is none."""
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as stored:
        metadata = stored.metadata()
    return Progress(int(metadata["step"]), float(metadata["seconds"]), metadata["recipe"])


def load_state(path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put the saved state into model, average and optimizer."""
    with safe_open(path, framework="pt") as stored:
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 - no mapping
        step = int(stored.metadata()["step"])
    for prefix, module in (("model", model), ("average", average)):
        module.load_state_dict({name: tensors[f"{prefix}.{name}"] for name in module.state_dict()})
    for name, parameter in model.named_parameters():
        if f"exp_avg.{name}" in tensors:
            moments = {moment: tensors[f"{moment}.{name}"].clone() for moment in _MOMENTS}
            optimizer.state[parameter] = {"step": torch.tensor(float(step)), **moments}
