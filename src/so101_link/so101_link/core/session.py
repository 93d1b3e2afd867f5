# SPDX-License-Identifier: Apache-2.0
"""One connection from its first message to its last: what is said, in which order, and when the other end is dead.

Bytes go in by `receive`, bytes to send come out of `next_bytes`; who calls owns the socket and the clock.

    server                              robot
      HELLO ------------------------------>     version and message types; checked by the robot
           <------------------------------ HELLO     and its name, checked by the server against the certificate
      WELCOME or REFUSED ----------------->
      parts of messages, PING and PONG, both ways; FAREWELL from an end that leaves

The server speaks first: a robot that is refused by TLS has sent nothing yet, and so hears why. A TLS 1.3 client's
handshake ends before its certificate was looked at; it is up by WELCOME only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from so101_link.core import framing
from so101_link.core.framing import PART_BYTES, FrameKind, FrameReader, LinkFrame, MessageAssembler
from so101_link.core.hello import Hello
from so101_link.core.outbox import Outbox, OutgoingMessage
from so101_link.core.topics import LinkRole, LinkTopic, Urgency, topic_of
from so101_link.errors import LinkProtocolError

PING_NS: Final = 500_000_000
DEAD_NS: Final = 2_500_000_000
GREETING_NS: Final = 3_000_000_000
"""In which time the other end must have said who it is."""

FILL_BYTES: Final = 1 << 20
FILL_NS: Final = 1_000_000_000
"""What an end sends once, right after the greeting, behind all else. BBR paces by the rate that it has seen, and a
burst shorter than a round trip shows it no more than burst / round trip: at 100 Mbit/s and 100 ms of round trip 150 kB
and the reply took 161 ms, and 217 after a cut of 1 s; with the path filled once 123 and 123."""

_FILL: Final = framing.encode(FrameKind.FILL, bytes(PART_BYTES))
_SMOOTHING: Final = 0.25


@dataclass(frozen=True, slots=True)
class PeerUp:
    """The other end is there and both accept each other."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A whole message came."""

    topic: LinkTopic
    data: bytes


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Nothing more is to come: why, in one line, and whether one end refused the other."""

    reason: str
    refused: bool = False


type SessionEvent = PeerUp | MessageReceived | SessionEnded


class LinkSession:
    """The conversation of one connection.

    Args:
        mine: what this end says first.
        check: called with the other end's hello; returns why it is refused, or "".
        outbox: what is to be sent while the session is up.
        now_ns: steady time.
    """

    def __init__(self, mine: Hello, check: Callable[[Hello], str], outbox: Outbox, now_ns: int) -> None:
        self._mine, self._check, self._outbox = mine, check, outbox
        self._reader, self._assembler = FrameReader(), MessageAssembler()
        self._control: deque[bytes] = deque()
        self._pong: bytes | None = None
        self._begun: dict[Urgency, tuple[OutgoingMessage, int]] = {}
        self._peer: Hello | None = None
        self._begun_ns = self._heard_ns = now_ns
        self._ping_at_ns = now_ns + PING_NS
        self._fill_bytes = 0
        self._fill_until_ns = now_ns
        self.is_up = False
        self.is_over = False
        self.rtt_ns: int | None = None
        if mine.role is LinkRole.SERVER:
            self._say(FrameKind.HELLO, mine.encode())

    # -- in -----------------------------------------------------------------------------------------------------------

    def receive(self, received: bytes, now_ns: int) -> list[SessionEvent]:
        """Take what came and return what it means. Raises LinkProtocolError."""
        self._heard_ns = now_ns
        events: list[SessionEvent] = []
        for frame in self._reader.feed(received):
            if self.is_over:
                break
            events += self._take(frame, now_ns)
        return events

    def _take(self, frame: LinkFrame, now_ns: int) -> list[SessionEvent]:
        match frame.kind:
            case FrameKind.HELLO:
                return self._greeted(Hello.decode(frame.body), now_ns)
            case FrameKind.REFUSED:
                return self._end(f"refused by the other end: {framing.text_in(frame.body)}", refused=True)
            case FrameKind.FAREWELL:
                return self._end(f"the other end has left: {framing.text_in(frame.body)}")
            case FrameKind.WELCOME:
                return self._go_up(now_ns)
            case FrameKind.PING:
                self._pong = framing.encode(FrameKind.PONG, frame.body)  # the newest only: it may not read them
            case FrameKind.PONG:
                took = max(0, now_ns - framing.time_in(frame.body))
                self.rtt_ns = took if self.rtt_ns is None else round(self.rtt_ns + (took - self.rtt_ns) * _SMOOTHING)
            case FrameKind.PART | FrameKind.LAST_PART:
                return self._message(frame)
            case FrameKind.FILL:
                pass
        return []

    def _greeted(self, theirs: Hello, now_ns: int) -> list[SessionEvent]:
        if self._peer is not None:
            raise LinkProtocolError("a second hello")
        fault = self._check(theirs)
        if fault:
            self._say(FrameKind.REFUSED, fault.encode()[: framing.MAX_TEXT_BYTES])
            return self._end(fault, refused=True)
        self._peer = theirs
        if self._mine.role is LinkRole.SERVER:
            self._say(FrameKind.WELCOME)
            return self._go_up(now_ns)
        self._say(FrameKind.HELLO, self._mine.encode())
        return []

    def _go_up(self, now_ns: int) -> list[SessionEvent]:
        if self._peer is None or self.is_up:
            raise LinkProtocolError("a welcome out of turn")
        self.is_up = True
        if self._peer.role is not LinkRole.PROBE:  # which measures the way undisturbed
            self._fill_bytes, self._fill_until_ns = FILL_BYTES, now_ns + FILL_NS
        return [PeerUp(self._peer)]

    def _message(self, frame: LinkFrame) -> list[SessionEvent]:
        if self._peer is None or not self.is_up:
            raise LinkProtocolError("a message before both ends have greeted")
        whole = self._assembler.add(frame)
        if whole is None:
            return []
        topic = topic_of(whole[0], self._peer.role)
        if topic is None:
            raise LinkProtocolError(f"a message on {whole[0]!r}: a {self._peer.role} has none to send")
        return [MessageReceived(topic, whole[1])]

    def _end(self, reason: str, *, refused: bool = False) -> list[SessionEvent]:
        self.is_over = True
        return [SessionEnded(reason, refused)]

    # -- out ----------------------------------------------------------------------------------------------------------

    def leave(self, reason: str) -> None:
        """Say that this end goes, before all else."""
        self._say(FrameKind.FAREWELL, reason.encode()[: framing.MAX_TEXT_BYTES])
        self.is_over = True

    def dismiss(self, reason: str) -> None:
        """Refuse the other end though it was up, before all else."""
        self._say(FrameKind.REFUSED, reason.encode()[: framing.MAX_TEXT_BYTES])
        self.is_over = True

    def next_bytes(self, now_ns: int) -> bytes | None:
        """Return what is to be written next, at most a part; None where nothing waits.

        What it returned must be written before it is called again.
        """
        if now_ns >= self._ping_at_ns and not self.is_over:
            self._ping_at_ns = now_ns + PING_NS
            if self._peer is not None:
                self._control.append(framing.encode_time(FrameKind.PING, now_ns))
        if self._control:
            return self._control.popleft()
        if self._pong is not None:
            pong, self._pong = self._pong, None
            return pong
        if not self.is_up or self.is_over:
            return None
        for urgency in Urgency:
            message, at = self._begun.pop(urgency, (None, 0))
            if message is None:
                message = self._outbox.take(urgency)
            if message is not None:
                return self._part(urgency, message, at, now_ns)
        if self._fill_bytes > 0 and now_ns < self._fill_until_ns:
            self._fill_bytes -= PART_BYTES
            return _FILL
        return None

    def _part(self, urgency: Urgency, message: OutgoingMessage, at: int, now_ns: int) -> bytes:
        end = at + PART_BYTES
        last = end >= len(message.data)
        if not last:
            self._begun[urgency] = (message, end)
        part = memoryview(message.data)[at:end]
        self._outbox.traffic.sent(len(part), now_ns)
        return framing.encode_part(message.topic.name, part, last=last)

    def _say(self, kind: FrameKind, body: bytes = b"") -> None:
        self._control.append(framing.encode(kind, body))

    # -- time ---------------------------------------------------------------------------------------------------------

    def dead_after_ns(self) -> int:
        """How long nothing may be heard: 2.5 s, or four round trips where those are longer."""
        return max(DEAD_NS, 4 * (self.rtt_ns or 0))

    def wake_at_ns(self) -> int:
        """When `fault` and `next_bytes` must be called again though nothing comes."""
        return min(self._ping_at_ns, self._heard_ns + self.dead_after_ns())

    def fault(self, now_ns: int) -> str:
        """Why the other end counts as dead by now; "" where it does not."""
        silent_ns = now_ns - self._heard_ns
        if silent_ns > self.dead_after_ns():
            return f"nothing heard for {silent_ns / 1e9:.1f} s"
        if not self.is_up and now_ns - self._begun_ns > GREETING_NS:
            return f"the other end has not said who it is for {GREETING_NS / 1e9:g} s"
        return ""
