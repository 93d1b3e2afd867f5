# SPDX-License-Identifier: Apache-2.0
"""Rows about the network between robot and server: two network namespaces and a wire between them.

Run by test_network_faults in a process of its own: Fast DDS remembers the interfaces that a process saw first.
"""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from fault_rig.far_server import system_on
from fault_rig.rows import FaultTable
from fault_rig.system import TICK_S, System
from so101_bench.two_hosts.hosts import TwoHosts
from so101_bench.two_hosts.wire import Wire
from so101_msgs.msg import QueueStatus

pytestmark = pytest.mark.faults

NEAR = Wire(rate_mbit=100.0)
TICK_ERROR_S = 0.005
SEAM_RAD, WAVE_RAD = 0.05, 0.012


@pytest.fixture(scope="module")
def hosts() -> Iterator[TwoHosts]:
    with TwoHosts(NEAR) as made:
        yield made


@pytest.fixture(scope="module")
def two_hosts_system(hosts: TwoHosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with system_on(hosts, tmp_path_factory.mktemp("two_hosts")).running() as system:
        yield system


@pytest.fixture
def system(two_hosts_system: System, hosts: TwoHosts) -> System:
    hosts.heal()
    hosts.shape(NEAR)
    two_hosts_system.recover()
    return two_hosts_system


def test_a_cut_wire_is_played_out_held_and_overcome_when_it_heals(
    system: System, hosts: TwoHosts, table: FaultTable
) -> None:
    began_ns = time.monotonic_ns()
    with table.case(1, "wire cut") as case:
        held_ns = case.run(
            system,
            hosts.cut,
            lambda since: system.watcher.first_tick(
                since, lambda one: one.state in (QueueStatus.STARVED, QueueStatus.HOLDING)
            ),
            "rows played out, then the setpoint held, after the queue's end",
            TICK_S,
            counted_from=system.end_of_queue,
        )
        system.wait(
            lambda: system.watcher.first_tick(held_ns, lambda one: "server lost" in one.cause), "the loss is named"
        )
        time.sleep(0.5)
        assert not system.motion.is_moving()
    with table.case(1, "wire healed after 4 s") as case:
        case.run(
            system,
            hosts.heal,
            lambda since: system.watcher.first_tick(since, lambda one: one.state == QueueStatus.RUNNING),
            "rows are executed again, nobody called start",
            3.0,
            control_s=2.0,
        )
        time.sleep(1.0)
        assert system.steps_of_setpoint(began_ns) < SEAM_RAD + WAVE_RAD
        assert system.motion.violations(system.bounds(), began_ns) == []


@pytest.mark.parametrize(
    ("wire", "most_starved"),
    [
        (Wire(delay_ms=40, jitter_ms=10, loss_pct=5, rate_mbit=20), 0.0),
        (Wire(delay_ms=100, jitter_ms=10, loss_pct=5, rate_mbit=20), 0.01),
    ],
    ids=["40 ms", "100 ms"],
)
def test_a_bad_network_costs_neither_ticks_nor_rows(
    system: System, hosts: TwoHosts, table: FaultTable, wire: Wire, most_starved: float
) -> None:
    with table.case(21, str(wire)) as case:
        near_ns = time.monotonic_ns()
        time.sleep(3.0)
        near_s = float(np.nanmedian([one.round_trip_last for _, one in system.watcher.queue.since(near_ns)]))
        hosts.shape(wire)
        time.sleep(15.0)  # the first answers teach the queue how far away the server is now
        began_ns = time.monotonic_ns()
        time.sleep(20.0)
        far_s = float(np.nanmedian([one.round_trip_last for _, one in system.watcher.queue.since(began_ns)]))
        assert far_s > 2 * max(wire.delay_ms / 1e3, near_s), f"a round trip of {far_s:.3f} s: the wire is another"
        ticks, starved = system.starved_since(began_ns)
        assert ticks > 500
        assert starved <= most_starved * ticks, f"{starved} of {ticks} ticks starved"
        assert system.motion.violations(system.bounds(), began_ns) == []
        control = f"round trip {near_s * 1e3:.0f} ms before, {far_s * 1e3:.0f} ms with the wire so"
        reaction = f"{starved} of {ticks} ticks starved; p99 of the tick's error"
        case.measured(reaction, system.tick_error_s(began_ns), TICK_ERROR_S, control)
