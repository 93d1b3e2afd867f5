# SPDX-License-Identifier: Apache-2.0
"""The interfaces of the two hosts: a veth pair each, whose far end is the wire's.

Device names and addresses are free to choose: every namespace has its own.
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from dataclasses import dataclass

from so101_bench.errors import LinkError

INTERFACE = "wire0"  # the name on either host
MULTICAST = "224.0.0.0/4"
MTU_AND_HEADER = 1514

_SIOCETHTOOL = 0x8946
# Transmit checksum, scatter-gather, TCP segmentation, generic segmentation, generic receive: off, so that the frames
# that cross the wire are those of a real one, whole and at most one MTU long.
_OFFLOADS = (0x17, 0x19, 0x1F, 0x24, 0x2C)

_SOL_PACKET, _PACKET_QDISC_BYPASS, _PACKET_IGNORE_OUTGOING = 263, 20, 23
_SO_RCVBUFFORCE = 33
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_ETH_P_ALL = 0x0003
# What the kernel may hold for the wire, which reads at once and does the waiting itself: an observation of LeRobot is
# 1900 frames.
BUFFER_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Handles on what makes a host: its network, and its mounts, of which only /dev/shm is its own."""

    network: int
    mounts: int


def make_host() -> Namespaces:
    """Put this process onto a new host and return handles on it.

    Shared memory connects the processes of one host, and must not be a way around the wire.

    Raises:
        OSError: not root.
    """
    os.unshare(os.CLONE_NEWNET | os.CLONE_NEWNS)
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", "/dev/shm", "tmpfs", 0)
    _ip("link", "set", "lo", "up")
    return Namespaces(os.open("/proc/self/ns/net", os.O_RDONLY), os.open("/proc/self/ns/mnt", os.O_RDONLY))


def make_end(name: str, address: str, host: int, wire: int) -> socket.socket:
    """Connect the network namespace `host` with this process's, which is `wire`.

    What the host sends comes out of the socket returned, and it receives what is put in.

    Args:
        name: for the far end of the pair.
        address: with the length of the network's prefix, such as 10.98.0.1/24.

    Raises:
        LinkError: a step failed.
    """
    _ip("link", "add", name, "type", "veth", "peer", "name", INTERFACE, "netns", f"/proc/{os.getpid()}/fd/{host}")
    _ip("link", "set", name, "up")
    _switch_offloads_off(name)
    frames = _open_frames(name)
    os.setns(host, os.CLONE_NEWNET)
    try:
        _ip("addr", "add", address, "dev", INTERFACE)
        _ip("link", "set", INTERFACE, "up")
        _ip("route", "add", MULTICAST, "dev", INTERFACE)  # how ROS nodes find each other
        _switch_offloads_off(INTERFACE)
    finally:
        os.setns(wire, os.CLONE_NEWNET)
    return frames


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def _open_frames(name: str) -> socket.socket:
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    frames.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
    frames.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    frames.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
    frames.bind((name, _ETH_P_ALL))
    frames.setblocking(False)
    return frames


def _switch_offloads_off(name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in _OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP16x", name.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(control, _SIOCETHTOOL, request)
            except OSError as error:
                raise LinkError(f"offload {command:#x} of {name} cannot be switched off: {error.strerror}") from error


def _ip(*words: str) -> None:
    try:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LinkError("the command ip is missing; Debian, Ubuntu: apt-get install iproute2") from error
    if done.returncode != 0:
        raise LinkError(f"ip {' '.join(words)}: {done.stderr.strip() or done.returncode}")
