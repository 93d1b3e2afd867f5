# SPDX-License-Identifier: Apache-2.0
"""The doctor's look at a link: each step to the server's link_server, what it found, and where it ended.

It connects as a probe: the server lets it listen to policy_status, and the robot's own connection stays as it is.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from so101_link import RELEASE
from so101_link.core import causes, framing, topics
from so101_link.core.framing import FrameKind, FrameReader, LinkFrame, MessageAssembler
from so101_link.core.hello import Hello, version_fault
from so101_link.core.topics import LinkRole
from so101_link.errors import KeysError, LinkProtocolError
from so101_link.keys.folder import KeyFolder
from so101_link.transport import tcp, tls
from so101_link.transport.dialer import keys_fault
from so101_link.transport.reasons import explain

PINGS: Final = 5
UPLOAD_S: Final = 1.0
UPLOAD_BYTES: Final = 4 << 20
STATUS_S: Final = 2.0
_READ_BYTES: Final = 65536


@dataclass(frozen=True, slots=True)
class ProbeStep:
    """One step: resolve, tcp, tls or hello. `text` says what was found, or in one line why it ended there.

    `cause` is one of `core.causes` where it is not ok.
    """

    name: str
    ok: bool
    text: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a probe found; numbers are None where it did not come so far.

    Attributes:
        steps: in order; where one is not ok it is the last.
        rtt_s: shortest of five round trips through both ends, s.
        mss: largest TCP segment, bytes: MTU less 40 (52 with time stamps).
        congestion_control: of this end's socket.
        protocol: the server's version of the protocol.
        server_release: the server's version of so101_link.
        policy_status_heard: whether a policy server behind link_server speaks to this robot.
        upload_mbit: Mbit/s from here to the server, of an upload of at most a second.
    """

    steps: tuple[ProbeStep, ...] = ()
    rtt_s: float | None = None
    mss: int | None = None
    congestion_control: str = ""
    protocol: int | None = None
    server_release: str = ""
    policy_status_heard: bool | None = None
    upload_mbit: float | None = None

    @property
    def is_ok(self) -> bool:
        """Whether each step was, the last one included."""
        return bool(self.steps) and all(step.ok for step in self.steps) and self.steps[-1].name == "hello"


def probe(
    host: str,
    port: int,
    keys: KeyFolder,
    timeout_s: float = 5.0,
    types: Mapping[str, str] | None = None,
    mss: int | None = None,
) -> ProbeReport:
    """Look at the link from this computer. Never raises for what is wrong with the network, the keys or the server.

    Args:
        host: of the server, as the robot is given it.
        port: of link_server, or of what forwards to it.
        keys: the robot's.
        timeout_s: for each step.
        types: message type -> hash, to tell another version; None leaves that out.
        mss: largest TCP segment to use, bytes; where a small one passes and the usual one does not, packets of the
            usual size are lost on the way in silence.
    """
    steps: list[ProbeStep] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return ProbeReport((_failed("resolve", error, f"{host}: "),))
    addresses = sorted({str(one[4][0]) for one in found})
    steps.append(ProbeStep("resolve", True, f"{host} is {', '.join(addresses)}"))
    begun_s = time.monotonic()
    try:
        connection = _connect(found, timeout_s, mss)
    except OSError as error:
        return ProbeReport((*steps, _failed("tcp", error, f"port {port}: ")))
    took_s = time.monotonic() - begun_s
    with connection:
        tcp.tune(connection)
        found_tcp = tcp.numbers(connection)
        report = ProbeReport(mss=found_tcp.mss, congestion_control=found_tcp.congestion_control)
        steps.append(ProbeStep("tcp", True, f"port {port} accepts after {took_s * 1e3:.0f} ms"))
        fault = keys_fault(keys)
        if fault is not None:
            return replace(report, steps=(*steps, ProbeStep("tls", False, fault.text, fault.cause)))
        try:
            connection.settimeout(timeout_s)
            wrapped = tls.wrap_client(tls.client_context(keys), connection)
            wrapped.do_handshake()
        except (OSError, KeysError) as error:
            return replace(report, steps=(*steps, _failed("tls", error)))
    with wrapped:
        return _talk(_Talk(wrapped), keys, types, replace(report, steps=tuple(steps)))


@dataclass(slots=True)
class _Talk:
    """The frames of one connection, read and written by waiting for them."""

    wrapped: ssl.SSLSocket
    reader: FrameReader = field(default_factory=FrameReader)
    assembler: MessageAssembler = field(default_factory=MessageAssembler)
    waiting: list[LinkFrame] = field(default_factory=list)
    status_heard: bool = False

    def say(self, kind: FrameKind, body: bytes = b"") -> None:
        self.wrapped.sendall(framing.encode(kind, body))

    def frames(self) -> Iterator[LinkFrame]:
        """Give each frame; a PING of the other end is answered, and a message only noted."""
        while True:
            while self.waiting:
                frame = self.waiting.pop(0)
                if frame.kind is FrameKind.PING:
                    self.say(FrameKind.PONG, frame.body)
                elif frame.kind in (FrameKind.PART, FrameKind.LAST_PART):
                    whole = self.assembler.add(frame)
                    if whole is not None and whole[0] == topics.POLICY_STATUS.name:
                        self.status_heard = True
                    yield frame
                else:
                    yield frame
            received = self.wrapped.recv(_READ_BYTES)
            if not received:
                raise ConnectionResetError("closed by the other end")
            self.waiting += self.reader.feed(received)

    def wait_for(self, kind: FrameKind) -> LinkFrame:
        """Return the next frame of this kind. Raises LinkProtocolError with the words of a refusal."""
        for frame in self.frames():
            if frame.kind is kind:
                return frame
            if frame.kind in (FrameKind.REFUSED, FrameKind.FAREWELL):
                raise LinkProtocolError(f"the server says: {framing.text_in(frame.body)}")
        raise LinkProtocolError("nothing more to read")

    def round_trip_s(self) -> float:
        """Return how long a ping takes, behind all that was sent before it."""
        begun_ns = time.monotonic_ns()
        self.wrapped.sendall(framing.encode_time(FrameKind.PING, begun_ns))
        while framing.time_in(self.wait_for(FrameKind.PONG).body) != begun_ns:
            pass
        return (time.monotonic_ns() - begun_ns) / 1e9


def _talk(talk: _Talk, keys: KeyFolder, types: Mapping[str, str] | None, report: ProbeReport) -> ProbeReport:
    steps = report.steps
    try:
        theirs = Hello.decode(talk.wait_for(FrameKind.HELLO).body)
        steps = (*steps, ProbeStep("tls", True, f"{talk.wrapped.version()}, the server's certificate stands"))
        report = replace(report, protocol=theirs.protocol, server_release=theirs.release)
        mine = Hello(LinkRole.PROBE, keys.name, types or {}, release=RELEASE)
        talk.say(FrameKind.HELLO, mine.encode())
        talk.wait_for(FrameKind.WELCOME)
        fault = version_fault(mine, theirs)
        if fault:
            raise LinkProtocolError(fault)
        steps = (*steps, ProbeStep("hello", True, f"so101_link {theirs.release}, welcome as {keys.name}"))
        rtt_s = min(talk.round_trip_s() for _ in range(PINGS))
        upload_mbit = _upload(talk, rtt_s)
        end_s = time.monotonic() + STATUS_S
        while not talk.status_heard and time.monotonic() < end_s:
            talk.round_trip_s()
            time.sleep(0.05)
        talk.say(FrameKind.FAREWELL, b"probed")
    except (OSError, LinkProtocolError) as error:
        if steps and steps[-1].name == "hello":
            return replace(report, steps=(*steps, _failed("measure", error)))
        # A TLS 1.3 client learns that its certificate was refused by the first thing it reads.
        name = "hello" if steps[-1].name == "tls" else "tls"
        return replace(report, steps=(*steps, _failed(name, error)))
    return replace(
        report, steps=steps, rtt_s=rtt_s, upload_mbit=upload_mbit, policy_status_heard=talk.status_heard,
        mss=tcp.numbers(talk.wrapped).mss,
    )  # fmt: skip


def _upload(talk: _Talk, rtt_s: float) -> float:
    begun_s = time.monotonic()
    part = framing.encode(FrameKind.FILL, bytes(framing.PART_BYTES))
    sent = 0
    while sent < UPLOAD_BYTES and time.monotonic() - begun_s < UPLOAD_S:
        talk.wrapped.sendall(part)
        sent += len(part)
    talk.round_trip_s()
    return sent * 8e-6 / max(1e-3, time.monotonic() - begun_s - rtt_s)


def _connect(found: Iterable[Any], timeout_s: float, mss: int | None) -> socket.socket:
    """Connect to the first of these addresses that accepts. Raises OSError, that of the last."""
    failure: OSError | None = None
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(timeout_s)
            if mss is not None:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure or OSError("no address")


def _failed(name: str, error: Exception, before: str = "") -> ProbeStep:
    if isinstance(error, LinkProtocolError):
        return ProbeStep(name, False, before + str(error), causes.REFUSED)
    if isinstance(error, KeysError):
        return ProbeStep(name, False, before + str(error), causes.CERTIFICATE_REFUSED)
    failure = explain(error)
    return ProbeStep(name, False, before + failure.text, failure.cause)
