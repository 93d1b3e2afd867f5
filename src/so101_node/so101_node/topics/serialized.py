# SPDX-License-Identifier: Apache-2.0
"""Reads the first fields of a serialized message, where the rest (a picture, a chunk) is not worth deserializing.

A `raw=True` subscription delivers CDR as DDS sends it: four bytes that say little endian, then the fields in the order
of the .msg file, each aligned to its size. Python pays 20 us for a head like this and 150 us for a whole QueueDecision.
"""

import struct
from dataclasses import dataclass

from so101_node.errors import So101NodeError

_ENCAPSULATION = 4
_LITTLE_ENDIAN = 1


class SerializedError(So101NodeError, ValueError):
    """The bytes are not such a message."""


class Cdr:
    """Reads field after field. Raises SerializedError at the end of the bytes."""

    def __init__(self, serialized: bytes) -> None:
        if len(serialized) < _ENCAPSULATION or serialized[1] != _LITTLE_ENDIAN:
            raise SerializedError("expected a little-endian CDR message")
        self._bytes = serialized
        self._at = _ENCAPSULATION

    def _take(self, form: str, size: int) -> int | float:
        at = self._at + (-(self._at - _ENCAPSULATION)) % size
        if at + size > len(self._bytes):
            raise SerializedError("the message ends too early")
        self._at = at + size
        value: int | float = struct.unpack_from(form, self._bytes, at)[0]
        return value

    def uint8(self) -> int:
        """Read one byte."""
        return int(self._take("<B", 1))

    def uint32(self) -> int:
        """Read an unsigned 32-bit number."""
        return int(self._take("<I", 4))

    def int64(self) -> int:
        """Read a signed 64-bit number."""
        return int(self._take("<q", 8))

    def uint64(self) -> int:
        """Read an unsigned 64-bit number."""
        return int(self._take("<Q", 8))

    def float64(self) -> float:
        """Read a double."""
        return float(self._take("<d", 8))

    def text(self) -> str:
        """Read a string: its length with the closing zero, and its bytes."""
        size = self.uint32()
        end = self._at + size
        if end > len(self._bytes):
            raise SerializedError("the message ends too early")
        value = self._bytes[self._at : end].rstrip(b"\0").decode(errors="replace")
        self._at = end
        return value

    def blob(self) -> bytes:
        """Read a uint8[]: its length and its bytes."""
        size = self.uint32()
        end = self._at + size
        if end > len(self._bytes):
            raise SerializedError("the message ends too early")
        value = self._bytes[self._at : end]
        self._at = end
        return value

    def skip_header(self) -> None:
        """Read over a std_msgs/Header."""
        self.uint32()
        self.uint32()
        self.text()


@dataclass(frozen=True, slots=True)
class DecisionHead:
    """The first fields of so101_msgs/QueueDecision."""

    session: int
    sequence: int
    now_ns: int
    input: int

    @classmethod
    def of(cls, serialized: bytes) -> "DecisionHead":
        """Read it. Raises SerializedError."""
        cdr = Cdr(serialized)
        cdr.skip_header()
        return cls(cdr.uint64(), cdr.uint64(), cdr.int64(), cdr.uint8())


@dataclass(frozen=True, slots=True)
class FrameHead:
    """The fields of so101_msgs/ObservationImage before the image; capture_age in s."""

    session: int
    request_id: int
    camera: str
    history_index: int
    frame_seq: int
    capture_age: float

    @classmethod
    def of(cls, serialized: bytes) -> "FrameHead":
        """Read it. Raises SerializedError."""
        cdr = Cdr(serialized)
        cdr.skip_header()
        return cls(cdr.uint64(), cdr.uint64(), cdr.text(), cdr.uint32(), cdr.uint64(), cdr.float64())


def compressed_file(serialized: bytes) -> bytes:
    """Return the file (JPEG, PNG) in a serialized sensor_msgs/CompressedImage. Raises SerializedError.

    Deserializing takes 2.5 ms at 640x480, this 5 us.
    """
    cdr = Cdr(serialized)
    cdr.skip_header()
    cdr.text()
    return cdr.blob()
