# SPDX-License-Identifier: Apache-2.0
"""Where the time of a chunk goes inside of a policy, as far as its parts can be told apart."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch

from so101_policy_server.lerobot.optimize.smolvla_sampler import SmolVLASampler

VISION: Final = "vision"
PREFIX: Final = "prefix"
DENOISE: Final = "denoise"
RESIZE: Final = "resize"


class StageClock:
    """Adds up the time of each stage; a stage within another counts for itself alone."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._running: list[float] = []
        self.seconds: dict[str, float] = defaultdict(float)

    def timed(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """The same call, measured. Within another stage only VISION is one of its own."""

        def measured(*arguments: Any, **named: Any) -> Any:
            if self._running and stage != VISION:
                return call(*arguments, **named)
            self._running.append(0.0)
            began = self._now()
            try:
                return call(*arguments, **named)
            finally:
                took_s = self._now() - began
                self.seconds[stage] += took_s - self._running.pop()
                if self._running:
                    self._running[-1] += took_s

        return measured

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


@contextlib.contextmanager
def stages_of(policy: Any) -> Iterator[dict[str, float]]:
    """Seconds by stage of all that the policy does meanwhile; empty for policies whose parts are not known."""
    clock = StageClock(next(policy.parameters()).device)
    parts = list(_parts(policy))
    for owner, name, stage in parts:
        setattr(owner, name, clock.timed(getattr(owner, name), stage))
    try:
        yield clock.seconds
    finally:
        for owner, name, _ in reversed(parts):
            delattr(owner, name)  # the class's own is behind it


def _parts(policy: Any) -> Iterator[tuple[Any, str, str]]:
    """Methods that are a stage: whose they are, their name, the stage."""
    model: Any = getattr(policy, "model", None)
    if policy.name == "smolvla":
        yield policy, "prepare_images", RESIZE
        yield model.vlm_with_expert, "embed_image", VISION
        sampler = model.sample_actions
        if isinstance(sampler, SmolVLASampler):
            yield sampler, "prefix", PREFIX
            yield sampler, "denoise", DENOISE
        else:
            yield model.vlm_with_expert, "forward", PREFIX
            yield model, "denoise_step", DENOISE
    elif policy.name == "act" and getattr(model, "backbone", None) is not None:
        yield model.backbone, "forward", VISION
