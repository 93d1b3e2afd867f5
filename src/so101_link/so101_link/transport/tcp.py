# SPDX-License-Identifier: Apache-2.0
"""What the link asks of TCP, socket by socket, and what it got."""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import Final

# Of Linux; Python names only some of them.
_TCP_INFO: Final = 11
_TCP_CONGESTION: Final = 13
_TCP_USER_TIMEOUT: Final = 18
_TCP_NOTSENT_LOWAT: Final = 25

WANTED_CONGESTION_CONTROL: Final = "bbr"
"""With 20 Mbit/s and 40 ms one way an observation and its chunk take 151 ms; with reno, which starts slowly after each
pause and takes a lost packet for a full wire, 23 of 25 were not there within 1 s at 5 % loss."""

UNSENT_BYTES: Final = 16384
"""What the kernel may hold that is not on the wire yet: the rest waits in the outbox, where newer replaces it."""

USER_TIMEOUT_MS: Final = 10_000
"""When the kernel gives up a connection that is closed on this side and dead on the other."""


@dataclass(frozen=True, slots=True)
class TcpNumbers:
    """What the kernel says of a connection: round trip, s; largest segment, bytes; congestion control."""

    rtt_s: float
    mss: int
    congestion_control: str


def tune(connection: socket.socket) -> str:
    """Set the options of the link; return the congestion control that the socket has now."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in ((_TCP_NOTSENT_LOWAT, UNSENT_BYTES), (_TCP_USER_TIMEOUT, USER_TIMEOUT_MS)):
        with contextlib.suppress(OSError):  # slower without, and not wrong
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
    with contextlib.suppress(OSError):  # the kernel has no BBR, or gives it to root only
        connection.setsockopt(socket.IPPROTO_TCP, _TCP_CONGESTION, WANTED_CONGESTION_CONTROL.encode())
    return congestion_control(connection)


def congestion_control(connection: socket.socket) -> str:
    """Return the name of the socket's congestion control; "" where it cannot be told."""
    try:
        name = connection.getsockopt(socket.IPPROTO_TCP, _TCP_CONGESTION, 16)
    except OSError:
        return ""
    return name.split(b"\0")[0].decode(errors="replace")


def numbers(connection: socket.socket) -> TcpNumbers:
    """Return what the kernel says now; zeros where it says nothing."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 104)
        mss, rtt_us = struct.unpack_from("=I", info, 16)[0], struct.unpack_from("=I", info, 68)[0]
    except (OSError, struct.error):
        mss, rtt_us = 0, 0
    return TcpNumbers(rtt_us / 1e6, mss, congestion_control(connection))
