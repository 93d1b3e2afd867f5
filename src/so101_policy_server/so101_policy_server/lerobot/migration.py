# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a LeRobot before 0.5, which normalised within the policy, as checkpoints with processors.

LeRobot's own script takes every underscore of a camera's name for a dot, and writes processors without looking whether
they normalise. Here the names come from config.json, and the new folder stays only if it gives what the old one gave.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from huggingface_hub import snapshot_download
from lerobot.configs import PreTrainedConfig
from lerobot.policies import get_policy_class, make_pre_post_processors
from lerobot.policies.utils import prepare_observation_for_inference
from lerobot.utils.constants import ACTION
from safetensors.torch import load_file, save_file

from so101_policy_server.core.preflight import Verdict, refusal
from so101_policy_server.errors import PolicyServerError, one_line
from so101_policy_server.lerobot.checkpoint import CONFIG, PROCESSORS, WEIGHTS, Checkpoint, find_checkpoint, find_folder
from so101_policy_server.lerobot.checkpoint_parts import explain
from so101_policy_server.lerobot.examine import examine, refuse_what_is_red
from so101_policy_server.lerobot.file_damage import find_damage
from so101_policy_server.lerobot.files import examine_config
from so101_policy_server.lerobot.lerobot_policy import load_policy
from so101_policy_server.lerobot.old_statistics import (
    OldStatisticsError,
    by_feature,
    find_buffers,
    is_normaliser,
    plain_name,
)
from so101_policy_server.lerobot.statistics import read_statistics
from so101_policy_server.policy import PolicyLoadError, PolicySource

EPSILON: Final = 1e-8
"""What LeRobot adds to a standard deviation or range before it divides, then as now."""

TOLERANCE: Final = 1e-4
"""Relative to the largest value: float32 in another order of operations."""

DATASET_STATISTICS: Final = "take those of the dataset that trained it: --statistics /path/to/dataset/meta/stats.json"

Say = Callable[[str], None]
Stats = Mapping[str, Mapping[str, torch.Tensor]]


class MigrationError(PolicyServerError):
    """The checkpoint cannot be migrated. The message is one line."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """The new folder, and the largest difference to the old normalisation, relative to the largest value."""

    folder: Path
    difference: float


def migrate(name_or_path: str, out: Path | None, robot: str, say: Say, statistics: Path | None = None) -> Migrated:
    """Write a checkpoint with processors beside the old one, prove it, and return where it is.

    Args:
        name_or_path: checkpoint folder, run folder or hub id.
        out: new folder; None = the old one's name with `_migrated`, for a hub id below outputs/migrated.
        robot: whose statistics, where there are those of several.
        say: told what is done now.
        statistics: a dataset's meta/stats.json, whose values count before those of the weights.

    Raises:
        MigrationError, PolicyLoadError: nothing was written, and why.
    """
    old = _old_folder(name_or_path, say)
    is_local = Path(name_or_path).expanduser().is_dir()
    out = out or (
        old.with_name(f"{old.name}_migrated") if is_local else Path("outputs/migrated") / name_or_path.replace("/", "_")
    )
    if out.exists():
        raise MigrationError(f"{out} is there already and is not overwritten: name another folder, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as beside:
        new = Path(beside) / "new"
        stats, config = _write(old, new, robot, say, statistics)
        say("checking that the new processors give what the old normalisation gave")
        try:
            difference, accepted = _prove(new, config, stats, say)
            say("loading the result as the policy server does")
            source = PolicySource(str(new), allow_download=True, accepted_findings=accepted)
            load_policy(source, lambda _text: None)
        except PolicyLoadError as error:
            raise PolicyLoadError(str(error).replace(str(new), str(old))) from error
        new.rename(out)
    return Migrated(out, difference)


def _old_folder(name_or_path: str, say: Say) -> Path:
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return find_folder(folder)
    find_checkpoint(name_or_path)  # refuses what is no hub id either
    say(f"fetching {name_or_path} from the hub, or from its cache")
    try:
        wanted = ["*.json", WEIGHTS, "README.md"]
        return find_folder(Path(snapshot_download(name_or_path, allow_patterns=wanted)))
    except (OSError, ValueError) as error:
        raise MigrationError(
            f"{name_or_path} is no folder here, and could not be had from the hub nor is it in its cache: connect to "
            f"the network, or check the id: {one_line(error)}"
        ) from error


def _write(old: Path, new: Path, robot: str, say: Say, statistics: Path | None) -> tuple[Stats, Any]:
    """Weights without normalisation, processors with its statistics, and every other file as it is."""
    missing = [name for name in PROCESSORS if not (old / name).is_file()]
    if not missing:
        raise MigrationError(f"{old} has processors: nothing to migrate, serve it as it is")
    for name in (CONFIG, WEIGHTS):
        damage = find_damage(old / name)
        if damage:
            raise MigrationError(f"{old / name} {damage}")
    if not (old / WEIGHTS).is_file():
        raise MigrationError(f"{old} has no {WEIGHTS}: only safetensors weights are read, never pickle")
    config = _config(old)
    weights = load_file(old / WEIGHTS)
    features = {**(config.input_features or {}), **(config.output_features or {})}
    given = _of_dataset(statistics, features) if statistics is not None else {}
    try:
        named = by_feature(find_buffers(weights, features, robot))
    except OldStatisticsError as error:
        if not given:
            raise MigrationError(f"{old}: {error}; {DATASET_STATISTICS}") from error
        named = {}
    stats = {key: {name: weights[weight] for name, weight in of.items()} for key, of in named.items()} | given
    say(f"statistics of {', '.join(sorted(stats))}")
    kept = {plain_name(name): value for name, value in weights.items() if not is_normaliser(name)}
    new.mkdir()
    save_file(kept, new / WEIGHTS, metadata={"format": "pt"})
    for file in old.iterdir():
        if file.is_file() and file.suffix in (".json", ".md") and file.name not in PROCESSORS:
            shutil.copyfile(file, new / file.name)
    for processor in make_pre_post_processors(config, dataset_stats=stats):
        processor.save_pretrained(new)
    return stats, config


def _of_dataset(file: Path, features: Iterable[str]) -> dict[str, dict[str, torch.Tensor]]:
    wanted = set(features)
    return {
        key: {name: torch.from_numpy(value.astype(np.float32)) for name, value in of.items()}
        for key, of in read_statistics(str(file), "--statistics ").items()
        if key in wanted
    }


def _config(folder: Path) -> Any:
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MigrationError(f"{folder / CONFIG} cannot be read: {one_line(error)}") from error
    policy_type = content.get("type") if isinstance(content, dict) else None
    if policy_type not in PreTrainedConfig.get_known_choices():
        raise MigrationError(f"{folder / CONFIG}: policy type {policy_type!r} is not one that LeRobot knows")
    foreign = refusal(replace(one, remedy="") for one in examine_config(folder))
    if foreign:
        raise MigrationError(f"{folder}: {foreign}")
    try:
        config: Any = PreTrainedConfig.from_pretrained(folder)
        get_policy_class(config.type)  # imports the policy's module, and with it the steps of its processors
    except Exception as error:  # LeRobot and draccus raise dozens of types here
        raise MigrationError(explain(error, Checkpoint(str(folder), is_local=True))) from error
    if not config.input_features or not config.output_features:
        raise MigrationError(f"{folder / CONFIG} names no input_features and output_features: older than LeRobot 0.2")
    config.device = "cpu"
    return config


def _prove(new: Path, config: Any, stats: Stats, say: Say) -> tuple[float, tuple[str, ...]]:
    """Every normalised feature has its statistics, and normalises as the old buffers did.

    Returns the largest difference, relative to the largest value, and the keys of findings that the server will refuse
    unless a person accepts them: they are no fault of the migration.
    """
    checkpoint = find_checkpoint(str(new))
    examined = examine(checkpoint, PolicySource(str(new)))
    accepted = tuple(one.key for one in examined.findings if one.acceptable and one.verdict is Verdict.RED)
    for finding in examined.findings:
        if finding.key in accepted:
            say(f"to be looked at, the policy server refuses it: {finding.line()}")
    hard = [replace(one, remedy=DATASET_STATISTICS) for one in examined.findings if not one.acceptable]
    refuse_what_is_red(checkpoint, hard)
    random = np.random.default_rng(0)
    frame: dict[str, Any] = {}
    for key, feature in config.input_features.items():
        if str(feature.type.value) == "VISUAL":
            channels, height, width = feature.shape
            frame[key] = random.integers(0, 256, (height, width, channels), dtype=np.uint8)
        else:
            frame[key] = random.uniform(-90, 90, feature.shape).astype(np.float32)
    device = torch.device("cpu")
    raw = prepare_observation_for_inference(dict(frame), device, "prove", "so101_follower")
    expected = {key: _old_normalisation(raw[key], config, key, stats, inverse=False) for key in config.input_features}
    batch = examined.preprocessor(prepare_observation_for_inference(frame, device, "prove", "so101_follower"))
    differences = [_difference(key, batch[key], value) for key, value in expected.items()]
    action = torch.from_numpy(random.uniform(-1, 1, (5, *config.output_features[ACTION].shape)).astype(np.float32))
    rows = _old_normalisation(action, config, ACTION, stats, inverse=True)
    differences.append(_difference(ACTION, examined.postprocessor(action), rows))
    return max(differences), accepted


def _old_normalisation(value: torch.Tensor, config: Any, key: str, stats: Stats, *, inverse: bool) -> torch.Tensor:
    """What the modules Normalize and Unnormalize of LeRobot before 0.5 computed with their buffers."""
    feature = (config.output_features if key == ACTION else config.input_features)[key]
    modes = {getattr(kind, "value", kind): mode.value for kind, mode in config.normalization_mapping.items()}
    mode, of = modes.get(feature.type.value, "IDENTITY"), stats.get(key, {})
    if mode == "IDENTITY":
        return value
    if mode == "MEAN_STD":
        return value * of["std"] + of["mean"] if inverse else (value - of["mean"]) / (of["std"] + EPSILON)
    span = of["max"] - of["min"]
    return (value + 1) / 2 * span + of["min"] if inverse else (value - of["min"]) / (span + EPSILON) * 2 - 1


def _difference(key: str, given: torch.Tensor, expected: torch.Tensor) -> float:
    given, expected = given.reshape(expected.shape).to(torch.float32), expected.to(torch.float32)
    largest = float((given - expected).abs().max() / expected.abs().max().clamp(min=1.0))
    if not largest <= TOLERANCE:
        raise PolicyLoadError(
            f"the new processors do not give for {key} what the old normalisation gave: {largest:.2g}"
        )
    return largest
