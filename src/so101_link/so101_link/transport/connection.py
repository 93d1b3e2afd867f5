# SPDX-License-Identifier: Apache-2.0
"""One connection and its one thread, which alone touches the TLS of it: it reads, writes, and tells what came."""

from __future__ import annotations

import contextlib
import select
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from so101_link.core import causes, framing
from so101_link.core.session import LinkSession, MessageReceived, PeerUp, SessionEnded, SessionEvent
from so101_link.errors import LinkProtocolError
from so101_link.transport.reasons import LinkFailure, explain
from so101_link.transport.stream import TlsStream
from so101_link.transport.wake import Wake

_READ_BYTES: Final = 65536
_READS_AT_ONCE: Final = 16
_LAST_WORDS_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class ConnectionEnd:
    """How a connection ended: why, and whether it had been up."""

    failure: LinkFailure
    was_up: bool


def turn_away(stream: TlsStream, reason: str) -> None:
    """Refuse whoever has shaken hands, before anything else is said, and close; never waits."""
    with contextlib.suppress(OSError):
        stream.send(framing.encode(framing.FrameKind.REFUSED, reason.encode()[: framing.MAX_TEXT_BYTES]))
    stream.close()


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
        connection: TlsStream,
        session: LinkSession,
        heard: Callable[[PeerUp | MessageReceived], None],
        wake: Wake,
    ) -> None:
        self._stream, self.session, self._heard, self._wake = connection, session, heard, wake
        self._stop: tuple[str, bool] | None = None
        self._ended: SessionEnded | None = None

    def stop(self, reason: str, *, refuses: bool = False) -> None:
        """End soon, from any thread, and tell the other end; one that is refused shall not be back at once."""
        self._stop = (reason, refuses)
        self._wake.set()

    def run(self) -> ConnectionEnd:
        """Serve the connection until it ends, and say why it did."""
        try:
            failure = self._serve()
        except LinkProtocolError as error:
            failure = LinkFailure(causes.REFUSED, str(error))
        except (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError):  # reset: closed with bytes unread
            failure = LinkFailure(causes.CLOSED_BETWEEN, self._closed_words())
        except OSError as error:
            failure = explain(error)
        finally:
            with contextlib.suppress(OSError):
                self._stream.close()
        return ConnectionEnd(failure, self.session.is_up)

    def _serve(self) -> LinkFailure:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        while True:
            now_ns = time.monotonic_ns()
            if self._stop is not None:
                return self._leave(*self._stop)
            fault = self.session.fault(now_ns)
            if fault:
                return LinkFailure(causes.LOST, fault)
            is_sent = self._write(now_ns)
            if self._ended is not None:
                return self._last_words(self._ended)
            poll.register(self._stream, select.POLLIN | (0 if is_sent else select.POLLOUT))
            wait_ms = max(0, (self.session.wake_at_ns() - now_ns) // 1_000_000 + 1)
            ready = dict(poll.poll(wait_ms if self._stream.is_drained else 0))
            if self._wake.fileno() in ready:
                self._wake.clear()
            if ready.get(self._stream.fileno(), 0) & ~select.POLLOUT or not self._stream.is_drained:
                failure = self._read()
                if failure is not None:
                    return failure

    def _write(self, now_ns: int) -> bool:
        """Write until nothing waits; False where the kernel takes no more.

        A record of TLS is one part of a message, so that others overtake.
        """
        while self._stream.flush():
            following = self.session.next_bytes(now_ns)
            if following is None:
                return True
            self._stream.send(following)
        return False

    def _read(self) -> LinkFailure | None:
        for _ in range(_READS_AT_ONCE):
            try:
                received = self._stream.recv(_READ_BYTES)
            except ssl.SSLWantReadError:
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

    def _leave(self, reason: str, refuses: bool) -> LinkFailure:
        if self.session.is_up:
            (self.session.dismiss if refuses else self.session.leave)(reason)
            self._flush()
            self._drain()
        return LinkFailure(causes.LOST, reason)

    def _last_words(self, ended: SessionEnded) -> LinkFailure:
        """Send what is still to be said; where this end refuses, wait until the other has read it and closes."""
        self._flush()
        if ended.refused:
            self._drain()
        return LinkFailure(causes.REFUSED if ended.refused else causes.LOST, ended.reason)

    def _drain(self) -> None:
        """Read on until the other end closes: a socket that is closed with bytes unread takes back what it has sent."""
        end_s = time.monotonic() + _LAST_WORDS_S
        with contextlib.suppress(OSError):
            self._stream.end_sending()
            while (left_s := end_s - time.monotonic()) > 0:
                self._wait(select.POLLIN, left_s)
                with contextlib.suppress(ssl.SSLWantReadError):
                    if not self._stream.recv(_READ_BYTES):
                        return

    def _flush(self) -> None:
        end_s = time.monotonic() + _LAST_WORDS_S
        with contextlib.suppress(OSError):
            while not self._write(time.monotonic_ns()) and (left_s := end_s - time.monotonic()) > 0:
                self._wait(select.POLLOUT, left_s)

    def _wait(self, events: int, timeout_s: float) -> None:
        poll = select.poll()
        poll.register(self._stream, events)
        poll.poll(timeout_s * 1e3)
