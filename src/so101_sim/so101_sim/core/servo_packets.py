# SPDX-License-Identifier: Apache-2.0
"""Packets of the Feetech bus, protocol 0: what a servo receives and what it answers.

    FF FF id length instruction parameters... checksum        (host to servo)
    FF FF id length status      data...       checksum        (servo to host)

`length` counts everything behind itself; the checksum is the inverted sum of everything from the id on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

BROADCAST_ID: Final = 0xFE
_HEADER: Final = b"\xff\xff"
_SHORTEST: Final = 6
_LONGEST_LENGTH: Final = 250  # of the length field; more cannot be a packet (the SDK's own limit)
PARTIAL_TIMEOUT_NS: Final = 10_000_000
"""A packet that stops in the middle for this long is given up. A host writes its packet in one go: on the wire the
longest one takes 2.5 ms."""


class Instruction(IntEnum):
    """Instructions that an STS servo knows."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83


@dataclass(frozen=True, slots=True)
class Request:
    """One instruction packet that arrived intact. instruction: any byte; not every one is an Instruction."""

    servo_id: int
    instruction: int
    parameters: bytes
    wire_bytes: int


def checksum(body: bytes | bytearray) -> int:
    """Of everything between header and checksum."""
    return ~sum(body) & 0xFF


def status_packet(servo_id: int, status: int, data: bytes = b"") -> bytes:
    """A servo's answer."""
    body = bytes((servo_id, len(data) + 2, status)) + data
    return _HEADER + body + bytes((checksum(body),))


class PacketParser:
    """Finds instruction packets in a stream of bytes; whatever else is in there is skipped and counted."""

    def __init__(self) -> None:
        self.skipped_bytes = 0
        self.bad_checksums = 0
        self._buffer = bytearray()
        self._last_byte_ns = 0

    def clear(self) -> None:
        """Forgets a packet that has begun."""
        self.skipped_bytes += len(self._buffer)
        self._buffer.clear()

    def feed(self, data: bytes, now_ns: int) -> list[Request]:
        """The packets that `data` completes, in order."""
        if self._buffer and now_ns - self._last_byte_ns > PARTIAL_TIMEOUT_NS:
            self.clear()
        self._last_byte_ns = now_ns
        self._buffer += data
        requests = []
        while (request := self._next()) is not None:
            requests.append(request)
        return requests

    def _next(self) -> Request | None:
        buffer = self._buffer
        while True:
            self._skip_to_header()
            if len(buffer) < _SHORTEST:
                return None
            length = buffer[3]
            if not 2 <= length <= _LONGEST_LENGTH:
                self._skip(1)
                continue
            end = length + 4
            if len(buffer) < end:
                return None
            if checksum(buffer[2 : end - 1]) != buffer[end - 1]:
                self.bad_checksums += 1
                self._skip(1)
                continue
            request = Request(buffer[2], buffer[4], bytes(buffer[5 : end - 1]), end)
            del buffer[:end]
            return request

    def _skip_to_header(self) -> None:
        """Leaves the buffer empty or beginning with what may be a packet: FF FF and an id, which is never FF."""
        buffer = self._buffer
        at = buffer.find(_HEADER)
        if at < 0:
            at = len(buffer) - 1 if buffer.endswith(b"\xff") else len(buffer)
        while len(buffer) > at + 2 and buffer[at + 2] == 0xFF:
            at += 1
        self._skip(at)

    def _skip(self, count: int) -> None:
        self.skipped_bytes += count
        del self._buffer[:count]
