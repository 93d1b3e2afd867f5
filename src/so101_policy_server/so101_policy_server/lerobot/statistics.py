# SPDX-License-Identifier: Apache-2.0
"""The statistics that loaded processors really hold, and those that a person names instead.

Part of the adaptor to LeRobot; only `examine` imports this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from lerobot.configs import FeatureType, NormalizationMode
from lerobot.processor import NormalizerProcessorStep, RelativeActionsProcessorStep, UnnormalizerProcessorStep
from lerobot.utils.constants import ACTION, OBS_STATE

from so101_policy_server.core.preflight import Finding, green, red, yellow
from so101_policy_server.lerobot.feature_statistics import (
    IDENTITY,
    Array,
    NormalisedFeature,
    check_agreement,
    check_statistics,
    name_nothing,
    select,
)
from so101_policy_server.policy import PolicyLoadError

_NORMALISERS: Final = (NormalizerProcessorStep, UnnormalizerProcessorStep)
_INSIDE: Final = re.compile(r"(?:^|\.)(?:un)?normalize_(?:inputs|outputs|targets)\.(?:buffer_)?(?P<key>.+)\.\w+$")
"""Weights in which policies before LeRobot 0.5 keep statistics: normalize_inputs.buffer_observation_state.mean."""


def use_statistics_from(patterns: Sequence[str], preprocessor: Any, postprocessor: Any) -> list[Finding]:
    """Give each normalising step the statistics that `statistics_from` names, and name the patterns that name none.

    Raises:
        PolicyLoadError: a file that it names cannot be read.
    """
    read = {pattern: read_statistics(pattern) for pattern in patterns if pattern.endswith(".json")}
    there = {*_keys(preprocessor, postprocessor), *(key for of in read.values() for key in of)}
    idle = list(dict.fromkeys(patterns))
    for pipeline in (preprocessor, postprocessor):
        for step in _normalisers(pipeline):
            statistics = {key: dict(values) for key, values in (step.stats or {}).items()}
            chosen: dict[str, dict[str, Any]] = {}
            wanted = {*step.features, ACTION}
            for pattern in patterns:  # the first that has a feature wins
                if pattern in read:
                    found = {key: values for key, values in read[pattern].items() if key in wanted}
                else:
                    found = {feature: statistics[key] for feature, key in select([pattern], wanted, statistics).items()}
                if found and pattern in idle:
                    idle.remove(pattern)
                chosen = {**found, **chosen}
            step.stats = {**statistics, **chosen}
            step.to(device=step.device)  # makes the tensors that it computes with
    return [name_nothing(idle, there)] if idle else []


def read_statistics(file: str, option: str = "statistics_from = ") -> dict[str, dict[str, Array]]:
    """A dataset's meta/stats.json: feature -> statistic -> values.

    Raises:
        PolicyLoadError: it cannot be read.
    """
    try:
        content = json.loads(Path(file).expanduser().read_text(encoding="utf-8"))
        return {
            key: {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}
            for key, values in content.items()
        }
    except (OSError, RuntimeError, ValueError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise PolicyLoadError(f"{option}{file}: not a dataset's meta/stats.json: {reason}") from error


def examine_statistics(
    config: Any, preprocessor: Any, postprocessor: Any, weights: Iterable[str], patterns: Sequence[str] = ()
) -> list[Finding]:
    """Look at the statistics of loaded processors.

    Args:
        config: LeRobot's configuration of the policy.
        preprocessor: as loaded, `use_statistics_from` applied.
        postprocessor: likewise.
        weights: names of the weights, in which a policy may keep statistics of its own.
        patterns: `statistics_from`.
    """
    inside = {match["key"] for name in weights if (match := _INSIDE.search(name))}
    if inside and not type(config).__module__.startswith("lerobot."):
        return [green("statistics", f"within the policy itself, for {', '.join(sorted(inside))}")]
    read = {key: feature for key, feature in (config.input_features or {}).items() if not _is_empty_camera(key)}
    given = {key: feature for key, feature in (config.output_features or {}).items() if key == ACTION}
    before = _features(preprocessor, "preprocessor", {**read, **(given if _continues_chunks(config) else {})})
    after = _features(postprocessor, "postprocessor", given)
    features = [*before, *after]
    findings = check_statistics(features, _keys(preprocessor, postprocessor), patterns)
    findings = [*findings, *_check_raw_action(config, after)] if any(map(_treats, features)) else findings
    if not any(map(_treats, features)) and _normalises_in_its_own_way(config):
        findings = [green("statistics", f"a policy of type {config.type} normalises in its own way")]
    if not _continues_chunks(config):  # its preprocessor has them too, for training alone
        unread = _features(preprocessor, "preprocessor", given)
        findings += [found for one in unread for other in after for found in _compare(one, other)]
    findings += _check_against_config(config, before, preprocessor, "preprocessor", read)
    findings += _check_against_config(config, after, postprocessor, "postprocessor", given)
    findings += _check_direction(preprocessor, "preprocessor", UnnormalizerProcessorStep)
    findings += _check_direction(postprocessor, "postprocessor", NormalizerProcessorStep)
    findings += _check_pictures(preprocessor, read)
    if inside and any(finding.verdict == "red" for finding in findings):
        text = f"the weights hold statistics of {', '.join(sorted(inside))}, which LeRobot reads no more since 0.5"
        findings.append(red("statistics.weights", text, f"./so101 policy migrate {config.pretrained_path}"))
    return findings


def joint_statistics(preprocessor: Any, postprocessor: Any) -> dict[str, dict[str, Array]]:
    """Statistics of the state as it is read and of the action as it is given, where those are joint positions.

    Left out are actions that are relative to the state, and features without a norm mode.
    """
    relative = any(isinstance(step, RelativeActionsProcessorStep) and step.enabled for step in preprocessor.steps)
    found: dict[str, dict[str, Array]] = {}
    for pipeline, key in ((preprocessor, OBS_STATE), (postprocessor, ACTION)):
        for step in _normalisers(pipeline):
            values = _statistics(step).get(key)
            kind = FeatureType.ACTION if key == ACTION else FeatureType.STATE
            mode = step.norm_map.get(kind, NormalizationMode.IDENTITY)
            if values and mode is not NormalizationMode.IDENTITY and not (key == ACTION and relative):
                found[key] = values
    return found


def _continues_chunks(config: Any) -> bool:
    """Whether actions go through the preprocessor at inference: only as the leftover of real-time chunking."""
    return hasattr(config, "rtc_config")


def _normalisers(pipeline: Any) -> list[Any]:
    return [step for step in pipeline.steps if isinstance(step, _NORMALISERS)]


def _statistics(step: Any) -> dict[str, dict[str, Array]]:
    return {
        key: {
            name: np.asarray(torch.as_tensor(value).detach().cpu().to(torch.float64))
            for name, value in values.items()
            if not isinstance(value, str)
        }
        for key, values in step._tensor_stats.items()
    }


def _keys(*pipelines: Any) -> set[str]:
    return {key for pipeline in pipelines for step in _normalisers(pipeline) for key in step._tensor_stats}


def _is_empty_camera(key: str) -> bool:
    """LeRobot's name for a camera that nobody has; it is masked and never normalised."""
    return ".empty_camera_" in key


def _features(pipeline: Any, place: str, wanted: Mapping[str, Any]) -> list[NormalisedFeature]:
    """Each wanted feature that the pipeline's steps treat, with the statistics that they use for it."""
    found = []
    for step in _normalisers(pipeline):
        statistics = _statistics(step)
        for key, named in wanted.items():
            feature = step.features.get(key, named if key == ACTION else None)  # the action is treated in any case
            selected = step.normalize_observation_keys
            if feature is None or (selected is not None and key != ACTION and key not in selected):
                continue
            values = statistics.get(key)
            mask = (values or {}).get("mask")
            found.append(
                NormalisedFeature(
                    key=key,
                    kind=feature.type.value,
                    mode=step.norm_map.get(feature.type, NormalizationMode.IDENTITY).value,
                    shape=tuple(feature.shape),
                    place=place,
                    statistics=values,
                    masked=() if mask is None else tuple(bool(one) for one in np.ravel(mask)),
                )
            )
    return found


def _treats(feature: NormalisedFeature) -> bool:
    return feature.mode != IDENTITY


def _compare(before: NormalisedFeature, after: NormalisedFeature) -> list[Finding]:
    return check_agreement(before.statistics or {}, after.statistics or {}) if _treats(after) else []


def _normalises_in_its_own_way(config: Any) -> bool:
    """Whether LeRobot gives this kind of policy no norm mode for actions: groot, lingbot_va, xvla."""
    if not type(config).__module__.startswith("lerobot."):
        return False
    default = next(one for one in fields(config) if one.name == "normalization_mapping").default_factory
    return callable(default) and default().get("ACTION") is NormalizationMode.IDENTITY


def _check_raw_action(config: Any, after: Sequence[NormalisedFeature]) -> list[Finding]:
    raw = any(feature.key == ACTION and not _treats(feature) for feature in after)
    if not raw or _normalises_in_its_own_way(config):
        return []
    return [yellow("statistics.action", "has no norm mode: what the policy gives is commanded as it is")]


def _check_against_config(
    config: Any, features: Sequence[NormalisedFeature], pipeline: Any, place: str, expected: Mapping[str, Any]
) -> list[Finding]:
    """Features that the configuration gives a norm mode, and no step of the processor normalises.

    Steps that come with a policy (groot's, xvla's) may normalise in their own way: those are taken at their word.
    """
    treated = {feature.key for feature in features if feature.mode != IDENTITY}
    modes = {feature.key: feature.mode for feature in features}
    mapping = getattr(config, "normalization_mapping", None) or {}
    left, other = [], []
    for key, feature in expected.items():
        mode = mapping.get(feature.type.value, NormalizationMode.IDENTITY)
        if mode is NormalizationMode.IDENTITY:
            continue
        if key not in treated:
            left.append(f"{key} ({mode.value})")
        elif modes[key] != mode.value:
            other.append(f"{key} by {mode.value}, the {place} by {modes[key]}")
    findings = []
    if other:
        text = f"config.json normalises {', '.join(other)}: the processor's is used"
        findings.append(yellow(f"statistics.{place}", text, "see which of them the training run wrote"))
    if left:
        text = f"config.json normalises {', '.join(left)}, no step of the {place} does"
        findings.append(_left_out(text, pipeline, place))
    return findings


def _check_direction(pipeline: Any, place: str, wrong: type[Any]) -> list[Finding]:
    """A postprocessor that normalises in place of undoing it, as a copy of the preprocessor does; and the reverse."""
    if not any(isinstance(step, wrong) for step in pipeline.steps):
        return []
    does = "normalises what it should denormalise" if wrong is NormalizerProcessorStep else "denormalises its input"
    text = f"{does}: policy_{place}.json is a copy of the other processor?"
    return [red(f"statistics.{place}", text, "take both processors from the training run")]


def _check_pictures(preprocessor: Any, read: Mapping[str, Any]) -> list[Finding]:
    """Cameras that the processor was saved with, and config.json does not read: without one the policy sees less."""
    known = {
        key for step in _normalisers(preprocessor) for key, of in step.features.items() if of.type is FeatureType.VISUAL
    }
    left = sorted(key for key in known - read.keys() if not _is_empty_camera(key))
    if not left or not read:
        return []
    text = f"the preprocessor was saved for {', '.join(left)} too, which config.json does not read"
    return [yellow("config.json: input_features", text, "take config.json from the training run")]


def _left_out(text: str, pipeline: Any, place: str) -> Finding:
    own = [type(step).__name__ for step in pipeline.steps if not type(step).__module__.startswith("lerobot.processor.")]
    if own:
        return yellow(f"statistics.{place}", f"{text}, unless {', '.join(own)} of the policy's own do")
    return red(f"statistics.{place}", text, f"take policy_{place}.json and its .safetensors from the training run")
