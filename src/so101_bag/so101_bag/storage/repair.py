# SPDX-License-Identifier: Apache-2.0
"""Repairing a bag whose recorder was killed: every whole chunk is kept, what was being written is cut off.

The files are mended in place, so a repair needs hardly any space, and one that is interrupted can be run again.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from so101_bag.errors import BagError
from so101_bag.storage.folder import bag_files, bag_folder
from so101_bag.storage.mcap_layout import Contents, ending, index_bytes
from so101_bag.storage.mcap_scan import NotMcapError, Scan, scan_file, summary_of
from so101_bag.storage.metadata import (
    FILE_NAME,
    FileSpan,
    Topic,
    as_text,
    bag_information,
    qos_from_text,
    read_information,
    write_metadata,
)
from so101_bag.storage.stored_file import PACKED, DamagedFileError, open_file, remedy, unpacked_message


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did. `lost_bytes` could not be read; `changed` is False where the bag was whole already."""

    files: int
    messages: int
    duration_s: float
    lost_bytes: int
    changed: bool


def repair(folder: Path) -> Repaired:
    """Make a bag whole again; where only metadata.yaml is missing or wrong, write that.

    Raises:
        BagError: there is no file of a bag, or one that cannot be mended, or the disk is full.
    """
    bag_folder(folder)
    paths = bag_files(folder)
    if not paths:
        raise BagError(f"{folder} holds no .mcap or .db3 file: there is nothing to repair")
    try:
        return _repair(folder, paths)
    except NotMcapError as error:
        raise BagError(f"{error}: take it out of the folder, then repair again") from error
    except OSError as error:
        raise BagError(f"{folder} cannot be repaired: {error.strerror} ({error.filename or folder})") from error


def _repair(folder: Path, paths: list[Path]) -> Repaired:
    found = _Found()
    with tempfile.TemporaryDirectory(prefix="so101-bag-") as room:
        for path in paths:
            if path.suffix == ".mcap":
                found.mcap(path)
            else:
                found.other(path, Path(room))
        information = found.information(_compression_mode(paths, Path(room)))
    changed = found.mended or not _metadata_fits(folder, information)
    if changed:
        write_metadata(folder, information)
    duration_s = information["duration"]["nanoseconds"] / 1e9
    return Repaired(len(paths), information["message_count"], duration_s, found.lost, changed)


class _Found:
    """What the files of a bag hold, looked at one after another."""

    def __init__(self) -> None:
        self.lost = 0
        self.mended = False
        self._topics: dict[str, Topic] = {}
        self._spans: list[FileSpan] = []
        self._storages: set[str] = set()

    def mcap(self, path: Path) -> None:
        """Take an MCAP file into account, and mend it where its end is missing."""
        contents = summary_of(path)
        scan = None
        if contents is None:
            scan = scan_file(path)
            contents = scan.contents
        topics = _topics(contents)
        span = FileSpan(path.name, contents.start_ns, contents.end_ns, contents.counts_by_topic)
        self._add("mcap", topics, span)
        if scan is not None:
            self.lost += _mend(path, scan, as_text(bag_information(topics, [span])))
            self.mended = True

    def other(self, path: Path, room: Path) -> None:
        """Take an SQLite file, or one that rosbag2 has packed, into account; it is not mended but read.

        Raises:
            BagError: it is not whole.
        """
        try:
            file = open_file(path, room)
        except BagError as error:
            raise BagError(f"{error}: {remedy(path)}") from error
        try:
            counts: dict[str, int] = {}
            for topic in file.topics:
                counts[topic.name] = counts.get(topic.name, 0) + topic.count
            topics = [Topic(topic.name, topic.type_name, topic.type_hash, topic.qos) for topic in file.topics]
            storage = "sqlite3" if path.name.removesuffix(PACKED).endswith(".db3") else "mcap"
            self._add(storage, topics, FileSpan(path.name, file.start_ns, file.end_ns, counts))
        finally:
            file.close()

    def information(self, compression_mode: str) -> dict[str, Any]:
        """Return the content of metadata.yaml.

        Raises:
            BagError: the files are of several kinds.
        """
        if len(self._storages) > 1:
            raise BagError("the folder holds .mcap and .db3 files: move one kind elsewhere, then repair again")
        (storage,) = self._storages
        return bag_information(self._topics.values(), self._spans, storage, compression_mode)

    def _add(self, storage: str, topics: Iterable[Topic], span: FileSpan) -> None:
        self._storages.add(storage)
        self._spans.append(span)
        for topic in topics:
            self._topics.setdefault(topic.name, topic)


def _compression_mode(paths: Iterable[Path], room: Path) -> str:
    """Return how rosbag2 packed these files: FILE, MESSAGE or "". It is read from their bytes: nothing else tells."""
    for path in paths:
        if path.suffix == PACKED:
            return "FILE"
        file = open_file(path, room)
        try:
            first = next(file.messages({topic.name for topic in file.topics}, None), None)
        except DamagedFileError:  # told where it is read; the next one says the same
            continue
        finally:
            file.close()
        if first is not None:
            return "MESSAGE" if unpacked_message(first[2]) != first[2] else ""
    return ""


def _metadata_fits(folder: Path, right: Mapping[str, Any]) -> bool:
    if not (folder / FILE_NAME).is_file():
        return False
    try:
        said = read_information(folder)
    except BagError:
        return False
    return _told(said) == _told(right)


def _told(information: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a reader relies on: files, messages by topic, compression."""
    counts = {
        entry["topic_metadata"]["name"]: (entry["topic_metadata"]["type"], entry["message_count"])
        for entry in information["topics_with_message_count"]
        if entry.get("message_count")
    }
    names = [PurePath(str(path)).name for path in information["relative_file_paths"]]
    mode = str(information.get("compression_mode") or "").upper()
    return names, information.get("message_count"), counts, mode if mode in ("FILE", "MESSAGE") else ""


def _mend(path: Path, scan: Scan, metadata: str) -> int:
    """Cut off what is not whole, write the summary, and return how many bytes were cut off."""
    missing, _ = index_bytes(scan.missing_index, scan.end)
    tail = missing + ending(scan.contents, {"serialized_metadata": metadata}, scan.end + len(missing))
    with path.open("r+b") as file:
        lost = file.seek(0, os.SEEK_END) - scan.end
        file.truncate(scan.end)
        file.seek(scan.end)
        file.write(tail)
        file.flush()
        os.fsync(file.fileno())
    return lost


def _topics(contents: Contents) -> list[Topic]:
    return [
        Topic(
            channel.topic,
            contents.schemas[channel.schema_id].name,
            channel.metadata.get("topic_type_hash", ""),
            qos_from_text(channel.metadata.get("offered_qos_profiles", "")),
        )
        for channel in contents.channels.values()
        if channel.schema_id in contents.schemas
    ]
