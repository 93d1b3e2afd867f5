# SPDX-License-Identifier: Apache-2.0
"""What a DDS profile does on shaped wires (root): prints one line of the table in config/fastdds_network.xml.

`./so101 ros python src/so101_bench/test/dds_wires.py PROFILE [COUNT]`; PROFILE is `network`, `vpn`, `none` or a file.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from so101_bench.two_hosts.hosts import TwoHosts
from so101_bench.two_hosts.link import INTERFACE
from so101_bench.two_hosts.wire import NO_WIRE, Wire

CONFIG = Path(get_package_share_directory("so101_config"))
ECHO = Path(__file__).with_name("dds_echo.py")
HOSTS = ("robot", "server")
# Requests follow each other at 1.5 times of what an undisturbed one takes, or at 0.3 s.
WIRES = (
    (Wire(rate_mbit=100), 0.3),
    (Wire(rate_mbit=100, loss_pct=1), 0.3),
    (Wire(rate_mbit=20, delay_ms=40), 0.5),
    (Wire(rate_mbit=20, delay_ms=40, loss_pct=5), 0.5),
    (Wire(rate_mbit=5, delay_ms=20), 0.5),
)


@dataclass(frozen=True, slots=True)
class Echoes:
    """What was seen of `count` requests, each of three frames of 50 kB, and of the chunks that replied.

    Attributes:
        times_ms: round trips; None for a chunk that did not come within a second.
        to_server, to_robot: Ethernet frames that crossed the wire, for each request.
        ip_fragments: packets that either host had to split, as parts; discovery included.
    """

    times_ms: list[float | None]
    to_server: float
    to_robot: float
    ip_fragments: int

    @property
    def arrived_ms(self) -> list[float]:
        """The round trips that came to an end, the shortest first."""
        return sorted(time_ms for time_ms in self.times_ms if time_ms is not None)

    def __str__(self) -> str:
        """As in the table: p50 / p99 in ms, those missed, packets to the server for each request."""
        arrived, sent = self.arrived_ms, len(self.times_ms)
        missed = f", {sent - len(arrived)} of {sent} missed" if len(arrived) < sent else ""
        if not arrived:
            return f"all missed 1 s ({self.to_server:.0f})"
        p99 = arrived[min(len(arrived) - 1, int(len(arrived) * 0.99))]
        return f"{statistics.median(arrived):.0f} / {p99:.0f}{missed} ({self.to_server:.0f})"


def environment(profile: str) -> dict[str, str]:
    """Return the environment of a process that uses a profile of config/, a file, or `none`."""
    result = {**os.environ, "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    result.pop("FASTRTPS_DEFAULT_PROFILES_FILE", None)
    if profile == "udp":
        result["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SYSTEM_DEFAULT"  # as the launch files do
    if profile != "none":
        file = profile if profile.endswith(".xml") else str(CONFIG / f"fastdds_{profile}.xml")
        result["FASTRTPS_DEFAULT_PROFILES_FILE"] = file
    return result


def set_mtu(network: TwoHosts, mtu: int) -> None:
    """From now on no packet of either host is longer."""
    for host in HOSTS:
        subprocess.run([*network.prefix(host), "ip", "link", "set", "dev", INTERFACE, "mtu", str(mtu)], check=True)


def ip_fragments(network: TwoHosts, host: str) -> int:
    """Return how many IP fragments the kernel of a host has made so far."""
    table = [*network.prefix(host), "grep", "^Ip:", "/proc/net/snmp"]
    names, values = subprocess.run(table, capture_output=True, text=True, check=True).stdout.splitlines()
    return int(dict(zip(names.split(), values.split(), strict=True))["FragCreates"])


def echo(profile: str, wire: Wire, count: int, period_s: float, mtu: int = 1500) -> Echoes:
    """Send `count` requests over a wire, one each `period_s`, and count what it carries."""
    with TwoHosts(NO_WIRE) as network:
        set_mtu(network, mtu)
        env = environment(profile)
        server = subprocess.Popen(
            [*network.prefix("server"), sys.executable, str(ECHO), "server"], env=env, stdout=subprocess.PIPE, text=True
        )
        robot = None
        try:
            assert server.stdout is not None and server.stdout.readline() == "up\n"
            network.shape(wire)
            command = [*network.prefix("robot"), sys.executable, str(ECHO), "robot", str(count), str(period_s)]
            robot = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
            assert robot.stdout is not None and robot.stdout.readline() == "up\n"
            before = network.counts()["carried"]
            times = json.loads(robot.stdout.readline())
            time.sleep(wire.delay_ms / 1e3)  # what is still under way
            after = network.counts()["carried"]
            fragments = sum(ip_fragments(network, host) for host in HOSTS)
        finally:
            for process in (robot, server):
                if process is not None:
                    process.kill()
                    process.wait()
    up, down = ((then - at_first) / count for then, at_first in zip(after, before, strict=True))
    return Echoes(times, up, down, fragments)


def main() -> None:
    """Print what a profile does on each wire."""
    profile = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    print(f"{profile}: p50 / p99 in ms (packets to the server for each request)")
    for wire, period_s in WIRES:
        print(f"  {wire}: {echo(profile, wire, count, period_s)}", flush=True)


if __name__ == "__main__":
    main()
