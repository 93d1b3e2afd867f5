# SPDX-License-Identifier: Apache-2.0
"""The server's side: one port, and handshakes that no stranger can hold up.

All handshakes go side by side on one thread, a bounded number of them, each for a bounded time. A connection whose
certificate stands is handed over; no other thread has touched its TLS before.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from so101_link.core import causes
from so101_link.core.strangers import Strangers
from so101_link.errors import KeysError, ListenError
from so101_link.keys.folder import KeyFolder, Peer, peer_of
from so101_link.transport import tcp, tls
from so101_link.transport.reasons import LinkFailure, explain
from so101_link.transport.stream import TlsStream
from so101_link.transport.wake import Wake

HANDSHAKE_NS: Final = 4_000_000_000
MAX_HANDSHAKES: Final = 128
"""At once; one more ends the oldest of the address that has the most, so that a flood from there hits itself."""

_BACKLOG: Final = 256
_ACCEPTED_AT_ONCE: Final = 32
_KEYS_EVERY_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class AcceptedRobot:
    """A connection whose certificate stands.

    Attributes:
        connection: handed over with all rights and duties.
        peer: what the certificate says.
        address: where it comes from.
        fault: why it is to be refused all the same, in one line; "" where it is welcome.
        congestion_control: of the socket.
    """

    connection: TlsStream
    peer: Peer
    address: str
    fault: str
    congestion_control: str


@dataclass(slots=True)
class _Handshake:
    connection: TlsStream
    address: str
    begun_ns: int
    congestion_control: str


class Listener:
    """Listens on one port of all interfaces.

    Args:
        port: TCP.
        read_keys: reads the server's keys; asked again once a second, so that renewed ones count.
        accepted: called on the listener's thread with each robot; must not block.
        refused: called with one line for the log, not more often than people can read.

    Raises:
        KeysError: the keys cannot be used.
        ListenError: the port cannot be had.
    """

    def __init__(
        self,
        port: int,
        read_keys: Callable[[], KeyFolder],
        accepted: Callable[[AcceptedRobot], None],
        refused: Callable[[str], None],
        host: str = "",
    ) -> None:
        self._read_keys, self._accepted, self._refused = read_keys, accepted, refused
        self.strangers = Strangers()
        self._keys = read_keys()
        self._context = tls.server_context(self._keys)
        self._keys_read_ns = time.monotonic_ns()
        self._socket = _listen(host, port)
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])
        self._wake = Wake()
        self._stopped = False
        self._handshakes: dict[int, _Handshake] = {}

    def stop(self) -> None:
        """Let `run` end, from any thread."""
        self._stopped = True
        self._wake.set()

    def run(self) -> None:
        """Accept until `stop`."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        try:
            while not self._stopped:
                for file, _ in poll.poll(500 if self._handshakes or self.strangers.is_waiting else 5000):
                    if file == self._socket.fileno():
                        self._accept(poll)
                    elif file in self._handshakes:
                        self._shake(poll, file)
                self._expire(poll, time.monotonic_ns())
        finally:
            for handshake in self._handshakes.values():
                handshake.connection.close()
            self._socket.close()

    def _accept(self, poll: select.poll) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptors left: those of strangers come back within seconds
                self._stranger("", LinkFailure(causes.STRANGERS, error.strerror or str(error)))
                time.sleep(0.05)
                return
            if len(self._handshakes) >= MAX_HANDSHAKES:
                self._drop(poll, self._crowded(), LinkFailure(causes.STRANGERS, "too many at once"))
            try:
                chosen = tcp.tune(connection)
                stream = TlsStream(connection, self._context_now())
            except OSError as error:
                self._stranger(_shown(address), explain(error))
                connection.close()
                continue
            file = stream.fileno()
            self._handshakes[file] = _Handshake(stream, _shown(address), time.monotonic_ns(), chosen)
            poll.register(file, select.POLLIN)

    def _crowded(self) -> int:
        counts = Counter(handshake.address for handshake in self._handshakes.values())
        address = counts.most_common(1)[0][0]
        return next(file for file, handshake in self._handshakes.items() if handshake.address == address)

    def _context_now(self) -> ssl.SSLContext:
        now_ns = time.monotonic_ns()
        if now_ns - self._keys_read_ns > _KEYS_EVERY_NS:
            self._keys_read_ns = now_ns
            try:
                keys = self._read_keys()
                if keys != self._keys:
                    self._context, self._keys = tls.server_context(keys), keys
            except KeysError as error:  # those in force go on until they expire
                self._stranger("keys", LinkFailure(causes.CERTIFICATE_REFUSED, str(error)))
        return self._context

    def _shake(self, poll: select.poll, file: int) -> None:
        handshake = self._handshakes[file]
        try:
            handshake.connection.do_handshake()
        except ssl.SSLWantReadError:
            poll.modify(file, select.POLLIN)
        except ssl.SSLWantWriteError:
            poll.modify(file, select.POLLOUT)
        except OSError as error:
            self._drop(poll, file, explain(error))
        else:
            poll.unregister(file)
            del self._handshakes[file]
            self._hand_over(handshake)

    def _hand_over(self, handshake: _Handshake) -> None:
        try:
            peer = peer_of(handshake.connection.peer_certificate())
        except KeysError as error:
            self._stranger(handshake.address, LinkFailure(causes.CERTIFICATE_REFUSED, str(error)))
            handshake.connection.close()
            return
        self._accepted(
            AcceptedRobot(
                handshake.connection, peer, handshake.address, self._fault(peer), handshake.congestion_control
            )
        )

    def _fault(self, peer: Peer) -> str:
        try:
            revoked = self._keys.revoked_serials()
        except KeysError as error:
            return f"the server cannot tell which certificates are revoked, and admits none: {error}"
        if peer.serial in revoked:
            return f"the certificate of {peer.name}, number {peer.serial:x}, is revoked: it needs new keys"
        if peer.role != "robot":
            return f"the certificate of {peer.name} is no robot's: give link_keys the folder of this robot"
        return ""

    def _expire(self, poll: select.poll, now_ns: int) -> None:
        for file, handshake in tuple(self._handshakes.items()):
            if now_ns - handshake.begun_ns <= HANDSHAKE_NS:
                break  # the younger ones follow
            self._drop(poll, file, LinkFailure(causes.STRANGERS, "nothing said in time"))
        line = self.strangers.line(now_ns)
        if line:
            self._refused(line)

    def _drop(self, poll: select.poll, file: int, why: LinkFailure) -> None:
        handshake = self._handshakes.pop(file)
        with contextlib.suppress(KeyError):
            poll.unregister(file)
        handshake.connection.close()
        self._stranger(handshake.address, why)

    def _stranger(self, address: str, why: LinkFailure) -> None:
        self.strangers.add(address, why.text)
        line = self.strangers.line(time.monotonic_ns())
        if line:
            self._refused(line)


def _shown(address: tuple[object, ...]) -> str:
    return str(address[0]).removeprefix("::ffff:")  # an IPv4 address as an IPv6 socket shows it


def _listen(host: str, port: int) -> socket.socket:
    try:
        if not host and socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
        family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise ListenError(f"link_address = {host!r}: is no address of this computer: {error.strerror}") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"port {port} is in use: another link_server or program has it (ss -ltnp 'sport = :{port}')"
        elif error.errno == errno.EACCES:
            text = f"port {port} is not for this user: take one above 1023"
        elif error.errno == errno.EADDRNOTAVAIL:
            text = f"link_address = {host!r}: is no address of this computer (ip -brief address shows them)"
        else:
            text = f"port {port} cannot be listened on: {error.strerror}"
        raise ListenError(text) from error
