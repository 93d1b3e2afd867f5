# SPDX-License-Identifier: Apache-2.0
"""How bytes on the connection are divided: a size, a kind, a body. A message goes in parts, so that others overtake it.

The head and the kinds HELLO and REFUSED stay as they are in every version of the protocol: by them another version is
told from garbage, and refused in words.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from so101_link.errors import LinkProtocolError

PROTOCOL_VERSION: Final = 1
DEFAULT_PORT: Final = 7447

PART_BYTES: Final = 8192
"""Of a message in one part: at 4 Mbit/s what is more urgent waits for 16 ms."""

MAX_FRAME_BYTES: Final = 64 << 10
MAX_MESSAGE_BYTES: Final = 16 << 20
"""A camera frame of 4K as PNG has less."""

MAX_TEXT_BYTES: Final = 1024
MAX_OPEN_TOPICS: Final = 3
"""One message of each urgency is on its way at a time."""

_HEAD = struct.Struct("<IB")
_TIME = struct.Struct("<q")


class FrameKind(IntEnum):
    """What the body of a frame is. FILL is thrown away: the probe measures the way up with it."""

    HELLO = 0
    REFUSED = 1
    WELCOME = 2
    FAREWELL = 3
    PING = 4
    PONG = 5
    PART = 6
    LAST_PART = 7
    FILL = 8


@dataclass(frozen=True, slots=True)
class LinkFrame:
    """One frame as it came."""

    kind: FrameKind
    body: bytes


def encode(kind: FrameKind, body: bytes = b"") -> bytes:
    """Return a frame's bytes."""
    return _HEAD.pack(len(body), kind) + body


def encode_time(kind: FrameKind, time_ns: int) -> bytes:
    """Return a PING with the sender's own time, which the PONG brings back."""
    return encode(kind, _TIME.pack(time_ns))


def encode_part(topic: str, part: bytes | memoryview, *, last: bool) -> bytes:
    """Return one part of a message on `topic`."""
    name = topic.encode()
    return encode(FrameKind.LAST_PART if last else FrameKind.PART, bytes((len(name),)) + name + part)


def time_in(body: bytes) -> int:
    """Read the time of a PONG. Raises LinkProtocolError."""
    if len(body) != _TIME.size:
        raise LinkProtocolError(f"a ping of {len(body)} bytes: expected {_TIME.size}")
    return int(_TIME.unpack(body)[0])


def text_in(body: bytes) -> str:
    """Read the text of REFUSED or FAREWELL as one line."""
    return one_line(body[:MAX_TEXT_BYTES].decode(errors="replace"))


def one_line(text: str) -> str:
    """Return what the other end says without anything that moves a terminal's cursor."""
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))


class FrameReader:
    """Cuts the bytes of a connection into frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, received: bytes) -> Iterator[LinkFrame]:
        """Give each frame that is whole by now. Raises LinkProtocolError where it is none of this protocol."""
        self._bytes += received
        at = 0
        try:
            while len(self._bytes) - at >= _HEAD.size:
                size, kind = _HEAD.unpack_from(self._bytes, at)
                if size > MAX_FRAME_BYTES or kind not in _KINDS:
                    raise LinkProtocolError(f"a frame of {size} bytes and kind {kind}: that is no link of so101_link")
                end = at + _HEAD.size + size
                if len(self._bytes) < end:
                    return
                body = bytes(self._bytes[at + _HEAD.size : end])
                at = end
                yield LinkFrame(FrameKind(kind), body)
        finally:
            del self._bytes[:at]


_KINDS = frozenset(FrameKind)


class MessageAssembler:
    """Puts the parts of messages together, per topic."""

    def __init__(self) -> None:
        self._open: dict[str, bytearray] = {}

    def add(self, frame: LinkFrame) -> tuple[str, bytes] | None:
        """Take a part; return topic and message when it was the last. Raises LinkProtocolError."""
        size = frame.body[0] if frame.body else 0
        if not size or len(frame.body) <= size:
            raise LinkProtocolError("a part without a topic")
        topic = frame.body[1 : 1 + size].decode("ascii", errors="replace")
        collected = self._open.pop(topic, None)
        part = memoryview(frame.body)[1 + size :]
        if collected is None and frame.kind is FrameKind.LAST_PART:
            return topic, bytes(part)
        collected = bytearray() if collected is None else collected
        collected += part
        if len(collected) > MAX_MESSAGE_BYTES:
            raise LinkProtocolError(f"a message on {topic} of more than {MAX_MESSAGE_BYTES} bytes")
        if frame.kind is FrameKind.LAST_PART:
            return topic, bytes(collected)
        if len(self._open) >= MAX_OPEN_TOPICS:
            raise LinkProtocolError(f"messages on more than {MAX_OPEN_TOPICS} topics at once")
        self._open[topic] = collected
        return None
