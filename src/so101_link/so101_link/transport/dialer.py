# SPDX-License-Identifier: Apache-2.0
"""The robot's side: connects to its server, again and again, and says how it stands."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from so101_link.core import causes
from so101_link.core.hello import Hello
from so101_link.core.outbox import Outbox
from so101_link.core.redial import Redial
from so101_link.core.session import LinkSession, MessageReceived, PeerUp
from so101_link.errors import KeysError, LinkAddressError
from so101_link.keys.expiry import Validity, expiry
from so101_link.keys.folder import NAME_OF_SERVER, KeyFolder
from so101_link.transport import tcp, tls
from so101_link.transport.connection import ConnectionEnd, LinkConnection
from so101_link.transport.reasons import LinkFailure, explain
from so101_link.transport.stream import TlsStream
from so101_link.transport.wake import Wake

CONNECT_TIMEOUT_S: Final = 2.0
HANDSHAKE_TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """Where a server listens, as it is reached from the robot."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> LinkAddress:
        """Read HOST:PORT; an IPv6 address stands in brackets. Raises LinkAddressError."""
        if "://" in text:
            raise LinkAddressError(f"{text!r}: must be HOST:PORT, without {text.partition('://')[0].strip()}://")
        host, _, port = text.strip().rpartition(":")
        is_literal = host.startswith("[") and host.endswith("]")
        host = host[1:-1] if is_literal else host
        if host.count(":") > 1 and not is_literal:
            raise LinkAddressError(f"{text!r}: must be HOST:PORT; an IPv6 address in brackets, such as [::1]:7447")
        is_port = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536
        if not _is_host(host) or (":" in host and not is_literal) or not is_port:
            raise LinkAddressError(f"{text!r}: must be HOST:PORT, such as gpu.example.org:7447")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_host(host: str) -> bool:
    """Whether it can be a name or an address at all; "https://gpu" and "gpu..org" cannot."""
    try:
        host.encode("idna")  # as getaddrinfo does, which raises no OSError over it
    except UnicodeError:
        return False
    return bool(host) and not any(sign.isspace() or sign in "/@[]" for sign in host)


@dataclass(frozen=True, slots=True)
class DialerEvents:
    """Called on the dialer's thread.

    up: both ends accept each other; with the congestion control of the socket. received: a message came. down: the
    connection is gone or was not made, and why; said after each attempt.
    """

    up: Callable[[Hello, str], None]
    received: Callable[[MessageReceived], None]
    down: Callable[[ConnectionEnd], None]


def keys_fault(keys: KeyFolder) -> LinkFailure | None:
    """Return why these keys are of no use by this computer's clock; None where they are."""
    state = expiry(keys.name, keys.not_before_s, keys.not_after_s, time.time())
    if state.validity.usable:
        return None
    cause = causes.CLOCK_WRONG if state.validity is Validity.NOT_YET_VALID else causes.CERTIFICATE_REFUSED
    return LinkFailure(cause, f"{state.text} -> {state.remedy}")


def open_tls(address: LinkAddress, keys: KeyFolder) -> TlsStream:
    """Connect and shake hands. Raises OSError, ssl.SSLError among them, and KeysError."""
    connection = socket.create_connection((address.host, address.port), timeout=CONNECT_TIMEOUT_S)
    try:
        tcp.tune(connection)
        stream = TlsStream(connection, tls.client_context(keys), NAME_OF_SERVER)
        stream.do_handshake_within(HANDSHAKE_TIMEOUT_S)
    except BaseException:
        connection.close()
        raise
    return stream


class Dialer:
    """Keeps one connection to a server. Once refused though it was up, it leaves the place to whoever has it.

    Args:
        address: of the server.
        read_keys: reads the robot's keys; asked at each attempt, so that renewed ones count at once.
        hello: what this end says.
        check: why a server is refused, or "".
        outbox: what is sent.
        events: who is told.
    """

    def __init__(
        self,
        address: LinkAddress,
        read_keys: Callable[[], KeyFolder],
        hello: Hello,
        check: Callable[[Hello], str],
        outbox: Outbox,
        events: DialerEvents,
    ) -> None:
        self._address, self._read_keys, self._hello, self._check = address, read_keys, hello, check
        self._outbox, self._events = outbox, events
        self._stopped = threading.Event()
        self._wake = Wake()
        self._connection: LinkConnection | None = None
        self._redial = Redial()
        self._yields = False
        outbox.wake = self._wake.set

    def stop(self, reason: str) -> None:
        """Tell the server, and let `run` end."""
        self._stopped.set()
        connection = self._connection
        if connection is not None:
            connection.stop(reason)

    def rtt_s(self) -> float | None:
        """Return the round trip of the connection that is up, s."""
        connection = self._connection
        rtt_ns = None if connection is None else connection.session.rtt_ns
        return None if rtt_ns is None else rtt_ns / 1e9

    def run(self) -> None:
        """Connect until `stop`."""
        while not self._stopped.is_set():
            end = self._attempt()
            if self._stopped.is_set():
                return
            self._events.down(end)
            is_refusal = end.failure.is_refusal
            self._yields = is_refusal if end.was_up else self._yields
            if end.was_up and not is_refusal:
                wait_s = self._redial.after_success()
            else:
                wait_s = self._redial.after_failure(refused=is_refusal)
            self._stopped.wait(wait_s)

    def _attempt(self) -> ConnectionEnd:
        try:
            keys = self._read_keys()
            unusable = keys_fault(keys)
            if unusable is not None:
                return ConnectionEnd(unusable, was_up=False)
            stream = open_tls(self._address, keys)
        except KeysError as error:
            return ConnectionEnd(LinkFailure(causes.CERTIFICATE_REFUSED, str(error)), was_up=False)
        except OSError as error:
            return ConnectionEnd(explain(error), was_up=False)
        chosen = tcp.congestion_control(stream.socket)
        hello = replace(self._hello, yields=self._yields)
        session = LinkSession(hello, self._check, self._outbox, time.monotonic_ns())

        def heard(event: PeerUp | MessageReceived) -> None:
            if isinstance(event, PeerUp):
                self._outbox.open(time.monotonic_ns())
                self._events.up(event.hello, chosen)
            else:
                self._events.received(event)

        connection = self._connection = LinkConnection(stream, session, heard, self._wake)
        if self._stopped.is_set():
            connection.stop("stopped")
        try:
            return connection.run()
        finally:
            self._connection = None
            self._outbox.close()
