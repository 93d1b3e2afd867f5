# SPDX-License-Identifier: Apache-2.0
"""The parts of an MCAP file that a writer and a repair have in common: chunks with their indexes, and the summary."""

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import zstandard
from mcap import records
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode

MAGIC = b"\x89MCAP0\r\n"
PROFILE = "ros2"
ZSTD = "zstd"
PLAIN = ""
_ZSTD_LEVEL = 1  # 0.3 ms for what 0.5 s of an arm's topics hold; level 3 saves 4 % more and takes twice as long


@dataclass(slots=True)
class ChunkBuilder:
    """Messages that wait to be written together. `index`: channel id -> (log time, offset in the chunk)."""

    compression: str
    data: bytearray = field(default_factory=bytearray)
    index: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def add(self, channel: int, sequence: int, log_ns: int, publish_ns: int, content: bytes) -> None:
        """Append one message."""
        self.index.setdefault(channel, []).append((log_ns, len(self.data)))
        self.data += struct.pack(
            "<BQHIQQ", Opcode.MESSAGE, 22 + len(content), channel, sequence & 0xFFFFFFFF, log_ns, publish_ns
        )
        self.data += content

    def take(self) -> tuple[records.Chunk, dict[int, list[tuple[int, int]]]]:
        """Return what has gathered as a chunk with its index, and begin again."""
        times = [time for entries in self.index.values() for time, _ in entries]
        content = bytes(self.data)
        stored = zstandard.compress(content, _ZSTD_LEVEL) if self.compression == ZSTD else content
        chunk = records.Chunk(
            compression=self.compression,
            data=stored,
            message_start_time=min(times),
            message_end_time=max(times),
            uncompressed_crc=zlib.crc32(content),
            uncompressed_size=len(content),
        )
        index, self.index, self.data = self.index, {}, bytearray()
        return chunk, index


def chunk_bytes(
    chunk: records.Chunk, index: Mapping[int, Iterable[tuple[int, int]]], offset: int
) -> tuple[bytes, records.ChunkIndex]:
    """Return a chunk, followed by its message indexes, as they stand in the file at `offset`, and its ChunkIndex."""
    builder = RecordBuilder()
    chunk.write(builder)
    length = builder.count
    message_indexes, offsets = index_bytes(index, offset + length)
    return builder.end() + message_indexes, chunk_index(chunk, offset, length, offsets, len(message_indexes))


def index_bytes(index: Mapping[int, Iterable[tuple[int, int]]], offset: int) -> tuple[bytes, dict[int, int]]:
    """Return the message indexes of a chunk as they stand at `offset`, and where each channel's begins."""
    builder = RecordBuilder()
    offsets = {}
    for channel, entries in index.items():
        offsets[channel] = offset + builder.count
        records.MessageIndex(channel, list(entries)).write(builder)
    return builder.end(), offsets


def chunk_index(
    chunk: records.Chunk, offset: int, length: int, offsets: dict[int, int], indexes_length: int
) -> records.ChunkIndex:
    """Return the ChunkIndex of a chunk record of `length` bytes at `offset`."""
    return records.ChunkIndex(
        message_start_time=chunk.message_start_time,
        message_end_time=chunk.message_end_time,
        chunk_start_offset=offset,
        chunk_length=length,
        message_index_offsets=offsets,
        message_index_length=indexes_length,
        compression=chunk.compression,
        compressed_size=len(chunk.data),
        uncompressed_size=chunk.uncompressed_size,
    )


@dataclass(slots=True)
class Contents:
    """What the data section of a file holds, for its summary. `counts`: channel id -> messages."""

    schemas: dict[int, records.Schema] = field(default_factory=dict)
    channels: dict[int, records.Channel] = field(default_factory=dict)
    chunks: list[records.ChunkIndex] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    start_ns: int = 0
    end_ns: int = 0

    def count(self, chunk: records.ChunkIndex, messages: Mapping[int, int]) -> None:
        """Take one chunk into account. `messages`: channel id -> messages in it."""
        self.chunks.append(chunk)
        self._stretch(chunk.message_start_time, chunk.message_end_time)
        for channel, number in messages.items():
            self.counts[channel] = self.counts.get(channel, 0) + number

    def count_message(self, channel: int, log_ns: int) -> None:
        """Take one message outside of chunks into account."""
        self._stretch(log_ns, log_ns)
        self.counts[channel] = self.counts.get(channel, 0) + 1

    def forget_messages(self) -> None:
        """Start counting again."""
        self.chunks, self.counts, self.start_ns, self.end_ns = [], {}, 0, 0

    def _stretch(self, start_ns: int, end_ns: int) -> None:
        self.start_ns = min(self.start_ns, start_ns) if self.counts else start_ns
        self.end_ns = max(self.end_ns, end_ns)

    @property
    def counts_by_topic(self) -> dict[str, int]:
        """Messages by topic; 0 for a topic without any."""
        found: dict[str, int] = {channel.topic: 0 for channel in self.channels.values()}
        for channel, number in self.counts.items():
            found[self.channels[channel].topic] += number
        return found


def ending(contents: Contents, metadata: Mapping[str, str], offset: int) -> bytes:
    """Return all that follows the data section, which ends at `offset`: metadata record, summary, footer, magic."""
    tail = RecordBuilder()
    records.Metadata(name="rosbag2", metadata=dict(metadata)).write(tail)
    metadata_index = records.MetadataIndex(offset=offset, length=tail.count, name="rosbag2")
    records.DataEnd(0).write(tail)
    before = tail.end()
    start = offset + len(before)
    summary = RecordBuilder()
    groups: list[records.SummaryOffset] = []

    def group(opcode: Opcode, items: Iterable[records.McapRecord]) -> None:
        begin = summary.count
        for item in items:
            item.write(summary)
        if summary.count > begin:
            groups.append(records.SummaryOffset(opcode, start + begin, summary.count - begin))

    group(Opcode.SCHEMA, contents.schemas.values())
    group(Opcode.CHANNEL, contents.channels.values())
    group(Opcode.STATISTICS, [_statistics(contents)])
    group(Opcode.CHUNK_INDEX, contents.chunks)
    group(Opcode.METADATA_INDEX, [metadata_index])
    offsets_start = start + summary.count
    for item in groups:
        item.write(summary)
    body = summary.end()
    footer_head = struct.pack("<BQQQ", Opcode.FOOTER, 20, start, offsets_start)
    crc = zlib.crc32(footer_head, zlib.crc32(body))
    return bytes(before + body + footer_head + struct.pack("<I", crc) + MAGIC)


def _statistics(contents: Contents) -> records.Statistics:
    return records.Statistics(
        attachment_count=0,
        channel_count=len(contents.channels),
        channel_message_counts=contents.counts,
        chunk_count=len(contents.chunks),
        message_count=sum(contents.counts.values()),
        message_end_time=contents.end_ns,
        message_start_time=contents.start_ns,
        metadata_count=1,
        schema_count=len(contents.schemas),
    )
