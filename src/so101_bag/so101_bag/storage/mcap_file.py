# SPDX-License-Identifier: Apache-2.0
"""Writing one MCAP file so that a killed writer loses little: whatever gathered goes to the system with each flush.

JPEG and other bytes that no longer shrink go into chunks of their own, uncompressed; all else into zstd chunks.
"""

import os
from collections.abc import Callable
from pathlib import Path

from mcap import records
from mcap.data_stream import RecordBuilder

from so101_bag.storage.mcap_layout import MAGIC, PLAIN, PROFILE, ZSTD, ChunkBuilder, Contents, chunk_bytes, ending
from so101_bag.storage.message_types import MessageType
from so101_bag.storage.metadata import FileSpan, Topic, qos_text

CHUNK_SIZE = 1 << 20  # bytes before compression; a reader unpacks a whole chunk for any message of it
ROOM = 1 << 16  # bytes that a full disk gets back, beyond what the summary takes, for metadata.yaml
INCOMPRESSIBLE = ("sensor_msgs/msg/CompressedImage", "so101_msgs/msg/ObservationImage")


class McapFile:
    """An MCAP file that grows. Not thread-safe. Every method may raise OSError when the disk is full."""

    def __init__(self, path: Path) -> None:
        """Create the file; one that is there already is an error (FileExistsError)."""
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._offset = 0  # bytes known to be whole: a write that failed half way is cut off there
        self._contents = Contents()
        self._written: list[tuple[records.ChunkIndex, dict[int, int]]] = []
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, tuple[int, ChunkBuilder]] = {}
        self._builders = {PLAIN: ChunkBuilder(PLAIN), ZSTD: ChunkBuilder(ZSTD)}
        head = RecordBuilder()
        records.Header(PROFILE, "so101_bag").write(head)
        self._append(MAGIC + head.end())

    @property
    def size(self) -> int:
        """Bytes of the file, with what waits for the next flush."""
        return self._offset + sum(len(builder.data) for builder in self._builders.values())

    @property
    def span(self) -> FileSpan:
        """What has been written, without what waits for the next flush."""
        contents = self._contents
        return FileSpan(self._path.name, contents.start_ns, contents.end_ns, contents.counts_by_topic)

    def add_topic(self, topic: Topic, kind: MessageType) -> None:
        """Announce a topic; its messages may follow."""
        builder = RecordBuilder()
        if kind.name not in self._schemas:
            schema = records.Schema(
                id=len(self._schemas) + 1, name=kind.name, encoding="ros2msg", data=kind.definition.encode()
            )
            schema.write(builder)
            self._schemas[kind.name] = schema.id
            self._contents.schemas[schema.id] = schema
        channel = records.Channel(
            id=len(self._channels) + 1,
            topic=topic.name,
            message_encoding="cdr",
            schema_id=self._schemas[kind.name],
            metadata={"offered_qos_profiles": qos_text(topic.qos), "topic_type_hash": topic.type_hash},
        )
        channel.write(builder)
        self._contents.channels[channel.id] = channel
        plain = kind.name in INCOMPRESSIBLE
        self._channels[topic.name] = (channel.id, self._builders[PLAIN if plain else ZSTD])
        self._append(builder.end())

    def write(self, topic: str, log_ns: int, publish_ns: int, content: bytes) -> None:
        """Take one serialized message. Times in ns since the epoch: when received, when sent."""
        channel, builder = self._channels[topic]
        builder.add(channel, 0, log_ns, publish_ns, content)
        if len(builder.data) >= CHUNK_SIZE:
            self._write_chunk(builder)

    def flush(self) -> None:
        """Hand everything to the operating system: from here on the end of this process cannot lose it."""
        for builder in self._builders.values():
            if builder.data:
                self._write_chunk(builder)

    def close(self, metadata: Callable[[FileSpan], str], disk_full: bool = False) -> FileSpan:
        """Flush, write the summary and close.

        Args:
            metadata: makes the text that rosbag2 finds inside the file where metadata.yaml is missing.
            disk_full: give up what waits for the next flush and the newest chunks, to make room for the summary.
        """
        try:
            if disk_full:
                self._make_room(len(ending(self._contents, {}, 0)) + ROOM)
            else:
                self.flush()
            self._append(ending(self._contents, {"serialized_metadata": metadata(self.span)}, self._offset))
        finally:
            os.close(self._file)
        return self.span

    def _write_chunk(self, builder: ChunkBuilder) -> None:
        chunk, index = builder.take()
        data, chunk_index = chunk_bytes(chunk, index, self._offset)
        self._append(data)
        counts = {channel: len(entries) for channel, entries in index.items()}
        self._contents.count(chunk_index, counts)
        self._written.append((chunk_index, counts))

    def _make_room(self, wanted: int) -> None:
        end = self._offset
        while self._written and end - self._offset < wanted:
            chunk, _ = self._written.pop()
            self._offset = chunk.chunk_start_offset
        self._contents.forget_messages()
        for chunk, counts in self._written:
            self._contents.count(chunk, counts)
        os.ftruncate(self._file, self._offset)
        os.lseek(self._file, self._offset, os.SEEK_SET)

    def _append(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, self._offset)
            os.lseek(self._file, self._offset, os.SEEK_SET)
            raise
        self._offset += len(data)
