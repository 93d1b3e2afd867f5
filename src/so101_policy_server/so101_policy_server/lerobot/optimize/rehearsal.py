# SPDX-License-Identifier: Apache-2.0
"""Made-up observations for a loaded policy, the same each time, and the time that a chunk takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
import torch

from so101_policy_server.core.image import Pixels
from so101_policy_server.lerobot.optimize.trials import Chunk, Rehearsed
from so101_policy_server.policy import Leftover, Observation, PolicyDescription

Predict = Callable[[Observation, Leftover | None], Chunk]
"""A chunk in the model's own space, (rows, joints)."""

_ENOUGH_S: Final = 0.5
_MOST_RUNS: Final = 20
_TASK: Final = "pick up the cube and place it in the box"


class PolicyRehearsal:
    """Runs a policy on two observations, and on a leftover where it takes one; see `Rehearsal`.

    Args:
        description: of the policy.
        predict: runs it.
        reset: lets it forget.
    """

    def __init__(self, description: PolicyDescription, predict: Predict, reset: Callable[[], None]) -> None:
        self._predict, self._reset = predict, reset
        self._on_cpu = description.device == "cpu"
        self._observations = [make_observation(description, seed) for seed in range(2)]
        self._leftover: Leftover | None = None
        if description.supports_rtc and description.horizon >= 4:
            rows = np.zeros((description.horizon // 2, description.action_dim))
            self._leftover = Leftover(rows, expected_delay_steps=2)

    def __call__(self) -> Rehearsed:
        """Run all of them, and the first again until the time is known."""
        chunks, times = [], []
        for seed, observation in enumerate(self._observations):
            chunk, took_s = self._run(observation, None, seed)
            chunks.append(chunk)
            times.append(took_s)
        while sum(times) < _ENOUGH_S and len(times) < _MOST_RUNS:
            times.append(self._run(self._observations[0], None, 0)[1])
        if self._leftover is not None:
            chunks.append(self._run(self._observations[0], self._leftover, 0)[0])
        return Rehearsed(tuple(chunks), min(times))

    def run_once(self) -> None:
        """Run the first."""
        self._run(self._observations[0], None, 0)

    def _run(self, observation: Observation, leftover: Leftover | None, seed: int) -> tuple[Chunk, float]:
        self._reset()
        devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)  # where a policy starts from noise, from the same
            # With one thread the whole of it runs on this one, and its processor time is free of what others do.
            clock = time.thread_time if self._on_cpu and torch.get_num_threads() == 1 else time.perf_counter
            began = clock()
            chunk = self._predict(observation, leftover)
            took_s = clock() - began
        self._reset()
        return chunk, took_s


def make_observation(description: PolicyDescription, seed: int) -> Observation:
    """Pictures with soft shapes and some noise, and joint positions."""
    random = np.random.default_rng(seed)
    steps = description.n_obs_steps

    def frame(height: int, width: int) -> Pixels:
        shapes = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        soft = cv2.resize(shapes, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        return np.clip(soft + random.integers(-12, 13, soft.shape), 0, 255).astype(np.uint8)

    return Observation(
        state=random.uniform(-30, 30, (steps, description.state_dim)),
        images={
            image.key: tuple(frame(image.height, image.width) for _ in range(steps)) for image in description.images
        },
        task=_TASK,
    )
