# SPDX-License-Identifier: Apache-2.0
"""Measures the link on shaped wires (root): `./so101 ros python src/so101_link/test/link_wires.py --help`.

Two network namespaces, DDS on 127.0.0.1 in each, link_echo.py on either side: three frames of 50 kB and a request up, a
chunk back. Prints for each wire how long that took, and what the two nodes of the link used of a core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import psutil
from link_rig import link_rig
from so101_bench.two_hosts.hosts import TwoHosts
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


def measure(name: str, wire: Wire, period_s: float, count: int) -> str:
    """One row of the table."""
    with (
        tempfile.TemporaryDirectory() as folder,
        TwoHosts(wire) as hosts,
        link_rig(Path(folder), lambda: nullcontext(DOMAIN)) as rig,
    ):
        near, far = hosts.prefix("robot"), hosts.prefix("server")
        echoes = [Echo(far, DOMAIN, "server"), Echo(near, DOMAIN, "robot", "--period", str(period_s))]
        try:
            ends = [rig.server(prefix=far), rig.robot(prefix=near, address=f"{hosts.address('server')}:{rig.port}")]
            ends[1].wait_for("is up", 30.0)
            robot = echoes[1]
            robot.first_asked_after(time.monotonic(), 30.0)
            begun_s, first = time.monotonic(), len(robot.chunks)
            used_s = [sum(psutil.Process(end.process.pid).cpu_times()[:2]) for end in ends]
            while time.monotonic() - begun_s < (count + WARM_UP) * period_s:
                time.sleep(0.1)
            took_s = time.monotonic() - begun_s
            cores = [
                (sum(psutil.Process(end.process.pid).cpu_times()[:2]) - before) / took_s
                for end, before in zip(ends, used_s, strict=True)
            ]
            memory = [psutil.Process(end.process.pid).memory_info().rss >> 20 for end in ends]
            times = sorted(chunk["took_s"] * 1e3 for chunk in robot.chunks[first + WARM_UP :])
            asked = round(took_s / period_s) - WARM_UP
        finally:
            for echo in echoes:
                echo.close()
    if not times:
        return f"{name:30} none of {asked} came"
    p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
    return (
        f"{name:30} p50 {statistics.median(times):6.0f} ms  p99 {p99:6.0f} ms  {len(times):3} of {asked}  "
        f"cores {cores[1]:.3f} robot {cores[0]:.3f} server  {memory[1]} and {memory[0]} MB"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--period", type=float, default=0.333)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--wire", action="append", choices=tuple(WIRES), help="one or more of them; default all")
    options = parser.parse_args()
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SYSTEM_DEFAULT"
    config = Path(__file__).parents[3] / "config" / "fastdds_loopback.xml"
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(config)
    for name in options.wire or WIRES:
        print(measure(name, WIRES[name], options.period, options.count), flush=True)


if __name__ == "__main__":
    main()
