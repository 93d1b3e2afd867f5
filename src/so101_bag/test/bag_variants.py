# SPDX-License-Identifier: Apache-2.0
"""Bags as other programs leave them: reindexed by `ros2 bag`, of other versions of rosbag2, in SQLite, packed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from so101_bag.storage.message_types import message_type

NUMBERS = {
    "history": ("system_default", "keep_last", "keep_all", "unknown"),
    "reliability": ("system_default", "reliable", "best_effort", "unknown", "best_available"),
    "durability": ("system_default", "transient_local", "volatile", "unknown", "best_available"),
    "liveliness": ("system_default", "automatic", "manual_by_node", "manual_by_topic", "unknown", "best_available"),
}


def copied(bag: Path, folder: Path) -> Path:
    """Copy a bag to a folder, which is returned."""
    shutil.copytree(bag, folder)
    return folder


def edit(bag: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change what metadata.yaml says below its root."""
    path = bag / "metadata.yaml"
    content = yaml.safe_load(path.read_text())
    change(content["rosbag2_bagfile_information"])
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return bag


def reindex(information: dict[str, Any]) -> None:
    """What rosbag2 0.26.5 makes of metadata when it reindexes: topics by name, durations added up, no `files`."""
    information["topics_with_message_count"].sort(key=lambda entry: entry["topic_metadata"]["name"])
    for entry in information["topics_with_message_count"]:
        for profile in entry["topic_metadata"]["offered_qos_profiles"] or []:
            # The profiles went through rclcpp::QoS: what its readers do not know comes out as its own default.
            profile.update(history="keep_last", depth=10, deadline={"sec": 9223372036, "nsec": 854775807})
    information.update(files=[], compression_format="", compression_mode="", custom_data=None)
    information["duration"]["nanoseconds"] -= 12345


def version(number: int) -> Callable[[dict[str, Any]], None]:
    """Return what makes metadata that of an earlier rosbag2."""

    def change(information: dict[str, Any]) -> None:
        information["version"] = number
        for key, since in (("ros_distro", 8), ("custom_data", 6), ("files", 5), ("compression_mode", 3)):
            if number < since:
                information.pop(key, None)
        for entry in information["topics_with_message_count"]:
            topic = entry["topic_metadata"]
            if number < 7:
                topic.pop("type_description_hash", None)
            if number < 4:
                topic.pop("offered_qos_profiles")
            elif number < 9:
                profiles = [
                    {key: NUMBERS[key].index(value) if key in NUMBERS else value for key, value in profile.items()}
                    for profile in topic["offered_qos_profiles"]
                ]
                topic["offered_qos_profiles"] = yaml.safe_dump(profiles) if profiles else ""
        if number < 4:
            information["relative_file_paths"] = [f"run/{name}" for name in information["relative_file_paths"]]

    return change


def written_by_rosbags(
    bag: Path, folder: Path, storage: StoragePlugin, mode: CompressionMode = CompressionMode.NONE
) -> Path:
    """Write the messages of a bag once more, as rosbags stores them: without our index, in SQLite, packed."""
    writer = Writer(folder, version=9, storage_plugin=storage)
    if mode is not CompressionMode.NONE:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    store = get_typestore(Stores.EMPTY)
    with Reader(bag) as reader, writer:
        connections = {}
        for item in reader.connections:
            connections[item.topic] = writer.add_connection(
                item.topic,
                item.msgtype,
                typestore=store,
                msgdef=message_type(item.msgtype).definition,
                rihs01=message_type(item.msgtype).type_hash,
                serialization_format="cdr",
                offered_qos_profiles=item.ext.offered_qos_profiles,
            )
        for item, time_ns, data in reader.messages():
            writer.write(connections[item.topic], time_ns, data)
    return folder
