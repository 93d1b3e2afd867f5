# SPDX-License-Identifier: Apache-2.0
"""The largest packet that crosses the network to another computer in one piece."""

from __future__ import annotations

import errno
import shutil
import socket
import subprocess
import time

# Numbers of Linux (linux/in.h), which Python's socket module does not name.
_IP_MTU_DISCOVER, _IP_PMTUDISC_DO, _IP_MTU = 10, 2, 14

_HEADERS_BYTES = 28  # IPv4 and UDP, or IPv4 and ICMP
_ETHERNET_BYTES = 1500
_LEAST_BYTES = 576  # what every IPv4 host takes
_DISCARD_PORT = 9
_PROBES = 3
_ICMP_WAIT_S = 0.15
_PING_LIMIT_S = 5.0


def known_mtu(peer: str) -> int | None:
    """Return the MTU, bytes, that the kernel knows on its way to `peer`; None where it cannot say.

    Probes that may not be split are sent first: the interface refuses one that is too long, and a router on the way
    replies with what it takes. A router that drops it in silence goes unnoticed: see `confirmed_mtu`.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
            probe.connect((peer, _DISCARD_PORT))
            for _ in range(_PROBES):
                try:
                    probe.send(bytes(_ETHERNET_BYTES - _HEADERS_BYTES))
                except ConnectionRefusedError:  # the peer's reply to an earlier probe: it arrived
                    break
                except OSError as error:
                    if error.errno != errno.EMSGSIZE:
                        return None
                time.sleep(_ICMP_WAIT_S)
            return int(probe.getsockopt(socket.IPPROTO_IP, _IP_MTU))
    except OSError:
        return None


def confirmed_mtu(peer: str) -> int | None:
    """Return the longest packet, bytes, that `peer` replies to; None without `ping`, or where it replies to none."""
    if shutil.which("ping") is None or not _replies(peer, _LEAST_BYTES):
        return None
    low, high = _LEAST_BYTES, _ETHERNET_BYTES
    if _replies(peer, high):
        return high
    while high - low > 1:  # `low` is replied to, `high` is not
        middle = (low + high) // 2
        low, high = (middle, high) if _replies(peer, middle) else (low, middle)
    return low


def _replies(peer: str, packet_bytes: int) -> bool:
    command = ["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", str(packet_bytes - _HEADERS_BYTES), peer]
    try:
        return subprocess.run(command, capture_output=True, timeout=_PING_LIMIT_S, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
