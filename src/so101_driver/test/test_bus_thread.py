# SPDX-License-Identifier: Apache-2.0
"""The 60 Hz thread on servos in memory."""

import threading
import time

import numpy as np
import pytest
from so101_driver.core.arm import Arm
from so101_driver.core.calibration import Calibration
from so101_driver.core.control_cycle import ControlCycle, Snapshot
from so101_driver.core.gate_values import GateConfig
from so101_driver.core.motion_limits import MotionLimits
from so101_driver.core.safety_gate import SafetyGate
from so101_driver.ros.bus_thread import BusThread
from so101_driver.testing.memory_bus import MemoryBus
from so101_node.protocol import DriverState
from so101_node.threads import FatalSlot, NewestValueThread, NodeError

PERIOD_S = 1 / 60


class Collected:
    """Snapshots of a running thread."""

    def __init__(self, bus: MemoryBus, calibration: Calibration) -> None:
        limits = MotionLimits(calibration.lower_rad(), calibration.upper_rad(), np.full(6, 6.0), np.full(6, 300.0))
        gate = SafetyGate(GateConfig(limits=limits, park_positions=np.zeros(6)))
        self.snapshots: list[Snapshot] = []
        self.fatal = FatalSlot("the arm keeps holding")
        self.thread = BusThread(ControlCycle(Arm(bus, calibration), gate), PERIOD_S, self.snapshots.append, self.fatal)

    def wait_for(self, state: DriverState) -> None:
        deadline = time.monotonic() + 10
        while not self.snapshots or self.snapshots[-1].status.state is not state:
            assert time.monotonic() < deadline, f"never came to {state.name}"
            time.sleep(0.01)


@pytest.fixture
def running(memory_bus: MemoryBus, calibration: Calibration) -> Collected:
    return Collected(memory_bus, calibration)


def test_ticks_stay_on_the_grid_of_the_first(running: Collected) -> None:
    running.thread.start()
    time.sleep(1.0)
    running.thread.stop()
    first = running.snapshots[0].now_ns
    ticks = len(running.snapshots) + running.thread.missed_deadlines
    elapsed_periods = (running.snapshots[-1].now_ns - first) / 1e9 / PERIOD_S
    assert ticks == pytest.approx(elapsed_periods, abs=2)  # however busy the machine: no drift, no burst


def test_commands_are_handed_over_and_unreadable_ones_counted(running: Collected) -> None:
    running.thread.start()
    running.wait_for(DriverState.HOLD)
    running.thread.command(np.zeros(6), time.monotonic_ns())
    running.thread.command(None, time.monotonic_ns())
    running.wait_for(DriverState.ENGAGED)
    running.thread.stop()
    status = running.snapshots[-1].status
    assert (status.accepted, status.rejected) == (1, 1)


def test_requests_are_answered_at_once(running: Collected) -> None:
    running.thread.start()
    running.wait_for(DriverState.HOLD)
    assert running.thread.request(SafetyGate.emergency_stop).accepted
    running.wait_for(DriverState.LATCHED)
    running.thread.stop()


def test_stopping_leaves_the_servos_holding(running: Collected, memory_bus: MemoryBus) -> None:
    running.thread.start()
    running.wait_for(DriverState.HOLD)
    running.thread.stop()
    assert all(memory_bus.registers[servo_id][40] == 1 for servo_id in range(1, 7))
    assert running.snapshots[-1].status.cause == "STOPPING"
    running.thread.stop()  # a second time does no harm


def test_a_defect_is_kept_for_the_node_to_report(running: Collected, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: MemoryBus, servo_ids: object) -> object:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(MemoryBus, "read_states", broken)
    running.thread.start()
    deadline = time.monotonic() + 10
    while not running.fatal.is_set and time.monotonic() < deadline:
        time.sleep(0.01)
    assert isinstance(running.fatal.cause, ZeroDivisionError)
    with pytest.raises(NodeError, match=r"^internal error in thread servo_bus: .*a defect; the arm keeps holding$"):
        running.fatal.check()
    running.thread.stop()


def test_a_slow_publisher_gets_the_newest_snapshot_and_delays_nobody(running: Collected) -> None:
    taken: list[Snapshot] = []
    go = threading.Event()

    def slow(snapshot: Snapshot) -> None:
        taken.append(snapshot)
        go.wait(5)

    publisher = NewestValueThread("publish", {"snapshot": slow}, FatalSlot())
    publisher.start()
    running.thread._on_snapshot = lambda snapshot: (
        publisher.offer("snapshot", snapshot),
        running.snapshots.append(snapshot),
    )
    running.thread.start()
    running.wait_for(DriverState.HOLD)
    time.sleep(0.3)
    running.thread.stop()
    assert len(taken) == 1
    go.set()
    publisher.stop()
    assert taken[-1] is running.snapshots[-1]
