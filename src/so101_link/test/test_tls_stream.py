# SPDX-License-Identifier: Apache-2.0
"""TLS over a socket that does not block: who waits for it is woken by whole records only, and the window stays open."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from link_ends import make_keys, robot_keys
from so101_link.keys.folder import NAME_OF_SERVER, KeyFolder
from so101_link.transport import tls
from so101_link.transport.stream import RecordCounter, TlsStream

PIECE = 1000


class Wire:
    """The server's end as a stream, the robot's in the test's hands, which sends what it likes of each record."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as door:
            self.near = socket.create_connection(door.getsockname()[:2])
            accepted, _ = door.accept()
        self.near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.near.settimeout(5.0)
        self.stream = TlsStream(accepted, tls.server_context(KeyFolder.read(folder / "server")))
        self._came, self.leaves = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = tls.client_context(robot_keys(folder))
        self.tls = context.wrap_bio(self._came, self.leaves, server_hostname=NAME_OF_SERVER)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.near.sendall(self.leaves.read())
                self._shake()
                self._came.write(self.near.recv(65536))
        self.near.sendall(self.leaves.read())
        self.stream.do_handshake_within(5.0)

    def _shake(self) -> None:
        select.select([self.stream], [], [], 5.0)
        with pytest.raises(ssl.SSLWantReadError):
            self.stream.do_handshake()

    def record(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self.leaves.read()

    def is_readable(self, timeout_s: float) -> bool:
        return bool(select.select([self.stream], [], [], timeout_s)[0])

    def heard(self) -> bytes:
        received = b""
        try:
            while True:
                received += self.stream.recv(65536)
        except ssl.SSLWantReadError:
            return received


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    made = Wire(make_keys(tmp_path / "keys", "arm1"))
    yield made
    made.near.close()
    made.stream.close()


def test_a_record_that_comes_in_pieces_wakes_once(wire: Wire) -> None:
    for number in range(3):
        data = bytes([number]) * 8000
        record = wire.record(data)
        first, *middle, last = (record[at : at + PIECE] for at in range(0, len(record), PIECE))
        assert wire.heard() == b""
        wire.near.sendall(first)
        assert wire.is_readable(5.0) and wire.heard() == b""  # its length is known from now on
        for piece in middle:
            wire.near.sendall(piece)
            assert not wire.is_readable(0.01)
        wire.near.sendall(last)
        assert wire.is_readable(5.0) and wire.heard() == data


def test_a_short_record_behind_a_long_one_wakes(wire: Wire) -> None:
    wire.near.sendall(wire.record(b"long" * 2000))
    assert wire.is_readable(5.0) and wire.heard() == b"long" * 2000
    wire.near.sendall(wire.record(b"!"))
    assert wire.is_readable(5.0) and wire.heard() == b"!"


def test_the_end_wakes_in_the_middle_of_a_record(wire: Wire) -> None:
    wire.near.sendall(wire.record(bytes(8000))[:3000])
    assert wire.is_readable(5.0) and wire.heard() == b""
    wire.near.close()
    assert wire.is_readable(5.0)
    with pytest.raises(ssl.SSLEOFError):
        wire.stream.recv(65536)


def test_what_the_kernel_does_not_take_at_once_follows(wire: Wire) -> None:
    block = bytes(range(256)) * 64
    sent = 0
    while wire.stream.flush():
        wire.stream.send(block)
        sent += len(block)
    received = 0
    while received < sent:
        wire.stream.flush()
        wire._came.write(wire.near.recv(65536))
        try:
            while True:
                received += len(wire.tls.read(65536))
        except ssl.SSLWantReadError:
            pass
    assert received == sent and wire.stream.flush()


@given(st.lists(st.integers(0, 400), min_size=1, max_size=8), st.integers(1, 50))
def test_records_are_counted_however_the_bytes_are_cut(sizes: list[int], step: int) -> None:
    sent = b"".join(b"\x17\x03\x03" + size.to_bytes(2) + bytes(size) for size in sizes)
    counter = RecordCounter()
    for at in range(0, len(sent), step):
        counter.feed(sent[at : at + step])
    assert counter.missing == 5
    counter.feed(b"\x17\x03\x03\x01\x00" + bytes(100))
    assert counter.missing == 156
