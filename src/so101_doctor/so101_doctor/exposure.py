# SPDX-License-Identifier: Apache-2.0
"""Whether another computer can command the arm: what the DDS sockets of this computer's running nodes are bound to.

A variable such as ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST only decides whom a node looks for. Its sockets still listen
on every interface, and whoever names this computer in ROS_STATIC_PEERS is heard. So sockets are what is looked at.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so101_doctor.check import Checks, Part

_PART = Part("network")
_CHECK = "joint_command"
_PROC = Path("/proc")
_FIRST_PORT, _PORTS_EACH = 7400, 250  # of DDS: 7400 + 250 x domain, two for each process from 10 on
_FIRST_UNICAST = 10
_UNCONNECTED = "07"
_DRIVER = "so101_driver"
_VERB = "so101_node.verb"  # what `./so101` runs a verb with


@dataclass(frozen=True, slots=True)
class DdsSocket:
    """A UDP socket in the port range of a domain: what it is bound to, and the number by which its process is found."""

    address: str
    port: int
    inode: int

    @property
    def is_reachable(self) -> bool:
        """Whether what another computer sends to this one can arrive in it.

        A socket of a multicast group takes announcements only; commands are sent to the sockets of single processes.
        """
        address = ipaddress.ip_address(self.address)
        mapped = getattr(address, "ipv4_mapped", None) or address
        return not (mapped.is_loopback or mapped.is_multicast)


@dataclass(frozen=True, slots=True)
class DdsProcess:
    """A process with sockets of the domain. `pid` is 0 where the process is another user's and cannot be looked at."""

    pid: int
    name: str
    sockets: tuple[DdsSocket, ...]
    discovery_range: str = ""
    needs_keys: bool = False

    @property
    def reachable_at(self) -> tuple[str, ...]:
        """Addresses at which other computers reach it."""
        return tuple(sorted({one.address for one in self.sockets if one.is_reachable}))

    @property
    def shown(self) -> str:
        """The process as people read it."""
        return f"{self.name} (process {self.pid})" if self.pid else self.name


def check_exposure(
    domain: int, subscribers: Collection[int], heard: Collection[int], *, trusted: bool, proc: Path = _PROC
) -> Checks:
    """Red if another computer can publish `joint_command` to a node of this one; nothing where no node runs here.

    Args:
        domain: ROS domain to look at.
        subscribers: the low 16 bits of the process ids of all that subscribe to a joint_command, from anywhere.
        heard: the same of all processes that announced any topic: what the others take is not known.
        trusted: the user trusts everybody on the network: yellow instead of red.
        proc: where the kernel says it.
    """
    processes = dds_processes(domain, proc)
    if not processes:
        return
    known = {one.pid & 0xFFFF for one in processes if one.pid}
    unknown_subscriber = not known.issuperset(subscribers)
    commanded = [
        one
        for one in processes
        if (one.pid & 0xFFFF in subscribers or one.name == _DRIVER if one.pid else unknown_subscriber)
    ]
    silent = [one for one in processes if one.pid and one.pid & 0xFFFF not in heard]
    unheard = [one for one in silent if one.reachable_at and not one.needs_keys]
    if not commanded and unheard:
        text = f"{_listed(unheard)} can be reached from other computers and did not announce what it takes"
        yield _PART.yellow(_CHECK, text, "again with --listen 10")
        return
    if not commanded:
        yield _PART.green(_CHECK, f"no node on this computer takes it, among {_listed(processes)}")
        return
    reachable = [one for one in commanded if one.reachable_at and not one.needs_keys]
    if not reachable:
        locked = [one for one in commanded if one.reachable_at]
        text = "listens on 127.0.0.1 only: no other computer can publish it"
        if locked:
            text = "demands keys of SROS2 of everybody who publishes it"
        yield _PART.green(_CHECK, f"{_listed(locked or commanded)} {text}")
        return
    addresses = sorted({address for one in reachable for address in one.reachable_at})
    text = (
        f"{_listed(reachable)} listens on {', '.join(addresses)}: every computer that reaches this one can publish it, "
        "and move the arm"
    )
    if any(one.discovery_range in ("LOCALHOST", "OFF") for one in reachable):
        text += "; ROS_AUTOMATIC_DISCOVERY_RANGE does not prevent that"
    if trusted:
        yield _PART.yellow(_CHECK, f"{text}; trusted, as you say")
        return
    first = _FIRST_PORT + _PORTS_EACH * domain
    remedy = (
        "dds_profile:=loopback at launch, with server_link:=HOST:PORT if the server is another computer; or a firewall "
        f"that drops UDP {first} to {first + _PORTS_EACH - 1} of others, or SROS2 (docs/explanation/threat-model.md); "
        "if all on this network may move the arm: --trusted-network"
    )
    yield _PART.red(_CHECK, text, remedy)


def dds_processes(domain: int, proc: Path = _PROC) -> list[DdsProcess]:
    """All other processes of this computer that listen in the domain; those of unknown owners as one, with pid 0."""
    sockets = dds_sockets(domain, proc)
    owners = _owners({one.inode for one in sockets}, proc)
    by_owner: dict[int, list[DdsSocket]] = defaultdict(list)
    for one in sockets:
        by_owner[owners.get(one.inode, 0)].append(one)
    by_owner.pop(os.getpid(), None)
    senders = _ephemeral_ports(proc)
    found = []
    for pid, owned in sorted(by_owner.items()):
        listening = _listening(owned, domain, senders)
        if listening:
            found.append(_described(pid, listening, proc))
    return found


def dds_sockets(domain: int, proc: Path = _PROC) -> list[DdsSocket]:
    """All UDP sockets of this computer that are bound to a port of the domain."""
    first = _FIRST_PORT + _PORTS_EACH * domain
    found = []
    for table in ("udp", "udp6"):
        with suppress(OSError):  # no IPv6 in this kernel
            lines = (proc / "net" / table).read_text(encoding="utf-8").splitlines()[1:]
            for fields in map(str.split, lines):
                address, _, port = fields[1].partition(":")
                if fields[3] == _UNCONNECTED and first <= int(port, 16) < first + _PORTS_EACH:
                    found.append(DdsSocket(_address(address), int(port, 16), int(fields[9])))
    return found


def process_numbers(endpoints: Iterable[Any]) -> set[int]:
    """The numbers of the processes behind endpoints (rclpy's TopicEndpointInfo); see `process_number`."""
    return {process_number(one.endpoint_gid) for one in endpoints}


def process_number(endpoint_gid: Sequence[int]) -> int:
    """The low 16 bits of the process id behind an endpoint of Fast DDS: bytes 4 and 5 of its identifier."""
    return int(endpoint_gid[4]) | int(endpoint_gid[5]) << 8


def _address(text: str) -> str:
    """An address as the kernel prints it: words of 32 bits in the computer's own byte order."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)


def _listening(sockets: Iterable[DdsSocket], domain: int, senders: range) -> tuple[DdsSocket, ...]:
    """Those that messages for this process are sent to.

    From domain 102 on the ports are among those that the kernel gives to sockets that only send. A process listens on
    two neighbouring ports, and a socket that only sends has none beside it.
    """
    ports = {one.port for one in sockets}
    first = _FIRST_PORT + _PORTS_EACH * domain + _FIRST_UNICAST

    def listens(port: int) -> bool:
        neighbour = first + (port - first ^ 1)
        return port >= first and (port not in senders or neighbour in ports)

    return tuple(one for one in sockets if listens(one.port))


def _ephemeral_ports(proc: Path) -> range:
    try:
        low, high = (proc / "sys/net/ipv4/ip_local_port_range").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return range(32768, 61000)
    return range(int(low), int(high) + 1)


def _owners(inodes: Collection[int], proc: Path) -> dict[int, int]:
    """Process id by number of socket, of the processes that this user may look at."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, int] = {}
    for folder in proc.glob("[0-9]*"):
        with suppress(OSError):  # another user's, or it has just ended
            for link in (folder / "fd").iterdir():
                with suppress(OSError):
                    inode = wanted.get(str(link.readlink()))
                    if inode is not None:
                        found[inode] = int(folder.name)
    return found


def _described(pid: int, sockets: tuple[DdsSocket, ...], proc: Path) -> DdsProcess:
    if not pid:
        return DdsProcess(0, "a process of another user", sockets)
    words: list[str] = []
    variables: dict[str, str] = {}
    with suppress(OSError):
        words = (proc / str(pid) / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
        entries = (proc / str(pid) / "environ").read_text(encoding="utf-8", errors="replace").split("\0")
        variables = {name: value for name, _, value in (entry.partition("=") for entry in entries)}
    enabled = variables.get("ROS_SECURITY_ENABLE") == "true"  # exactly so: ROS takes "True" for off
    return DdsProcess(
        pid,
        _name(words),
        sockets,
        variables.get("ROS_AUTOMATIC_DISCOVERY_RANGE", ""),
        enabled and variables.get("ROS_SECURITY_STRATEGY") == "Enforce",
    )


def _name(words: Sequence[str]) -> str:
    """What a command line runs: the script or module of an interpreter, else the program."""
    names = [word for word in words if word]
    if names and Path(names[0]).name.startswith("python"):
        # `python -m MODULE ...`, `python SCRIPT ...`, `python -c CODE`; a verb is the module behind _VERB
        names = [name for name in names if name != _VERB]
        for option, value in zip(names[1:], [*names[2:], ""], strict=True):
            if option == "-m" and value:
                return value
            if option == "-c":
                break
            if not option.startswith("-"):
                return Path(option).name
    return Path(names[0]).name if names else "a process"


def _listed(processes: Iterable[DdsProcess]) -> str:
    return ", ".join(one.shown for one in processes)
