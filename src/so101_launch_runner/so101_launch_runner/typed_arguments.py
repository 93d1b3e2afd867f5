# SPDX-License-Identifier: Apache-2.0
"""What was meant by an argument of `./so101 launch` that the file does not take, or by a file that is not there."""

import difflib
from collections.abc import Collection, Iterable
from pathlib import Path

from so101_node.parameters import known_nodes, lerobot_names

_FILES = {
    **dict.fromkeys(("so101_driver", "action_queue", "policy_server", "virtual_cameras", "expert_policy"), "config"),
    **dict.fromkeys(("camera", "frame_gate"), "camera_config"),
    "recorder": "record_config",
}
"""The argument of our launch files that names the YAML file of a node."""


def pairs(words: Iterable[str]) -> dict[str, str]:
    """Return name and value of each `name:=value`. Raises ValueError with how it is written."""
    found: dict[str, str] = {}
    words = list(words)
    for place, word in enumerate(words):
        name, separator, value = word.partition(":=")
        if not separator or not name:
            left, equals, right = word.lstrip("-").partition("=")
            behind = words[place + 1 : place + 2]
            if word.startswith("--") and not equals and behind and ":=" not in behind[0]:
                left, equals, right = left, "=", behind[0]  # `--config FILE`
            meant = f"{left}:={right}" if equals and left else "name:=value"
            raise ValueError(f"{word!r} is not an argument; it is written {meant}")
        if found.get(name, value) != value:
            raise ValueError(f"{name} is given twice, {found[name]!r} and {value!r}; leave one out")
        found[name] = value
    return found


def meant(name: str, declared: Collection[str]) -> str:
    """Say which argument was probably meant, or that it is a parameter and where those are given, or all there are."""
    owners = [owner for owner in known_nodes.declarers(name) if _FILES.get(owner) in declared]
    if owners:
        files = ":= or ".join(dict.fromkeys(_FILES[owner] for owner in owners))
        return f"it is a parameter of {', '.join(owners)}: write it into a copy of the YAML file that {files}:= names"
    near = difflib.get_close_matches(name, declared, n=1, cutoff=0.7)
    if near:
        return f"did you mean {near[0]}:=?"
    here = lerobot_names.where(name)
    if here:
        return f"LeRobot's option; here: {here}"
    return f"this file takes: {', '.join(sorted(set(declared))) or 'none'}"


def no_file(path: Path) -> str:
    """Say why `path` is no file, as the rest of a sentence that begins with it."""
    if path.parts[:1] == ("~",):
        return f"{path} does not exist: the shell leaves ~ alone behind :=, write {path.expanduser()}"
    if path.is_dir():
        return f"{path} is a folder; name a file in it"
    return f"{path} does not exist" + ("" if path.is_absolute() else f" in {Path.cwd()}")
