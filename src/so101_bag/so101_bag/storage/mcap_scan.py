# SPDX-License-Identifier: Apache-2.0
"""Reading an MCAP file whose end is missing, record by record, as far as it is whole."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from mcap import records
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.stream_reader import get_chunk_data_stream

from so101_bag.errors import BagError
from so101_bag.storage.mcap_layout import MAGIC, Contents, chunk_index, index_bytes

_HEAD = 9  # opcode and length of a record
_DEFINITIONS = (Opcode.SCHEMA, Opcode.CHANNEL)
_LONGEST = 1 << 30  # bytes of a record; what is longer is not a length but torn bytes
_CORRUPT = (McapError, ValueError, struct.error, zlib.error, RuntimeError, EOFError, MemoryError)

MessageEntries = dict[int, list[tuple[int, int]]]
"""Channel id -> (log time, offset in the chunk) of each message."""


class NotMcapError(BagError):
    """The file does not begin as an MCAP file does. The message is one line."""


@dataclass(slots=True)
class Scan:
    """What a file holds as far as it is whole.

    Attributes:
        contents: of its data section.
        end: where the data section's last whole record ends; what follows is not to be trusted.
        missing_index: index of the last chunk, where the file ends before it was written; it belongs at `end`.
    """

    contents: Contents = field(default_factory=Contents)
    end: int = len(MAGIC)
    missing_index: MessageEntries = field(default_factory=dict)


def summary_of(path: Path) -> Contents | None:
    """Return what a whole file holds, from its summary; None where it has none."""
    with path.open("rb") as file:
        try:
            file.seek(-len(MAGIC), 2)
            if file.read() != MAGIC:
                return None
            file.seek(0)
            summary = make_reader(file).get_summary()
        except (OSError, *_CORRUPT):
            return None
    if summary is None or summary.statistics is None:
        return None
    return Contents(
        schemas=dict(summary.schemas),
        channels=dict(summary.channels),
        chunks=list(summary.chunk_indexes),
        counts=dict(summary.statistics.channel_message_counts),
        start_ns=summary.statistics.message_start_time,
        end_ns=summary.statistics.message_end_time,
    )


def scan_file(path: Path) -> Scan:
    """Read a file from its beginning.

    Raises:
        NotMcapError: it does not begin as an MCAP file.
        OSError: it cannot be read.
    """
    scanner = _Scanner()
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise NotMcapError(f"{path} is not an MCAP file")
        for opcode, offset, content in _records(file):
            try:
                if not scanner.take(opcode, offset, content):
                    break
            except _CORRUPT:
                break
    scanner.finish_chunk()
    return scanner.scan


class _Scanner:
    """Takes the records of a data section one by one. A chunk counts once all of its message indexes were seen."""

    def __init__(self) -> None:
        self.scan = Scan()
        self._chunk: records.Chunk | None = None
        self._chunk_start = 0
        self._entries: MessageEntries = {}
        self._indexed: dict[int, int] = {}  # channel id -> offset of its message index

    def take(self, opcode: int, offset: int, content: bytes) -> bool:
        """Take one record; False where the data section is over."""
        if opcode == Opcode.MESSAGE_INDEX:
            index = records.MessageIndex.read(_stream(content))
            if index.records:
                self._indexed[index.channel_id] = offset
        else:
            self.finish_chunk()
            if not self._take_data(opcode, offset, content):
                return False
        self.scan.end = offset + _HEAD + len(content)
        return True

    def finish_chunk(self) -> None:
        """Count the chunk in hand. Where its indexes are incomplete they have to be written again, right behind it."""
        chunk, self._chunk = self._chunk, None
        if chunk is None:
            return
        length = _HEAD + 28 + 4 + len(chunk.compression.encode()) + 8 + len(chunk.data)
        end = self._chunk_start + length
        offsets, indexes_length = self._indexed, self.scan.end - end
        if set(offsets) != set(self._entries):
            self.scan.end, self.scan.missing_index = end, self._entries
            data, offsets = index_bytes(self._entries, end)
            indexes_length = len(data)
        counts = {channel: len(found) for channel, found in self._entries.items()}
        self.scan.contents.count(chunk_index(chunk, self._chunk_start, length, offsets, indexes_length), counts)

    def _take_data(self, opcode: int, offset: int, content: bytes) -> bool:
        contents = self.scan.contents
        if opcode == Opcode.CHUNK:
            chunk = records.Chunk.read(_stream(content))
            self._entries = _read_chunk(chunk, contents)
            self._chunk, self._chunk_start, self._indexed = chunk, offset, {}
        elif opcode in _DEFINITIONS:
            _define(opcode, content, contents)
        elif opcode == Opcode.MESSAGE:  # outside of chunks, as some recorders write
            message = records.Message.read(_stream(content), len(content))
            contents.count_message(message.channel_id, message.log_time)
        elif opcode not in (Opcode.HEADER, Opcode.ATTACHMENT, Opcode.METADATA):
            return False
        return True


def _records(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Give opcode, offset and content of each whole record from here on."""
    while True:
        offset = file.tell()
        head = file.read(_HEAD)
        if len(head) < _HEAD:
            return
        opcode, length = struct.unpack("<BQ", head)
        if length > _LONGEST:
            return
        content = file.read(length)
        if len(content) < length:
            return
        yield opcode, offset, content


def _read_chunk(chunk: records.Chunk, contents: Contents) -> MessageEntries:
    """Return where each message of a chunk lies; schemas and channels inside are added to `contents`."""
    entries: MessageEntries = {}
    stream, size = get_chunk_data_stream(chunk, validate_crc=True)
    while stream.count < size:
        offset, opcode = stream.count, stream.read1()
        content = stream.read(stream.read8())
        if opcode == Opcode.MESSAGE:
            channel_id, _, log_ns = struct.unpack_from("<HIQ", content)
            if channel_id not in contents.channels:
                raise ValueError(f"message of unknown channel {channel_id}")
            entries.setdefault(channel_id, []).append((log_ns, offset))
        elif opcode in _DEFINITIONS:
            _define(opcode, content, contents)
    return entries


def _define(opcode: int, content: bytes, contents: Contents) -> None:
    """Note a schema or a channel."""
    if opcode == Opcode.SCHEMA:
        schema = records.Schema.read(_stream(content))
        contents.schemas[schema.id] = schema
    else:
        channel = records.Channel.read(_stream(content))
        contents.channels[channel.id] = channel


def _stream(content: bytes) -> ReadDataStream:
    return ReadDataStream(BytesIO(content))
