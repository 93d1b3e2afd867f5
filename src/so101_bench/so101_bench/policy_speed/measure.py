# SPDX-License-Identifier: Apache-2.0
"""Times a policy before and after `optimize`, on the same observations."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from so101_policy_server.lerobot.checkpoint_parts import describe
from so101_policy_server.lerobot.lerobot_policy import LeRobotPolicy, load_policy
from so101_policy_server.lerobot.optimize.rehearsal import make_observation
from so101_policy_server.lerobot.optimize.stages import stages_of
from so101_policy_server.lerobot.optimize.trials import Trial
from so101_policy_server.policy import Observation, PolicySource, Progress

from so101_bench.policy_speed import full_size

OTHER = "other"


def load(source: PolicySource, progress: Progress) -> LeRobotPolicy:
    """The checkpoint, or full-size SmolVLA with random weights where the source has no path; warm, not optimized.

    Raises:
        PolicyLoadError: it cannot be loaded.
    """
    if source.path:
        return load_policy(replace(source, optimize="off"), progress)
    if source.torch_threads:
        torch.set_num_threads(source.torch_threads)
    progress("making SmolVLA with random weights")
    with tempfile.TemporaryDirectory(prefix="so101-bench-") as folder:
        policy, before, after = full_size.make(Path(folder))
    config = policy.config
    config.device = source.device
    description = describe("random weights", config, source.device)
    loaded = LeRobotPolicy(description, config, policy.to(source.device), before, after, source)
    progress("warming up")
    loaded.warm_up()
    return loaded


def measure(policy: LeRobotPolicy, repeats: int, progress: Progress) -> dict[str, Any]:
    """Measure, optimize, measure again.

    Args:
        policy: changed by `optimize`.
        repeats: chunks measured of each.
        progress: told what is done now.

    Returns:
        The report; times in ms, medians over the repeats.
    """
    observation = make_observation(policy.description, 0)
    progress("measuring it as LeRobot runs it")
    eager = _measure_one(policy, observation, repeats)
    optimization = policy.optimize(progress)
    progress("measuring it optimized")
    optimized = _measure_one(policy, observation, repeats)
    described = policy.description
    return {
        "device": described.device,
        "machine": _machine(described.device),
        "policy": {"type": described.policy_type, "path": described.path, "horizon": described.horizon},
        "eager": eager,
        "optimized": {**optimized, "options": list(optimization.kept)},
        "ratio": eager["chunk_ms"] / optimized["chunk_ms"],
        "cpu_ratio": eager["cpu_ms"] / optimized["cpu_ms"] if optimized["cpu_ms"] else None,
        "largest_difference": optimization.difference,
        "bound": optimization.bound,
        "trials": [_trial(trial) for trial in optimization.trials],
    }


def _measure_one(policy: LeRobotPolicy, observation: Observation, repeats: int) -> dict[str, Any]:
    policy.infer(observation, None)
    wall, cpu, stages = [], [], []
    for _ in range(repeats):
        with stages_of(policy.lerobot_policy) as seconds:
            before = os.times()
            prediction = policy.infer(observation, None)
            after = os.times()
        cpu.append(after.user - before.user + after.system - before.system)
        wall.append(prediction.preprocess_s + prediction.inference_s + prediction.postprocess_s)
        stages.append(
            {
                "preprocess": prediction.preprocess_s,
                **seconds,
                OTHER: prediction.inference_s - sum(seconds.values()),
                "postprocess": prediction.postprocess_s,
            }
        )
    return {
        "chunk_ms": statistics.median(wall) * 1e3,
        "cpu_ms": statistics.median(cpu) * 1e3,
        "threads": torch.get_num_threads(),
        "stages_ms": {name: statistics.median(one[name] for one in stages) * 1e3 for name in stages[0]},
    }


def _trial(trial: Trial) -> dict[str, Any]:
    numbers = {"difference": trial.difference, "before_ms": trial.before_s * 1e3, "after_ms": trial.after_s * 1e3}
    known = {name: value if value == value else None for name, value in numbers.items()}  # NaN is no JSON
    return {"option": trial.option, "kept": trial.kept, **known, "reason": trial.reason}


def _machine(device: str) -> str:
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"
