# SPDX-License-Identifier: Apache-2.0
"""Installed message types: their definitions as rosbag2 stores them, their hashes, and their Python classes."""

import importlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from so101_bag.errors import BagError

_RULE = "=" * 80


class UnknownTypeError(BagError, LookupError):
    """A message type is not installed here. The message is one line."""


@dataclass(frozen=True, slots=True)
class MessageType:
    """A message type of this installation.

    Attributes:
        name: `package/msg/Name`.
        definition: text of the .msg file, followed by those of all types it uses (rosbag2's `ros2msg` encoding).
        type_hash: REP-2011's hash, `RIHS01_...`, the same that publishers announce.
    """

    name: str
    definition: str
    type_hash: str


@cache
def message_type(name: str) -> MessageType:
    """Return the installed type of that name.

    Raises:
        UnknownTypeError: its package, or it in its package, is not installed.
    """
    description = json.loads(_file(name, ".json").read_text(encoding="utf-8"))
    hashes = {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}
    used = [item["type_name"] for item in description["type_description_msg"]["referenced_type_descriptions"]]
    texts = [_file(name, ".msg").read_text(encoding="utf-8")]
    for other in used:
        package, _, short = other.split("/")
        texts.append(f"{_RULE}\nMSG: {package}/{short}\n{_file(other, '.msg').read_text(encoding='utf-8')}")
    return MessageType(name, "\n".join(texts), hashes[name])


@cache
def message_class(name: str) -> type[Any]:
    """Return the Python class of a message type.

    Raises:
        UnknownTypeError: it is not installed.
    """
    package, _, short = _parts(name)
    try:
        found: type[Any] = getattr(importlib.import_module(f"{package}.msg"), short)
    except (ImportError, AttributeError) as error:
        raise UnknownTypeError(f"message type {name} is not installed here") from error
    return found


def _file(name: str, ending: str) -> Path:
    package, _, short = _parts(name)
    try:
        path = Path(get_package_share_directory(package)) / "msg" / (short + ending)
    except PackageNotFoundError as error:
        raise UnknownTypeError(f"message type {name}: package {package} is not installed here") from error
    if not path.is_file():
        raise UnknownTypeError(f"message type {name}: {path} is missing")
    return path


def _parts(name: str) -> tuple[str, str, str]:
    parts = name.split("/")
    if len(parts) != 3 or parts[1] != "msg":
        raise UnknownTypeError(f"{name} is not the name of a message type (package/msg/Name)")
    return parts[0], parts[1], parts[2]
