# SPDX-License-Identifier: Apache-2.0
"""Finds a LeRobot checkpoint and names what is wrong with it, before torch is imported."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from so101_policy_server.lerobot.file_damage import find_damage
from so101_policy_server.policy import PolicyLoadError

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
PROCESSORS: Final = ("policy_preprocessor.json", "policy_postprocessor.json")
MIGRATION: Final = "./so101 policy migrate"

_INSIDE: Final = ("", "checkpoints/last/pretrained_model", "last/pretrained_model", "pretrained_model")
"""Where a checkpoint sits in the folder that people name: itself, a training run, one step of a run."""

_WEIGHT_SUFFIXES: Final = frozenset(
    {".bin", ".ckpt", ".h5", ".msgpack", ".npz", ".onnx", ".pkl", ".pt", ".pth", ".safetensors"}
)

_STEPS: Final = ("*/pretrained_model", "checkpoints/*/pretrained_model", "*/checkpoints/*/pretrained_model")
"""Where else there may be some: steps of a run, and of each run in a folder of runs."""

_HUB_PAGE: Final = re.compile(r"(?:https?://)?(?:huggingface\.co|hf\.co|hf:/)/([\w.-]+/[\w.-]+)")
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the checkpoint is: a folder on this machine, or a hub id (then `policy_type` is not known yet: "").

    Attributes:
        base: of a PEFT adapter, the policy whose weights it changes; None for a policy with all its weights.
        config_path: where config.json is: the base's for an adapter without one.
        processors_path: the same for the processors.
        notes: what a person should know about it though it can be loaded, one line each.
    """

    path: str
    is_local: bool
    policy_type: str = ""
    base: Checkpoint | None = None
    config_path: str = ""
    processors_path: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("config_path", "processors_path"):
            if not getattr(self, name):
                object.__setattr__(self, name, self.path)


def find_checkpoint(name_or_path: str, base: str = "") -> Checkpoint:
    """Resolve what a person gave: a checkpoint folder, a run folder (its last checkpoint), or a hub id.

    Args:
        name_or_path: what a person gave.
        base: base policy of a PEFT adapter, in place of the one that the adapter names; "" = that one.

    Raises:
        PolicyLoadError: nothing is there, or a folder is not a checkpoint that can be loaded.
    """
    try:
        return _find(name_or_path, base)
    except OSError as error:  # a folder or file that this user may not read
        raise PolicyLoadError(f"{error.filename or name_or_path} cannot be read: {error.strerror or error}") from error
    except RuntimeError as error:  # ~ of a user that does not exist
        raise PolicyLoadError(f"no folder {name_or_path}: there is no such user, or no home of one") from error


def _find(name_or_path: str, base: str) -> Checkpoint:
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return _check_folder(folder, base, PROCESSORS)
    if folder.exists():
        raise PolicyLoadError(f"{name_or_path} is a file: name the folder that holds {CONFIG} and {WEIGHTS}")
    if _is_hub_id(name_or_path):
        return Checkpoint(name_or_path, is_local=False)
    if page := _HUB_PAGE.match(name_or_path):
        raise PolicyLoadError(f"{name_or_path} is a page of the hub: name its id, {page[1]}")
    raise PolicyLoadError(f"no folder {name_or_path}: name a checkpoint, a run folder or a hub id")


def has_adapter(folder: Path) -> bool:
    """Whether the folder, or one in it that people mean, holds a PEFT adapter; OSError where it cannot be entered."""
    return any((folder / inside / ADAPTER_CONFIG).is_file() for inside in _INSIDE)


def find_folder(folder: Path) -> Path:
    """The folder with config.json: itself, or that of a run or step of a run, whatever else it may lack.

    Raises:
        PolicyLoadError: there is none.
    """
    for inside in _INSIDE:
        if (folder / inside / CONFIG).is_file():
            return folder / inside
    raise PolicyLoadError(_no_checkpoint(folder))


def _no_checkpoint(folder: Path) -> str:
    """What a folder without a checkpoint is like: links that lead nowhere, or a run whose `last` was not copied."""
    for inside in _INSIDE:
        damage = find_damage(folder / inside / CONFIG)
        if damage:
            return f"{folder / inside / CONFIG} {damage}"
    found = sorted(file.parent for steps in _STEPS for file in folder.glob(f"{steps}/{CONFIG}"))
    text = f"{folder} has no {CONFIG}, and no checkpoints/last/pretrained_model"
    if found:
        return f"{text}: name one of its {len(found)} checkpoints, such as {found[-1]}"
    return f"{text}: not a LeRobot checkpoint"


def _is_hub_id(name: str) -> bool:
    return bool(_HUB_ID.fullmatch(name)) and not name.startswith((".", "/"))


def _check_folder(folder: Path, base: str, needed: tuple[str, ...]) -> Checkpoint:
    for inside in _INSIDE:
        if (folder / inside / CONFIG).is_file():
            return _check_files(folder / inside, base, needed)
        if (folder / inside / ADAPTER_CONFIG).is_file():
            return _check_adapter(folder / inside, base, None)
    raise PolicyLoadError(_no_checkpoint(folder))


def _check_files(folder: Path, base: str, needed: tuple[str, ...]) -> Checkpoint:
    config = _read_json(folder / CONFIG)
    policy_type = config.get("type")
    if not isinstance(policy_type, str) or not policy_type:
        raise PolicyLoadError(f"{folder / CONFIG} has no policy type: not a LeRobot checkpoint")
    has_weights = (folder / WEIGHTS).is_file()
    if (folder / ADAPTER_CONFIG).is_file() and (config.get("use_peft") or not has_weights):
        return _check_adapter(folder, base, policy_type)
    if config.get("use_peft") and not has_weights:
        raise PolicyLoadError(
            f"{folder / CONFIG} says use_peft, and beside it is neither {ADAPTER_CONFIG} (an adapter) nor {WEIGHTS} "
            "(an adapter that was merged into its base): copy the whole folder"
        )
    _refuse_damage(folder / WEIGHTS)
    if not (folder / WEIGHTS).is_file():
        raise PolicyLoadError(_other_weights(folder))
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise PolicyLoadError(
            f"{folder} has no {' and no '.join(missing)}: made by a LeRobot before 0.5; "
            f"`{MIGRATION} {shlex.quote(str(folder))}` makes one that can be served, {folder.name}_migrated beside it"
        )
    return Checkpoint(str(folder), is_local=True, policy_type=policy_type)


def _other_weights(folder: Path) -> str:
    """What a folder has in place of the one file of weights that is loaded."""
    names = sorted(file.name for file in folder.iterdir() if file.suffix in _WEIGHT_SUFFIXES)
    text = f"{folder} has no {WEIGHTS}: only safetensors weights are loaded, never pickle"
    parts = [name for name in names if name.endswith(".safetensors") and name.startswith("model-")]
    if parts:
        have = f"has its weights in {len(parts)} parts ({parts[0]}, ...)"
        return f"{folder} {have}: LeRobot loads one {WEIGHTS}; save the policy whole"
    others = [name for name in names if not name.endswith(".safetensors")]
    return (
        f"{text}; {', '.join(others)} is not: save the policy again with LeRobot's save_pretrained" if others else text
    )


def _check_adapter(folder: Path, base: str, policy_type: str | None) -> Checkpoint:
    """A PEFT adapter with its base; `policy_type` is None where config.json is missing and the base's counts."""
    _refuse_damage(folder / ADAPTER_WEIGHTS)
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise PolicyLoadError(
            f"{folder} is a PEFT adapter without {ADAPTER_WEIGHTS}: only safetensors weights are loaded, never pickle"
        )
    named = str(_read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path") or "")
    has_processors = all((folder / name).is_file() for name in PROCESSORS)
    found = _find_base(folder, base or named, () if has_processors else PROCESSORS)
    notes = []
    if base and named and base != named:
        notes.append(f"base_model_name_or_path is {base}: the adapter was trained on {named}, which must be the same")
    if not has_processors:
        notes.append(
            f"the adapter has no processors: its base {found.path} normalises, with statistics of its own data"
        )
    return Checkpoint(
        str(folder),
        is_local=True,
        policy_type=found.policy_type if policy_type is None else policy_type,
        base=found,
        config_path=found.path if policy_type is None else "",
        processors_path="" if has_processors else found.path,
        notes=tuple(notes),
    )


def _find_base(adapter: Path, name: str, needed: tuple[str, ...]) -> Checkpoint:
    """The policy that an adapter was trained on. Often its path is one of the machine that trained it."""
    told = "set base_model_name_or_path to the policy that it was trained on, a folder here or a hub id"
    if not name:
        raise PolicyLoadError(f"{adapter} is a PEFT adapter that names no base policy: {told}")
    if not Path(name).expanduser().exists() and not _is_hub_id(name):
        raise PolicyLoadError(
            f"{adapter} is a PEFT adapter of {name}, which is not on this machine "
            f"(a path of the one that trained it?): {told}"
        )
    folder = Path(name).expanduser()
    found = _check_folder(folder, "", needed) if folder.is_dir() else find_checkpoint(name)
    if found.base is not None:
        raise PolicyLoadError(f"{adapter} is a PEFT adapter of {name}, which is an adapter itself: {told}")
    return found


def _refuse_damage(file: Path) -> None:
    damage = find_damage(file)
    if damage:
        raise PolicyLoadError(f"{file} {damage}")


def unreadable(error: Exception) -> str:
    """Why a JSON file cannot be read, and what to do about it; editors of Windows begin a file with a mark."""
    if isinstance(error, UnicodeDecodeError) or "BOM" in str(error):
        return "it is not plain UTF-8 text: save it as UTF-8 without a byte order mark, or copy the checkpoint again"
    return f"{' '.join(str(error).split())}: copy the checkpoint again"


def _read_json(path: Path) -> dict[str, Any]:
    _refuse_damage(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PolicyLoadError(f"{path} cannot be read: {unreadable(error)}") from error
    if not isinstance(content, dict):
        raise PolicyLoadError(f"{path} is not a JSON object: not a LeRobot checkpoint")
    return content
