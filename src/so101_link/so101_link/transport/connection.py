# SPDX-License-Identifier: Apache-2.0
"""One connection and its one thread, which alone touches the TLS of it: it reads, writes, and tells what came."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from so101_link.core import causes
from so101_link.core.session import LinkSession, MessageReceived, PeerUp, SessionEnded, SessionEvent
from so101_link.errors import LinkProtocolError
from so101_link.transport.reasons import LinkFailure, explain
from so101_link.transport.wake import Wake

_READ_BYTES: Final = 65536
_READS_AT_ONCE: Final = 16
_LAST_WORDS_S: Final = 0.3
_WAITS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(frozen=True, slots=True)
class ConnectionEnd:
    """How a connection ended: why, and whether it had been up."""

    failure: LinkFailure
    was_up: bool


class LinkConnection:
    """Carries a session over a socket whose handshake is done.

    Args:
        connection: belongs to this object from now on; `run` closes it.
        session: what is said.
        heard: called on the thread of `run` with each PeerUp and MessageReceived.
        wake: set by the outbox and by `stop`.
    """

    def __init__(
        self,
        connection: ssl.SSLSocket,
        session: LinkSession,
        heard: Callable[[PeerUp | MessageReceived], None],
        wake: Wake,
    ) -> None:
        self._socket, self.session, self._heard, self._wake = connection, session, heard, wake
        self._out: memoryview | None = None
        self._stop: tuple[str, bool] | None = None
        self._ended: SessionEnded | None = None

    def stop(self, reason: str, *, farewell: bool = True) -> None:
        """End soon, from any thread; with `farewell` the other end is told."""
        self._stop = (reason, farewell)
        self._wake.set()

    def run(self) -> ConnectionEnd:
        """Serve the connection until it ends, and say why it did."""
        try:
            failure = self._serve()
        except LinkProtocolError as error:
            failure = LinkFailure(causes.REFUSED, str(error))
        except ssl.SSLEOFError:
            failure = LinkFailure(causes.CLOSED_BETWEEN, self._closed_words())
        except OSError as error:
            failure = explain(error)
        finally:
            with contextlib.suppress(OSError):
                self._socket.close()
        return ConnectionEnd(failure, self.session.is_up)

    def _serve(self) -> LinkFailure:
        self._socket.setblocking(False)
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        while True:
            now_ns = time.monotonic_ns()
            if self._stop is not None:
                return self._leave(*self._stop)
            fault = self.session.fault(now_ns)
            if fault:
                return LinkFailure(causes.LOST, fault)
            self._write(now_ns)
            if self._ended is not None:
                return self._last_words(self._ended)
            wants = select.POLLIN | (select.POLLOUT if self._out is not None else 0)
            poll.register(self._socket, wants)
            wait_ms = 0 if self._socket.pending() else max(0, (self.session.wake_at_ns() - now_ns) // 1_000_000 + 1)
            ready = {file for file, _ in poll.poll(wait_ms)}
            if self._wake.fileno() in ready:
                self._wake.clear()
            if self._socket.fileno() in ready or self._socket.pending():
                failure = self._read()
                if failure is not None:
                    return failure

    def _write(self, now_ns: int) -> None:
        """Write until the kernel takes no more. A record of TLS is one part of a message, so that others overtake."""
        while True:
            if self._out is None:
                following = self.session.next_bytes(now_ns)
                if following is None:
                    return
                self._out = memoryview(following)
            try:
                written = self._socket.send(self._out)
            except _WAITS:
                return
            self._out = self._out[written:] if written < len(self._out) else None

    def _read(self) -> LinkFailure | None:
        for _ in range(_READS_AT_ONCE):
            try:
                received = self._socket.recv(_READ_BYTES)
            except _WAITS:
                return None
            if not received:
                return LinkFailure(causes.CLOSED_BETWEEN, self._closed_words())
            for event in self.session.receive(received, time.monotonic_ns()):
                self._tell(event)
            if self._ended is not None:
                return None
        return None

    def _tell(self, event: SessionEvent) -> None:
        if isinstance(event, SessionEnded):
            self._ended = event
        else:
            self._heard(event)

    def _closed_words(self) -> str:
        if self.session.is_up:
            return "closed without a farewell: the other end was killed, or a tunnel or proxy between has closed it"
        return "closed before the other end said anything: a tunnel or proxy without the other end behind it?"

    def _leave(self, reason: str, farewell: bool) -> LinkFailure:
        if farewell and self.session.is_up:
            self.session.leave(reason)
            self._flush()
        return LinkFailure(causes.LOST, reason)

    def _last_words(self, ended: SessionEnded) -> LinkFailure:
        """Send what is still to be said; where this end refuses, wait until the other has read it and closes."""
        self._flush()
        if ended.refused:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
                self._wait(select.POLLIN, _LAST_WORDS_S)
        return LinkFailure(causes.REFUSED if ended.refused else causes.LOST, ended.reason)

    def _flush(self) -> None:
        end_s = time.monotonic() + _LAST_WORDS_S
        with contextlib.suppress(OSError):
            while True:
                self._write(time.monotonic_ns())
                left_s = end_s - time.monotonic()
                if self._out is None or left_s <= 0:
                    return
                self._wait(select.POLLOUT, left_s)

    def _wait(self, events: int, timeout_s: float) -> None:
        poll = select.poll()
        poll.register(self._socket, events)
        poll.poll(timeout_s * 1e3)
