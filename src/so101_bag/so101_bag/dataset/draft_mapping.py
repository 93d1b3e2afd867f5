# SPDX-License-Identifier: Apache-2.0
"""A first mapping of a bag from elsewhere, to be read and corrected by a person."""

from pathlib import Path

from so101_node.protocol import JOINT_NAMES

from so101_bag.dataset.camera_topics import COMPRESSED, RAW
from so101_bag.dataset.joint_streams import READERS
from so101_bag.dataset.mapping import NEXT_STATE
from so101_bag.errors import DatasetError
from so101_bag.storage.reader import Bag, BagTopic

_UNITS = """\
# rad; deg; or LeRobot's own numbers: lerobot_degrees, lerobot_normalized (its gripper is 0..100 in both)
unit: rad
"""
_END = """\
# LeRobot's calibration of the arm that was recorded: <id>.json from ~/.cache/huggingface/lerobot/calibration/robots/*/
{calibration}
# What the arm did, as the policy will be told.
task: ""
"""


def write_draft(bag: Bag, path: Path) -> None:
    """Write what the bag's topics suggest.

    Raises:
        DatasetError: the file exists or cannot be written.
    """
    text = draft(bag)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise DatasetError(f"--draft-mapping {path} exists: name another file") from error
    except OSError as error:
        raise DatasetError(f"--draft-mapping {path} cannot be written: {error.strerror}") from error


def draft(bag: Bag) -> str:
    """Return a mapping as YAML with comments."""
    filled = [topic for topic in bag.topics if topic.message_count]
    joints = [topic for topic in filled if topic.type_name in READERS]
    commands = [topic for topic in joints if topic.type_name != "sensor_msgs/msg/JointState" or _commanding(topic)]
    states = [topic for topic in joints if topic not in commands]
    lines = [f"# Topics of {bag.folder}, as far as their names tell. Read it, then:", ""]
    lines[1:1] = [f"# ./so101 dataset {bag.folder} --mapping THIS_FILE"]
    lines += _choice("joint_states", [topic.name for topic in states], "a topic with measured positions")
    lines += [f"# {NEXT_STATE}: the action of a frame is what was measured at the next one"]
    lines += _choice("joint_command", [topic.name for topic in commands] or [NEXT_STATE], "")
    lines += ["cameras:"]
    lines += [f"  {name}: {topic}" for name, topic in _cameras(filled).items()] or ["  # none found"]
    return "\n".join(lines) + "\n" + _UNITS + _joint_lines(bag, states) + _END.format(calibration=_calibration(bag))


def _commanding(topic: BagTopic) -> bool:
    return any(word in topic.name.lower() for word in ("command", "cmd", "goal", "target", "action", "leader"))


def _choice(key: str, names: list[str], missing: str) -> list[str]:
    others = [f"# or {name}" for name in names[1:]]
    return [f"{key}: {names[0]}" if names else f"# {key}: {missing}", *others]


def _cameras(topics: list[BagTopic]) -> dict[str, str]:
    """Return a name for each camera; of one that was recorded both ways the compressed topic."""
    found: dict[str, str] = {}
    for topic in sorted(topics, key=lambda item: item.type_name != COMPRESSED):
        parts = [part for part in topic.name.strip("/").split("/") if part not in ("image_raw", "compressed", "color")]
        name = "_".join(parts[-2:]) or "camera"
        if topic.type_name in (COMPRESSED, RAW) and "depth" not in topic.name:
            found.setdefault(name, topic.name)
    return dict(sorted(found.items()))


def _joint_lines(bag: Bag, states: list[BagTopic]) -> str:
    names: list[str] = []
    if states:
        names = list(next(iter(bag.messages(states[:1]))).message.name)
    if not names or set(JOINT_NAMES) <= set(names):
        return ""
    lines = [f"# Our name: the bag's ({', '.join(names)}); or {{name: ..., scale: -1.0, offset: 0.1}}, offset in rad,"]
    lines += ["# our zero being the middle of the calibrated range.", "joints:"]
    pairs = zip(JOINT_NAMES, names, strict=False) if len(names) >= len(JOINT_NAMES) else ()
    lines += [f"  {own}: {there}" for own, there in pairs] or [f"  {own}: ?" for own in JOINT_NAMES]
    return "\n".join(lines) + "\n"


def _calibration(bag: Bag) -> str:
    limits = bag.find("joint_limits", "so101_msgs/msg/JointLimits")
    return "# calibration: FILE   (not needed: the bag holds joint_limits)" if limits else "calibration: FILE"
