# SPDX-License-Identifier: Apache-2.0
"""What LeRobot leaves in a checkpoint's folder about its training: train_config.json and the model card."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from so101_policy_server.lerobot.file_damage import find_damage

TRAIN_CONFIG: Final = "train_config.json"
MODEL_CARD: Final = "README.md"
_CARD_VERSION: Final = re.compile(r"\|\s*LeRobot version\s*\|\s*([0-9][\w.+-]*)\s*\|")


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """What is told; "" and None where it is not.

    Attributes:
        lerobot_version: version that trained it, from the model card.
        dataset: its dataset's repo_id.
        use_degrees: LeRobot's use_degrees of a robot that the training configuration names.
    """

    lerobot_version: str = ""
    dataset: str = ""
    use_degrees: bool | None = None


def read_training_record(folder: Path) -> TrainingRecord:
    """Read what there is; a file that is missing or damaged tells nothing."""
    config = _read_json(folder / TRAIN_CONFIG)
    dataset = config.get("dataset")
    repo_id = dataset.get("repo_id") if isinstance(dataset, dict) else None
    use_degrees = _find(config, "use_degrees")
    return TrainingRecord(
        lerobot_version=_version(folder / MODEL_CARD, config),
        dataset=repo_id if isinstance(repo_id, str) else "",
        use_degrees=use_degrees if isinstance(use_degrees, bool) else None,
    )


def damage_of_record(folder: Path) -> str:
    """Why the training configuration that is there tells nothing; "" where it can be read or is not there."""
    file = folder / TRAIN_CONFIG
    if damage := find_damage(file):
        return f"{TRAIN_CONFIG} {damage}"
    return f"{TRAIN_CONFIG} is no JSON object: copy it again" if file.is_file() and not _read_json(file) else ""


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _version(card: Path, config: dict[str, Any]) -> str:
    told = config.get("lerobot_version")
    if isinstance(told, str) and told:
        return told
    try:
        found = _CARD_VERSION.search(card.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return found[1] if found else ""


def _find(content: Any, key: str) -> Any:
    """The first value under a key, however deep."""
    if isinstance(content, dict):
        if key in content:
            return content[key]
        content = list(content.values())
    if isinstance(content, list):
        for value in content:
            found = _find(value, key)
            if found is not None:
                return found
    return None
