# SPDX-License-Identifier: Apache-2.0
"""A third computer behind the server's host, which lets in one TCP port, under another number, by NAT (iptables)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from so101_bench.two_hosts.hosts import ENTER, TwoHosts
from so101_bench.two_hosts.link import INTERFACE

OUTSIDE_PORT = 41234
_ROUTER, _INSIDE = "10.99.0.1", "10.99.0.2"


def why_no_nat() -> str | None:
    return None if shutil.which("iptables") else "NAT needs the command iptables (apt-get install iptables)"


@contextmanager
def behind_nat(hosts: TwoHosts, port: int) -> Iterator[tuple[str, ...]]:
    """Give the words before a command that shall run behind the NAT, whose OUTSIDE_PORT leads to `port` there."""
    router = hosts.prefix("server")
    make = "mount -t tmpfs none /dev/shm && ip link set lo up && echo made && exec cat"
    with subprocess.Popen(
        ["unshare", "-n", "-m", "sh", "-c", make], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as inside:
        assert inside.stdin is not None and inside.stdout is not None
        try:
            assert inside.stdout.readline() == "made\n"
            there = f"/proc/{inside.pid}/ns"
            prefix = (sys.executable, "-SE", str(ENTER), f"{there}/net", f"{there}/mnt", "--")
            _all(
                router,
                f"ip link add lan0 type veth peer name eth0 netns {inside.pid}",
                f"ip addr add {_ROUTER}/24 dev lan0",
                "ip link set lan0 up",
                "sysctl -qw net.ipv4.ip_forward=1",
                f"iptables -t nat -A PREROUTING -i {INTERFACE} -p tcp --dport {OUTSIDE_PORT}"
                f" -j DNAT --to {_INSIDE}:{port}",
                f"iptables -t nat -A POSTROUTING -o {INTERFACE} -j MASQUERADE",
                "iptables -P FORWARD DROP",
                "iptables -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
                "iptables -A FORWARD -i lan0 -j ACCEPT",
                f"iptables -A FORWARD -i {INTERFACE} -p tcp -d {_INSIDE} --dport {port} -j ACCEPT",
            )
            _all(
                prefix,
                f"ip addr add {_INSIDE}/24 dev eth0",
                "ip link set eth0 up",
                f"ip route add default via {_ROUTER}",
            )
            yield prefix
        finally:
            inside.stdin.close()


def set_mtu(hosts: TwoHosts, mtu: int) -> None:
    """Both ends of the wire take packets of at most so many bytes; a router tells who sends longer ones."""
    for host in ("robot", "server"):
        _all(hosts.prefix(host), f"ip link set {INTERFACE} mtu {mtu}")


def _all(prefix: tuple[str, ...], *commands: str) -> None:
    for command in commands:
        subprocess.run([*prefix, *command.split()], check=True)
