# SPDX-License-Identifier: Apache-2.0
"""Where a bag from elsewhere has what a dataset needs: a YAML file. Without one the names are ours.

joint_states: /follower/joint_states
joint_command:                          # one topic or several; state: the measured positions of the next frame
  - /arm_controller/joint_trajectory
  - {topic: /gripper_controller/commands, joints: [gripper]}
cameras: {top: /cam_high/image_raw, wrist: /cam_wrist/image_raw/compressed}
unit: rad                               # or deg, lerobot_degrees, lerobot_normalized
joints: {shoulder_pan: joint_1, gripper: {name: jaw, scale: -1.0, offset: 0.3}}
calibration: follower.json              # LeRobot's, of the arm that was recorded
task: Pick the cube
"""

import difflib
import math
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from so101_bag.errors import DatasetError

UNITS = ("rad", "deg", "lerobot_degrees", "lerobot_normalized")
NEXT_STATE = "state"
"""In the place of a command's topic: the action of a frame is what was measured at the next one."""


@dataclass(frozen=True, slots=True)
class JointTopic:
    """A topic with positions; `joints` are those of a message without names, in its order; empty: all."""

    topic: str
    joints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JointSource:
    """One of our joints in the bag: its name there, and radians = scale * value + offset."""

    name: str
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Mapping:
    """Topics, joints and units of a bag. A topic's name that does not begin with / is looked for in any namespace.

    Attributes:
        cameras: name in the dataset -> topic; empty: what is found under our names.
        joints: our name -> where it is; a joint that is not in it has our name.
        own: whether a file was given; a bag of ours needs none.
    """

    joint_states: tuple[JointTopic, ...] = (JointTopic("joint_states"),)
    joint_command: tuple[JointTopic, ...] = (JointTopic("joint_command"),)
    cameras: MappingType[str, str] = field(default_factory=dict)
    unit: str = "rad"
    joints: MappingType[str, JointSource] = field(default_factory=dict)
    calibration: Path | None = None
    task: str = ""
    own: bool = True

    def source(self, joint: str) -> JointSource:
        """Return where a joint is."""
        return self.joints.get(joint, JointSource(joint))


def read_mapping(path: Path) -> Mapping:
    """Read a mapping.

    Raises:
        DatasetError: it is missing or says something else than what is expected; the line names the key.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _OnceLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"--mapping {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except _WrongError as error:
        raise DatasetError(f"--mapping {path}: {error}") from error
    except yaml.YAMLError as error:
        raise DatasetError(f"--mapping {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"--mapping {path}: expected keys such as joint_states and cameras")
    known = [name for name in Mapping.__dataclass_fields__ if name != "own"]
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            meant = f", meant {near[0]}?" if near else ""
            raise DatasetError(f"--mapping {path}: unknown key {key!r}{meant} (known: {', '.join(known)})")
    try:
        values: dict[str, Any] = {key: _READERS[key](value) for key, value in content.items()}
    except _WrongError as error:
        raise DatasetError(f"--mapping {path}: {error}") from error
    if values.get("calibration") is not None:
        values["calibration"] = path.parent / values["calibration"].expanduser()
    return Mapping(**values, own=False)


class _OnceLoader(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a key that is there twice, of which YAML's own loader silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping; see yaml."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                raise _WrongError(f"{name} in line {lines[name]} and in line {line}: leave one of them out")
            lines[name] = line
        return dict(super().construct_mapping(node, deep))


class _WrongError(ValueError):
    """What a key says is not what is expected. The message is one line without the file's name."""


def _topics(key: str) -> Any:
    def read(value: Any) -> tuple[JointTopic, ...]:
        entries = value if isinstance(value, list) else [value]
        return tuple(_topic(key, entry) for entry in entries)

    return read


def _topic(key: str, entry: Any) -> JointTopic:
    if isinstance(entry, str) and entry:
        return JointTopic(entry)
    if isinstance(entry, dict) and set(entry) <= {"topic", "joints"} and isinstance(entry.get("topic"), str):
        joints = entry.get("joints", [])
        if isinstance(joints, list) and all(isinstance(name, str) for name in joints):
            return JointTopic(entry["topic"], tuple(joints))
    raise _WrongError(f"{key}: expected a topic, {{topic: ..., joints: [...]}} or a list of these, got {entry!r}")


def _cameras(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(part, str) for item in value.items() for part in item):
        raise _WrongError(f"cameras: expected a topic for each name of a camera, got {value!r}")
    wrong = [name for name in value if not name or set(name) & set("./ ")]
    if wrong:
        raise _WrongError(f"cameras: {wrong[0]!r} cannot be the name of a camera in a dataset (no . / or space)")
    names_of: dict[str, list[str]] = {}
    for name, topic in value.items():
        names_of.setdefault(topic, []).append(name)
    for topic, names in names_of.items():
        if len(names) > 1:
            raise _WrongError(f"cameras: {' and '.join(names)} are both {topic}: one image cannot be two cameras'")
    return dict(value)


def _unit(value: Any) -> str:
    if value not in UNITS:
        raise _WrongError(f"unit: expected one of {', '.join(UNITS)}, got {value!r}")
    return str(value)


def _joints(value: Any) -> dict[str, JointSource]:
    if not isinstance(value, dict):
        raise _WrongError(f"joints: expected the bag's name for each of our joints, got {value!r}")
    return {str(name): _joint(str(name), entry) for name, entry in value.items()}


def _joint(name: str, entry: Any) -> JointSource:
    if isinstance(entry, str):
        return JointSource(entry)
    if not isinstance(entry, dict) or not set(entry) <= {"name", "scale", "offset"}:
        raise _WrongError(f"joints: {name}: expected a name, or {{name: ..., scale: ..., offset: ...}}, got {entry!r}")
    numbers = {key: entry.get(key, default) for key, default in (("scale", 1.0), ("offset", 0.0))}
    for key, number in numbers.items():
        usable = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
        if not usable or (key == "scale" and number == 0):
            raise _WrongError(
                f"joints: {name}: {key} must be a number{' other than 0' * (key == 'scale')}, got {number!r}"
            )
    return JointSource(str(entry.get("name", name)), float(numbers["scale"]), float(numbers["offset"]))


def _path(value: Any) -> Path:
    if not isinstance(value, str) or not value:
        raise _WrongError(f"calibration: expected a file, got {value!r}")
    return Path(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _WrongError(f"task: expected a sentence, got {value!r}")
    return value


_READERS: dict[str, Any] = {
    "joint_states": _topics("joint_states"),
    "joint_command": _topics("joint_command"),
    "cameras": _cameras,
    "unit": _unit,
    "joints": _joints,
    "calibration": _path,
    "task": _text,
}
