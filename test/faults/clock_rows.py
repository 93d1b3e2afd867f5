# SPDX-License-Identifier: Apache-2.0
"""Row about wall clocks: an hour apart, and stepped while everything runs.

Run by test_network_faults in a process of its own, on two hosts: Fast DDS keeps times of the wall clock in its shared
memory, so that processes with different clocks on one host, which no computer has, lose each other.
"""

import mmap
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_rig.far_server import system_on
from fault_rig.restart import measure_restart
from fault_rig.rows import FaultTable
from fault_rig.system import System
from so101_bench.two_hosts.hosts import TwoHosts
from so101_bench.two_hosts.wire import Wire

pytestmark = pytest.mark.faults

HOUR_S = 3600
TICK_ERROR_S = 0.005
WRONG_CLOCK = Path(__file__).parent / "fault_rig" / "wall_clock.c"


class WallClock:
    """The wall clock of one host, wrong by a number of seconds that may change at any time."""

    def __init__(self, library: Path, file: Path) -> None:
        file.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET_FILE": str(file)}
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), 8)

    def step(self, offset_s: int) -> None:
        """From now on be wrong by this."""
        self._memory[:] = struct.pack("<q", offset_s)


@pytest.fixture(scope="module")
def wrong_clocks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, WallClock]:
    folder = tmp_path_factory.mktemp("clocks")
    library = folder / "wall_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, WRONG_CLOCK, "-ldl", "-pthread"], check=True)
    return {name: WallClock(library, folder / name) for name in ("robot", "server")}


@pytest.fixture(scope="module")
def two_clocks(wrong_clocks: dict[str, WallClock], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    robot, server = wrong_clocks["robot"].environment, wrong_clocks["server"].environment
    folder = tmp_path_factory.mktemp("two_clocks")
    with TwoHosts(Wire(rate_mbit=100.0)) as hosts, system_on(hosts, folder, robot, server).running() as system:
        yield system


def apart_s(system: System, since_ns: int) -> list[float]:
    """How far the stamps of chunks are ahead of those of their questions, s."""
    asked = {one.request_id: one.header.stamp.sec for _, one in system.watcher.requests.since(since_ns)}
    chunks = [one for _, one in system.watcher.chunks.since(since_ns) if one.request_id in asked]
    return [chunk.header.stamp.sec - asked[chunk.request_id] for chunk in chunks]


def test_wall_clocks_hours_apart_or_stepped_while_running_have_no_effect(
    two_clocks: System, wrong_clocks: dict[str, WallClock], table: FaultTable
) -> None:
    two_clocks.recover()
    try:
        step_all(two_clocks, wrong_clocks, table)
        restart_the_server(two_clocks, table)
    finally:
        for clock in wrong_clocks.values():
            clock.step(0)


def step_all(system: System, clocks: dict[str, WallClock], table: FaultTable) -> None:
    """The server's clock, then the robot's, back and on."""
    apart = 0
    for fault, host, offset_s, apart_then_s in (
        ("the server's clock steps on by 1 h", "server", HOUR_S, HOUR_S),
        ("then the robot's clock steps back by 1 h", "robot", -HOUR_S, 2 * HOUR_S),
        ("then the robot's clock steps on by 4 h", "robot", 3 * HOUR_S, -2 * HOUR_S),
    ):
        with table.case(9, fault) as case:
            before_ns = time.monotonic_ns()
            time.sleep(2.5)
            before_s = apart_s(system, before_ns)
            assert before_s and all(abs(seconds - apart) < 10 for seconds in before_s)
            began_ns = time.monotonic_ns()
            clocks[host].step(offset_s)
            time.sleep(6.0)
            after_s = apart_s(system, began_ns + 1_500_000_000)
            assert after_s and all(abs(seconds - apart_then_s) < 10 for seconds in after_s), system.summary()
            ticks, starved = system.starved_since(began_ns)
            assert ticks > 150
            assert starved == 0
            assert system.motion.violations(system.bounds(), began_ns) == []
            control = f"stamps were {before_s[-1]:.0f} s apart before and {after_s[-1]:.0f} s after"
            case.measured("no effect: p99 of the tick's error", system.tick_error_s(began_ns), TICK_ERROR_S, control)
        apart = apart_then_s


def restart_the_server(system: System, table: FaultTable) -> None:
    """While the clocks are two hours apart."""
    with table.case(9, "the server restarted, clocks 2 h apart") as case:
        began_ns = time.monotonic_ns()
        measure_restart(system, case)
        assert system.motion.violations(system.bounds(), began_ns) == []
