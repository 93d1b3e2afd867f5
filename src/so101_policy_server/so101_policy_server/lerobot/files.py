# SPDX-License-Identifier: Apache-2.0
"""Files of a checkpoint that another LeRobot wrote: fields, values and processor steps that this one does not have.

LeRobot itself stops at the first of them with the words of its parser. Part of the adaptor to LeRobot.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import inspect
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import lerobot
import lerobot.policies
import torch
from lerobot.configs import FeatureType, NormalizationMode, PreTrainedConfig
from lerobot.policies import get_policy_class
from lerobot.processor import ProcessorStepRegistry
from safetensors import SafetensorError, safe_open

from so101_policy_server.core.preflight import Finding, green, implausible, red, yellow
from so101_policy_server.lerobot.checkpoint import CONFIG, PROCESSORS, WEIGHTS, Checkpoint, unreadable
from so101_policy_server.lerobot.file_damage import find_damage
from so101_policy_server.lerobot.kinds import CODE_FIELDS, CODE_REPOSITORIES, NOT_SERVED
from so101_policy_server.lerobot.plugins import import_plugins, told_of_failed_plugins
from so101_policy_server.lerobot.training_record import read_training_record

HERE: Final = f"LeRobot {lerobot.__version__}"

_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_ABOUT_TRAINING: Final = ("optimizer_", "scheduler_")
_WITHOUT_EFFECT: Final = frozenset(
    {"device", "use_amp", "use_peft", "push_to_hub", "repo_id", "private", "tags", "license"}
    | {"pretrained_path", "pretrained_revision"}
)
"""Fields that do not change what a policy answers."""


def writer_of(folder: Path) -> str:
    """Which LeRobot wrote a checkpoint, in words."""
    version = read_training_record(folder).lerobot_version
    return f"written by LeRobot {version}" if version else "written by another LeRobot (its model card names none)"


def examine_files(checkpoint: Checkpoint, ignored_fields: Sequence[str] = ()) -> list[Finding]:
    """Look at configuration and processors of a local checkpoint before LeRobot reads them."""
    if not checkpoint.is_local:
        return []
    findings = [*examine_config(Path(checkpoint.config_path), ignored_fields)]
    if not any(finding.verdict == "red" for finding in findings):
        get_policy_class(_read(Path(checkpoint.config_path) / CONFIG)["type"])  # registers the policy's own steps
        for name in PROCESSORS:
            findings += _examine_processor(Path(checkpoint.processors_path), name)
    if not any(finding.verdict != "green" for finding in findings):
        version = read_training_record(Path(checkpoint.path)).lerobot_version
        told = f", trained with {version}" if version else ""
        findings = [green("config.json", f"{HERE} knows all of its fields and processor steps{told}")]
    return findings


def without_fields(folder: Path, ignored_fields: Sequence[str]) -> dict[str, Any]:
    """config.json without the fields that a person has told to ignore."""
    return {key: value for key, value in _read(folder / CONFIG).items() if key not in ignored_fields}


def _read(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def examine_config(folder: Path, ignored_fields: Sequence[str] = ()) -> Iterator[Finding]:
    """Look at config.json: its type, its fields and the values that LeRobot chooses from."""
    config = without_fields(folder, ignored_fields)
    kind = config.get("type")
    import_plugins()
    known = PreTrainedConfig.get_known_choices()
    if kind not in known:
        near = difflib.get_close_matches(str(kind), known, 1)
        meant = f"; the nearest is {near[0]}" if near else ""
        text = f"policy type '{kind}' is not one that {HERE} has{meant}; {writer_of(folder)}"
        text = f"{text}; known: {', '.join(sorted(known))}{told_of_failed_plugins()}"
        yield red("config.json: type", text, "serve it with that LeRobot, or install its plugin, lerobot_policy_...")
        return
    if str(kind) in NOT_SERVED:
        yield red("config.json: type", f"{kind} {NOT_SERVED[str(kind)]}", "train a policy that predicts chunks")
        return
    chosen = PreTrainedConfig.get_choice_class(str(kind))
    fields = {field.name: field for field in dataclasses.fields(chosen)}
    unknown = sorted(config.keys() - fields.keys() - {"type"})
    if unknown:
        listed = ", ".join(f"{name} ({json.dumps(config[name])[:60]})" for name in unknown)
        text = f"{HERE} does not have {_fields(unknown)} {listed} of {kind}; {writer_of(folder)}"
        names = ", ".join(f'"{name}"' for name in unknown)
        remedy = f"serve it with that LeRobot, or, where they change nothing: ignored_config_fields: [{names}]"
        yield red(f"config.json: {unknown[0]}", text, remedy)
    nothing = [group for group in ("input_features", "output_features") if not config.get(group)]
    if nothing:
        text = f"{' and '.join(nothing)} {'is' if len(nothing) == 1 else 'are'} empty: {writer_of(folder)}"
        yield red(f"config.json: {nothing[0]}", text, "take config.json from the training run")
    yield from _examine_values(config, folder)
    yield from _examine_code(config, "config.json")
    missing = sorted(name for name in fields.keys() - config.keys() if _matters(name))
    if missing:
        text = f"lacks {_fields(missing)} {', '.join(missing)} of {HERE}, whose defaults are taken; {writer_of(folder)}"
        yield yellow("config.json", text)


def _fields(names: Sequence[str]) -> str:
    return "field" if len(names) == 1 else "fields"


def _matters(field: str) -> bool:
    return not field.startswith(_ABOUT_TRAINING) and field not in _WITHOUT_EFFECT


def _examine_values(config: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    """Names that LeRobot chooses from: kinds of features and norm modes."""
    types, modes = {one.value for one in FeatureType}, {one.value for one in NormalizationMode}
    for group in ("input_features", "output_features", "normalization_mapping"):
        if not isinstance(config.get(group) or {}, dict):
            text = f"is {json.dumps(config[group])[:60]}, expected an object; {writer_of(folder)}"
            yield red(f"config.json: {group}", text, "take config.json from the training run")
            return
    for group in ("input_features", "output_features"):
        for name, feature in (config.get(group) or {}).items():
            value = feature.get("type") if isinstance(feature, dict) else feature
            if value not in types:
                yield _unknown_value(f"{group}.{name}.type", value, types, folder)
    for name, mode in (config.get("normalization_mapping") or {}).items():
        if mode not in modes:
            yield _unknown_value(f"normalization_mapping.{name}", mode, modes, folder)


def _examine_code(fields: Mapping[str, Any], file: str) -> Iterator[Finding]:
    """Names of repositories whose code LeRobot would run while it loads the policy."""
    for name in CODE_FIELDS:
        repository = fields.get(name)
        if repository and repository not in CODE_REPOSITORIES:
            text = f"LeRobot runs the code of {repository}, which is not one of {', '.join(sorted(CODE_REPOSITORIES))}"
            yield implausible(f"{file}: {name}", text, "read that code first")


def _unknown_value(field: str, value: Any, known: Iterable[str], folder: Path) -> Finding:
    text = f"{HERE} does not know {json.dumps(value)}, only {', '.join(sorted(known))}; {writer_of(folder)}"
    return red(f"config.json: {field}", text, "serve it with that LeRobot")


def _examine_processor(folder: Path, name: str) -> Iterator[Finding]:
    if damage := find_damage(folder / name):
        yield red(name, damage)
        return
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        steps = content["steps"]
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise TypeError
    except (OSError, ValueError) as error:
        yield red(name, f"cannot be read: {unreadable(error)}")
        return
    except (TypeError, KeyError):
        yield red(name, "has no list of steps: it is no processor of LeRobot", "take it from the training run")
        return
    for step in steps:
        yield from _examine_step(folder, name, step)


def _examine_step(folder: Path, file: str, step: Mapping[str, Any]) -> Iterator[Finding]:
    named = str(step.get("registry_name") or step.get("class") or "")
    key = f"{file}: {named}"
    made = _step_class(step)
    if made is None:
        near = difflib.get_close_matches(named, ProcessorStepRegistry.list(), 1, cutoff=0.5)
        meant = f" (the nearest is {near[0]})" if near else ""
        text = f"{HERE} has no such processor step{meant}; {writer_of(folder)}"
        yield red(key, text, "serve it with that LeRobot, or save the processors again with this one")
        return
    yield from _examine_code(step.get("config") or {}, key)
    accepted = inspect.signature(made).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
        unknown = sorted(set(step.get("config") or {}) - set(accepted))
        if unknown:
            text = f"{HERE}'s step does not take {', '.join(unknown)}; {writer_of(folder)}"
            yield red(key, text, f"serve it with that LeRobot, or take {', '.join(unknown)} out of {file}")
    needed = [name for name, one in accepted.items() if one.default is one.empty and one.kind in _NAMED]
    if lacking := sorted(set(needed) - set(step.get("config") or {})):
        text = f"{HERE}'s step needs {', '.join(lacking)}; {writer_of(folder)}"
        yield red(key, text, "save the processors again with this LeRobot")
    if "state_file" in step:
        yield from _examine_state(folder / str(step["state_file"]), key)


def _step_class(step: Mapping[str, Any]) -> Any:
    if "registry_name" in step:
        name = str(step["registry_name"])
        if name not in ProcessorStepRegistry.list():
            # LeRobot registers some steps only when somebody imports their module, which has the step's name.
            with contextlib.suppress(ImportError, ValueError):
                importlib.import_module(f"lerobot.processor.{name}")
        return ProcessorStepRegistry.get(name) if name in ProcessorStepRegistry.list() else None
    module, _, name = str(step.get("class", "")).rpartition(".")
    try:
        return getattr(importlib.import_module(module), name, None) if module else None
    except ImportError:
        return None


def _examine_state(file: Path, key: str) -> Iterator[Finding]:
    if file.suffix != ".safetensors":
        yield red(key, f"its state is in {file.name}: only safetensors are loaded, never pickle", "save it again")
        return
    damage = find_damage(file)
    if damage:
        what, _, remedy = damage.rpartition(": ")
        yield red(key, f"{file.name} {what or damage}", remedy if what else "copy the checkpoint again")
        return
    if not file.is_file():
        text = f"{file.name}, which holds its state, is not there"
        yield red(key, text, "take it from the training run: all files of one checkpoint belong together")
        return
    try:
        with safe_open(file, framework="pt") as state:
            odd = [name for name in state.keys() if "." not in name]  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        yield red(key, f"{file.name} cannot be read: {' '.join(str(error).split())}", "copy the checkpoint again")
        return
    if odd and "normalizer" in key:
        text = f"{file.name} has {', '.join(odd[:4])}: expected FEATURE.STATISTIC, such as action.mean"
        yield red(key, text, "save the processors again with the dataset's statistics")


def examine_weights(named: Iterable[tuple[str, torch.Tensor]]) -> list[Finding]:
    """Weights that are not finite: NaN anywhere, infinity anywhere but in a mask."""
    broken = []
    for name, weight in named:
        if not weight.is_floating_point() or torch.isfinite(weight).all():
            continue
        if torch.isnan(weight).any() or "mask" not in name.rpartition(".")[2]:
            broken.append(name)
    if not broken:
        return []
    more = f" and {len(broken) - 4} more" if len(broken) > 4 else ""
    text = f"{', '.join(broken[:4])}{more} have values that are not finite: the training diverged, or a file is damaged"
    return [red("weights", text, "take an earlier step of the run (checkpoints/...), or copy the checkpoint again")]


def examine_weights_file(checkpoint: Checkpoint) -> list[Finding]:
    """The same of the file, for those who do not load the policy."""
    whole = checkpoint.base or checkpoint
    file = Path(whole.path) / WEIGHTS
    if not whole.is_local or not file.is_file():
        return []
    try:
        with safe_open(file, framework="pt") as weights:
            names = list(weights.keys())
            findings = examine_weights((name, weights.get_tensor(name)) for name in names)
    except (OSError, SafetensorError) as error:
        return [red("weights", f"{WEIGHTS} cannot be read: {' '.join(str(error).split())}", "copy it again")]
    return findings or [green("weights", f"{len(names)}, all finite")]
