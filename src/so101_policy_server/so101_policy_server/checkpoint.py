"""Finds a LeRobot checkpoint and names what is wrong with it, before torch is imported."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from so101_policy_server.policy import PolicyLoadError

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
PROCESSORS: Final = ("policy_preprocessor.json", "policy_postprocessor.json")
MIGRATION: Final = "python -m lerobot.processor.migrate_policy_normalization --pretrained-path"

_INSIDE: Final = ("", "checkpoints/last/pretrained_model", "pretrained_model")
"""Where a checkpoint sits in the folder that people name: itself, a training run, one step of a run."""

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the checkpoint is: a folder on this machine, or a hub id (then `policy_type` is not known yet: "")."""

    path: str
    is_local: bool
    policy_type: str = ""


def find_checkpoint(name_or_path: str) -> Checkpoint:
    """Resolve what a person gave: a checkpoint folder, a run folder (its last checkpoint), or a hub id.

    Raises:
        PolicyLoadError: nothing is there, or a folder is not a checkpoint that can be loaded.
    """
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return _check_folder(folder)
    if folder.exists():
        raise PolicyLoadError(f"{name_or_path} is a file: name the folder that holds {CONFIG} and {WEIGHTS}")
    if _HUB_ID.fullmatch(name_or_path) and not name_or_path.startswith((".", "/")):
        return Checkpoint(name_or_path, is_local=False)
    raise PolicyLoadError(
        f"no folder {name_or_path}: set pretrained_name_or_path to a checkpoint, a run folder or a hub id"
    )


def _check_folder(folder: Path) -> Checkpoint:
    for inside in _INSIDE:
        if (folder / inside / CONFIG).is_file():
            return _check_files(folder / inside)
    raise PolicyLoadError(
        f"{folder} has no {CONFIG}, and no checkpoints/last/pretrained_model: not a LeRobot checkpoint"
    )


def _check_files(folder: Path) -> Checkpoint:
    config = _read_json(folder / CONFIG)
    policy_type = config.get("type")
    if not isinstance(policy_type, str) or not policy_type:
        raise PolicyLoadError(f"{folder / CONFIG} has no policy type: not a LeRobot checkpoint")
    if config.get("use_peft"):
        raise PolicyLoadError(f"{folder} is a PEFT adapter: merge it into its base policy and save that")
    if not (folder / WEIGHTS).is_file():
        raise PolicyLoadError(f"{folder} has no {WEIGHTS}: only safetensors weights are loaded, never pickle")
    missing = [name for name in PROCESSORS if not (folder / name).is_file()]
    if missing:
        raise PolicyLoadError(
            f"{folder} has no {' and no '.join(missing)}: made by a LeRobot before 0.5, migrate it with "
            f"`{MIGRATION} {folder}`"
        )
    return Checkpoint(str(folder), is_local=True, policy_type=policy_type)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PolicyLoadError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise PolicyLoadError(f"{path} is not a JSON object: not a LeRobot checkpoint")
    return content
