# SPDX-License-Identifier: Apache-2.0
"""metadata.yaml of a bag as rosbag2 of Jazzy writes it (version 9). Free of ROS."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from so101_bag.errors import BagError

VERSION = 9
STORAGE = "mcap"
FILE_NAME = "metadata.yaml"
ROOT = "rosbag2_bagfile_information"

QosProfile = Mapping[str, Any]
"""One publisher's QoS under rosbag2's keys: history, depth, reliability, durability, deadline, ..."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of a bag; `qos` is what its publishers offered."""

    name: str
    type_name: str
    type_hash: str
    qos: tuple[QosProfile, ...] = ()


@dataclass(frozen=True, slots=True)
class FileSpan:
    """One file of a bag. Times in ns since the epoch; both 0 where it holds no message."""

    path: str
    start_ns: int = 0
    end_ns: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def message_count(self) -> int:
        """Messages of all topics."""
        return sum(self.counts.values())


def qos_text(profiles: Iterable[QosProfile]) -> str:
    """Return QoS profiles as the YAML text that an MCAP channel carries."""
    return str(yaml.safe_dump([_own(profile) for profile in profiles], sort_keys=False)).strip()


def qos_from_text(text: str) -> tuple[QosProfile, ...]:
    """Return the profiles of a channel; none where the text cannot be read."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return ()
    return tuple(item for item in found if isinstance(item, dict)) if isinstance(found, list) else ()


def _own(profile: QosProfile) -> dict[str, Any]:
    """Return a copy that shares nothing, which YAML would otherwise show as anchors."""
    return {key: dict(value) if isinstance(value, Mapping) else value for key, value in profile.items()}


def bag_information(
    topics: Iterable[Topic], files: Iterable[FileSpan], storage: str = STORAGE, compression_mode: str = ""
) -> dict[str, Any]:
    """Return the content of metadata.yaml below its root key. `compression_mode`: FILE or MESSAGE, with zstd."""
    files = list(files)
    filled = [span for span in files if span.message_count]
    start_ns = min((span.start_ns for span in filled), default=0)
    end_ns = max((span.end_ns for span in filled), default=0)
    return {
        "version": VERSION,
        "storage_identifier": storage,
        "duration": {"nanoseconds": end_ns - start_ns},
        "starting_time": {"nanoseconds_since_epoch": start_ns},
        "message_count": sum(span.message_count for span in files),
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": topic.name,
                    "type": topic.type_name,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": [_own(profile) for profile in topic.qos],
                    "type_description_hash": topic.type_hash,
                },
                "message_count": sum(span.counts.get(topic.name, 0) for span in files),
            }
            for topic in topics
        ],
        # Chunks are compressed inside the MCAP files; these two speak of rosbag2's own compression around them.
        "compression_format": "zstd" if compression_mode else "",
        "compression_mode": compression_mode,
        "relative_file_paths": [span.path for span in files],
        "files": [
            {
                "path": span.path,
                "starting_time": {"nanoseconds_since_epoch": span.start_ns},
                "duration": {"nanoseconds": span.end_ns - span.start_ns},
                "message_count": span.message_count,
            }
            for span in files
        ],
        "custom_data": None,
        "ros_distro": "jazzy",
    }


def as_text(information: Mapping[str, Any]) -> str:
    """Return metadata as YAML."""
    return str(yaml.safe_dump(dict(information), sort_keys=False))


def write_metadata(folder: Path, information: Mapping[str, Any]) -> None:
    """Write metadata.yaml, beside and moved: a reader never sees half of it.

    Raises:
        OSError: the disk is full or the folder is gone.
    """
    beside = folder / f".{FILE_NAME}.part"
    beside.write_text(as_text({ROOT: dict(information)}), encoding="utf-8")
    beside.replace(folder / FILE_NAME)


def read_information(folder: Path) -> dict[str, Any]:
    """Return what metadata.yaml says below its root key.

    Raises:
        BagError: it is missing or is none.
    """
    path = folder / FILE_NAME
    remedy = f"repair it with: ./so101 record --repair {folder}"
    if not path.is_file():
        raise BagError(f"{folder} has no {FILE_NAME}: its recorder was killed or still runs; {remedy}")
    try:
        information = yaml.safe_load(path.read_text(encoding="utf-8"))[ROOT]
        _check_shape(information)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise BagError(f"{path} is not the metadata of a bag; {remedy}") from error
    return dict(information)


def _check_shape(information: Any) -> None:
    """Raise one of the errors above where the parts that are read are not there, or are something else."""
    if not isinstance(information["relative_file_paths"], list):
        raise TypeError
    for entry in information["topics_with_message_count"]:
        int(entry.get("message_count") or 0)
        str(entry["topic_metadata"]["name"]), str(entry["topic_metadata"]["type"])
