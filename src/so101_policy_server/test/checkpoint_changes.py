# SPDX-License-Identifier: Apache-2.0
"""Copies of a checkpoint with one thing changed, for tests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def copy(source: Path, target: Path) -> Path:
    """The checkpoint in another folder."""
    shutil.copytree(source, target)
    return target


def change_json(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change one of its JSON files in place."""
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    return folder


def change_statistics(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """Change the statistics of both processors in place."""
    from safetensors.torch import load_file, save_file

    for file in folder.glob("*normalizer_processor.safetensors"):
        save_file({key: value.clone() for key, value in change(load_file(file)).items()}, file)
    return folder


def prefixed(prefixes: tuple[str, ...]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """State and action under each of these prefixes, as base checkpoints of several robots keep them."""

    def change(state: dict[str, Any]) -> dict[str, Any]:
        changed = {}
        for key, value in state.items():
            arm = key.startswith(("action", "observation.state"))
            for prefix in prefixes if arm else ("",):
                changed[prefix + key] = value
        return changed

    return change
