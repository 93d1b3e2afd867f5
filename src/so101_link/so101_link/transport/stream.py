# SPDX-License-Identifier: Apache-2.0
"""TLS over a socket that never blocks, woken once per record.

On a slow wire packets come one by one: seven for a record of 8 kB, each of which would wake the thread only to find out
that the record is not whole. Its length stands in its first bytes, which are not encrypted, so the kernel is asked to
report the socket readable when the rest has come. What has come is taken out at once: the window stays open.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from typing import Final

from so101_link.errors import SilenceError

_FETCH_BYTES: Final = 65536
_HEAD_BYTES: Final = 5
"""Type, version, version, and two bytes of length."""


class RecordCounter:
    """Follows where records of TLS begin and end."""

    def __init__(self) -> None:
        self._head = b""
        self._body_left = 0

    @property
    def missing(self) -> int:
        """How many bytes must come at least until the record in hand, or its head, is whole."""
        return self._body_left or _HEAD_BYTES - len(self._head)

    def feed(self, received: bytes) -> None:
        """Count what has come."""
        at = 0
        while at < len(received):
            if self._body_left:
                taken = min(self._body_left, len(received) - at)
                self._body_left -= taken
            else:
                taken = min(_HEAD_BYTES - len(self._head), len(received) - at)
                self._head += received[at : at + taken]
                if len(self._head) == _HEAD_BYTES:
                    self._body_left, self._head = int.from_bytes(self._head[3:]), b""
            at += taken


class TlsStream:
    """One end of a connection; a client where it names the server that it expects.

    Args:
        connection: connected; belongs to this object from now on.
        context: of this end.
        server_hostname: what a client demands of the server's certificate; None on the server.
    """

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, server_hostname: str | None = None) -> None:
        connection.setblocking(False)
        self.socket = connection
        self._came, self._leaves = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._came, self._leaves, server_side=server_hostname is None, server_hostname=server_hostname
        )
        self._records = RecordCounter()
        self._lowest = 1
        self._unsent = memoryview(b"")
        self.is_drained = False

    def fileno(self) -> int:
        """What to wait for."""
        return self.socket.fileno()

    def do_handshake(self) -> None:
        """Go on with the handshake.

        Raises:
            ssl.SSLWantReadError, ssl.SSLWantWriteError: it goes on when the socket is readable, or takes bytes again.
            OSError: the connection is gone; ssl.SSLError among them: one end refuses the other.
        """
        while True:
            try:
                self._tls.do_handshake()
                is_done = True
            except ssl.SSLWantReadError:
                is_done = False
            except ssl.SSLError:
                self._say_why()
                raise
            if not self.flush():
                raise ssl.SSLWantWriteError
            if is_done:
                return
            if not self._fetch():
                raise ssl.SSLWantReadError

    def do_handshake_within(self, timeout_s: float) -> None:
        """Wait for the end of the handshake. Raises SilenceError, errors of TLS, OSError."""
        end_s = time.monotonic() + timeout_s
        poll = select.poll()
        while True:
            try:
                return self.do_handshake()
            except ssl.SSLWantReadError:
                poll.register(self, select.POLLIN)
            except ssl.SSLWantWriteError:
                poll.register(self, select.POLLOUT)
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not poll.poll(left_s * 1e3):
                raise SilenceError(f"connected, and then nothing came for {timeout_s:g} s")

    def peer_certificate(self) -> bytes:
        """The other end's certificate, DER; empty where it has shown none."""
        return self._tls.getpeercert(binary_form=True) or b""

    def recv(self, size: int) -> bytes:
        """Return what has come, b"" at the end. Raises ssl.SSLWantReadError, other errors of TLS, OSError."""
        while True:
            try:
                received = self._tls.read(size)
            except ssl.SSLWantReadError:
                if self._fetch():
                    continue
                self.is_drained = True
                self._wake_at(self._records.missing)
                raise
            except ssl.SSLError:
                self._say_why()
                raise
            self.is_drained = False
            return received

    def send(self, data: bytes) -> None:
        """Encrypt `data` and give the kernel what it takes; `flush` gives it the rest. Raises OSError."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]
        self.flush()

    def flush(self) -> bool:
        """Whether the kernel has all that was sent. Raises OSError."""
        while True:
            if not self._unsent:
                if not self._leaves.pending:
                    return True
                self._unsent = memoryview(self._leaves.read())
            try:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
            except BlockingIOError:
                return False

    def end_sending(self) -> None:
        """Tell the other end that nothing follows. Raises OSError."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def _fetch(self) -> bool:
        try:
            fetched = self.socket.recv(_FETCH_BYTES)
        except BlockingIOError:
            return False
        if fetched:
            self._came.write(fetched)
            self._records.feed(fetched)
        else:
            self._came.write_eof()
        return True

    def _say_why(self) -> None:
        with contextlib.suppress(OSError):  # the other end may be gone
            self.flush()

    def _wake_at(self, size: int) -> None:
        if size != self._lowest:
            self._lowest = size
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
