# SPDX-License-Identifier: Apache-2.0
"""One file of a bag, MCAP or SQLite, packed with zstd or not: what it holds by its own word, whatever metadata says."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

import zstandard
from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader, make_reader
from rosbags.rosbag2 import Reader

from so101_bag.errors import BagError
from so101_bag.storage.mcap_layout import MAGIC, Contents
from so101_bag.storage.mcap_scan import scan_file, summary_of
from so101_bag.storage.metadata import QosProfile, qos_from_text

PACKED = ".zstd"  # rosbag2 compresses whole files under this name
ENDINGS = (".mcap", ".db3")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # no serialized message begins so: its first byte is 0
_SQLITE_MAGIC = b"SQLite format 3\0"


class DamagedFileError(BagError):
    """A file is not whole. The message names it and what is wrong."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} is damaged ({what})")
        self.path = path


def remedy(path: Path) -> str:
    """Return what to try with a damaged file of a bag."""
    if path.suffix == ".mcap" and not _begin(path).startswith(MAGIC):
        others = [other for other in path.parent.glob("*.mcap") if other != path]
        without = f"; without it, ./so101 record --repair {path.parent} saves the rest" if others else ""
        return f"nothing of it can be saved: take it out of the folder, or copy it there once more{without}"
    if path.suffix == ".mcap":
        return f"try ./so101 record --repair {path.parent}"
    if path.suffix == PACKED:
        return "copy it once more"
    return f"`sqlite3 {path} .recover | sqlite3 {path.with_name('recovered.db3')}` may save what is left"


@dataclass(frozen=True, slots=True)
class StoredTopic:
    """One topic of one file. `definition` and `type_hash` are "" where the file does not tell them."""

    name: str
    type_name: str
    count: int
    definition: str = ""
    type_hash: str = ""
    qos: tuple[QosProfile, ...] = ()
    encoding: str = "cdr"


class StoredFile(Protocol):
    """An open file. `start_ns` and `end_ns` of its messages are 0 where it holds none."""

    topics: tuple[StoredTopic, ...]
    start_ns: int
    end_ns: int

    def messages(self, names: Collection[str], start_ns: int | None) -> Iterator[tuple[StoredTopic, int, bytes]]:
        """Give topic, time in ns and serialized message of these topics in the order of time."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


def open_file(path: Path, room: Path) -> StoredFile:
    """Open a file; a packed one is unpacked into the folder `room`.

    Raises:
        BagError: it is neither MCAP nor SQLite, or is not whole. The message names the file and what is wrong.
    """
    if path.suffix == PACKED:
        path = _unpacked(path, room)
    begin = _begin(path)
    if begin.startswith(MAGIC):
        return _McapFile(path)
    if begin.startswith(_SQLITE_MAGIC):
        return _SqliteFile(path)
    if begin.startswith(_ZSTD_MAGIC):
        raise BagError(f"{path} is packed with zstd: rename it to {path.name}{PACKED}")
    raise BagError(f"{path} is empty" if not begin else f"{path} is neither an MCAP nor an SQLite file")


def _begin(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise BagError(f"{path} cannot be read: {error.strerror}") from error


def _unpacked(path: Path, room: Path) -> Path:
    target = room / path.stem
    try:
        with path.open("rb") as source, target.open("wb") as sink:
            zstandard.ZstdDecompressor().copy_stream(source, sink)
    except (OSError, zstandard.ZstdError) as error:
        raise DamagedFileError(path, f"cannot be unpacked: {getattr(error, 'strerror', None) or error}") from error
    return target


class _McapFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._indexed = True
        contents = summary_of(path)
        if contents is None or not contents.chunks or not contents.channels:
            contents = self._scanned(contents)
        self._contents = contents
        self.start_ns, self.end_ns = contents.start_ns, contents.end_ns
        self._topics: dict[int, StoredTopic] = {}
        for id_, channel in contents.channels.items():
            schema = contents.schemas.get(channel.schema_id)
            self._topics[id_] = StoredTopic(
                channel.topic,
                schema.name if schema else "",
                contents.counts.get(id_, 0),
                schema.data.decode(errors="replace") if schema and schema.encoding == "ros2msg" else "",
                channel.metadata.get("topic_type_hash", ""),
                qos_from_text(channel.metadata.get("offered_qos_profiles", "")),
                channel.message_encoding,
            )
        self.topics = tuple(self._topics.values())
        self._file = path.open("rb")

    def _scanned(self, contents: Contents | None) -> Contents:
        """Read the whole file: some recorders write no index, or not even a summary."""
        whole = False
        with self._path.open("rb") as file, suppress(OSError):
            file.seek(-len(MAGIC), 2)
            whole = file.tell() > len(MAGIC) and file.read() == MAGIC
        if not whole:
            raise DamagedFileError(self._path, "its end is missing")
        if contents is not None and not sum(contents.counts.values()):
            return contents
        self._indexed = False
        return scan_file(self._path).contents

    def messages(self, names: Collection[str], start_ns: int | None) -> Iterator[tuple[StoredTopic, int, bytes]]:
        self._file.seek(0)
        # Without an index everything is read and sorted: such recorders write in the order in which they got to it.
        reader = make_reader(self._file, True) if self._indexed else NonSeekingReader(self._file, True)
        count = 0
        try:
            for _, channel, message in reader.iter_messages(list(names), starting_at=start_ns):
                count += 1
                yield self._topics[channel.id], message.log_time, message.data
        except (McapError, zstandard.ZstdError, ValueError, KeyError, EOFError, RuntimeError, OSError) as error:
            raise DamagedFileError(self._path, _text(error)) from error

    def close(self) -> None:
        self._file.close()


class _SqliteFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = Reader(path)
        try:
            self._reader.open()
        except Exception as error:
            # rosbags raises what SQLite, its parsers and its assertions raise; all of it means the same here.
            raise DamagedFileError(path, _text(error)) from error
        self._connections = list(self._reader.connections)
        self._topics = {item.id: _topic_of(item) for item in self._connections}
        self.topics = tuple(self._topics.values())
        filled = any(topic.count for topic in self.topics)
        self.start_ns = int(self._reader.start_time) if filled else 0
        self.end_ns = int(self._reader.end_time) - 1 if filled else 0

    def messages(self, names: Collection[str], start_ns: int | None) -> Iterator[tuple[StoredTopic, int, bytes]]:
        wanted = [item for item in self._connections if item.topic in names]
        if not wanted:
            return
        try:
            for item, time_ns, data in self._reader.messages(wanted, start_ns):
                yield self._topics[item.id], time_ns, bytes(data)
        except Exception as error:
            raise DamagedFileError(self._path, _text(error)) from error

    def close(self) -> None:
        self._reader.close()


def _topic_of(connection: Any) -> StoredTopic:
    definition = connection.msgdef.data if connection.msgdef.format.name == "MSG" else ""
    ext = connection.ext
    topic = StoredTopic(connection.topic, connection.msgtype, connection.msgcount, definition, connection.digest)
    return replace(topic, qos=tuple(map(_profile, ext.offered_qos_profiles)), encoding=ext.serialization_format)


_POLICIES = attrgetter("history", "reliability", "durability", "liveliness")


def _profile(qos: Any) -> QosProfile:
    """Return a profile of rosbags under rosbag2's keys."""
    history, reliability, durability, liveliness = (policy.name.lower() for policy in _POLICIES(qos))
    return {
        "history": history,
        "depth": qos.depth,
        "reliability": reliability,
        "durability": durability,
        "deadline": qos.deadline._asdict(),
        "lifespan": qos.lifespan._asdict(),
        "liveliness": liveliness,
        "liveliness_lease_duration": qos.liveliness_lease_duration._asdict(),
        "avoid_ros_namespace_conventions": qos.avoid_ros_namespace_conventions,
    }


def unpacked_message(data: bytes) -> bytes:
    """Return a message that rosbag2 has packed by itself, unpacked; any other as it is.

    Reindexing such a bag loses the word of it in metadata.yaml, so it is read from the bytes.
    """
    if data[:4] != _ZSTD_MAGIC:
        return data
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
