# SPDX-License-Identifier: Apache-2.0
"""Measures the link on shaped wires (root): `./so101 ros python src/so101_link/test/link_wires.py --help`.

Two network namespaces, DDS on 127.0.0.1 in each, link_echo.py on either side: three frames of 50 kB and a request up, a
chunk back. Prints for each wire how long that took, and what the two nodes of the link used of a core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil
from link_cuts import cut_and_watch
from link_nat import OUTSIDE_PORT, behind_nat, set_mtu, why_no_nat
from link_rig import LinkProcess, link_rig
from so101_bench.two_hosts.hosts import TwoHosts, why_not
from so101_bench.two_hosts.wire import NO_WIRE, Wire
from test_link_faults import Echo

WIRES = {
    "as fast as it goes": NO_WIRE,
    "100 Mbit/s": Wire(rate_mbit=100),
    "100 Mbit/s, 50 ms": Wire(rate_mbit=100, delay_ms=50),
    "20 Mbit/s, 40 ms": Wire(rate_mbit=20, delay_ms=40),
    "20 Mbit/s, 40 ms, 0.1 % loss": Wire(rate_mbit=20, delay_ms=40, loss_pct=0.1),
    "20 Mbit/s, 40 ms, 5 % loss": Wire(rate_mbit=20, delay_ms=40, loss_pct=5),
    "4 Mbit/s, 20 ms": Wire(rate_mbit=4, delay_ms=20),
}
DOMAIN = 7
WARM_UP = 5


@dataclass
class Flow:
    """Requests and chunks that cross a wire."""

    hosts: TwoHosts
    robot: Echo
    server_end: LinkProcess
    robot_end: LinkProcess


@contextmanager
def flow(wire: Wire, options: argparse.Namespace) -> Iterator[Flow]:
    """Both ends joined, the first chunk there; behind NAT and with short packets where the options say so."""
    with (
        tempfile.TemporaryDirectory() as folder,
        TwoHosts(wire) as hosts,
        link_rig(Path(folder), lambda: nullcontext(DOMAIN)) as rig,
        behind_nat(hosts, rig.port) if options.nat else nullcontext(hosts.prefix("server")) as far,
    ):
        near = hosts.prefix("robot")
        if options.mtu:
            set_mtu(hosts, options.mtu)
        waits = ["--wait"] if options.wait else []
        echoes = [Echo(far, DOMAIN, "server"), Echo(near, DOMAIN, "robot", "--period", str(options.period), *waits)]
        try:
            port = OUTSIDE_PORT if options.nat else rig.port
            server_end, robot_end = (
                rig.server(prefix=far),
                rig.robot(prefix=near, address=f"{hosts.address('server')}:{port}"),
            )
            robot_end.wait_for("is up", 30.0)
            echoes[1].first_asked_after(time.monotonic(), 30.0)
            yield Flow(hosts, echoes[1], server_end, robot_end)
        finally:
            for echo in echoes:
                echo.close()


def measure(name: str, wire: Wire, options: argparse.Namespace) -> str:
    """One row of the table."""
    with flow(wire, options) as one:
        ends = [psutil.Process(end.process.pid) for end in (one.server_end, one.robot_end)]
        begun_s, first = time.monotonic(), len(one.robot.chunks)
        used_s = [sum(end.cpu_times()[:2]) for end in ends]
        while time.monotonic() - begun_s < (options.count + WARM_UP) * options.period:
            time.sleep(0.1)
        took_s = time.monotonic() - begun_s
        cores = [(sum(end.cpu_times()[:2]) - before) / took_s for end, before in zip(ends, used_s, strict=True)]
        memory = [end.memory_info().rss >> 20 for end in ends]
        chunks = one.robot.chunks[first + WARM_UP :]
        if not chunks:
            return f"{name:30} none came"
        times = sorted(chunk["took_s"] * 1e3 for chunk in chunks)
        asked = chunks[-1]["request"] - chunks[0]["request"] + 1
    p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
    return (
        f"{name:30} p50 {statistics.median(times):6.0f} ms  p99 {p99:6.0f} ms  {len(times):3} of {asked:.0f} "
        f"({len(times) / took_s:.1f} a second)  "
        f"cores {cores[1]:.3f} robot {cores[0]:.3f} server  {memory[1]} and {memory[0]} MB"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--period", type=float, default=0.333, help="between requests, s")
    parser.add_argument("--wait", action="store_true", help="ask no sooner than the chunk before has come")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--wire", action="append", choices=tuple(WIRES), help="one or more of them; default all")
    parser.add_argument("--nat", action="store_true", help="the server behind NAT, another port outside (iptables)")
    parser.add_argument("--mtu", type=int, default=0, help="of the wire, bytes; default 1500")
    parser.add_argument("--cut", type=float, action="append", default=[], help="cut the wire for so long instead, s")
    parser.add_argument("--watch", type=float, default=60.0, help="after each cut, s")
    options = parser.parse_args(arguments)
    reason = why_not() or (why_no_nat() if options.nat else None)
    if reason:
        sys.exit(f"link_wires: {reason}")
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SYSTEM_DEFAULT"
    config = Path(__file__).parents[3] / "config" / "fastdds_loopback.xml"
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(config)
    for name in options.wire or WIRES:
        if not options.cut:
            print(measure(name, WIRES[name], options), flush=True)
            continue
        with flow(WIRES[name], options) as one:
            for cut_s in options.cut:
                result = cut_and_watch(one.hosts, one.robot, (one.robot_end, one.server_end), cut_s, options.watch)
                print(f"{name:30} {result}", flush=True)


if __name__ == "__main__":
    main()
