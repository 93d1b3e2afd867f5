"""Rows about the action queue's process."""

import signal
import time

import pytest
from fault_rig.rows import FaultTable
from fault_rig.system import TICK_S, System
from so101_msgs.msg import DriverStatus

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("how", ["kill -9", "SIGSTOP"])
def test_a_queue_that_dies_or_hangs_leaves_the_arm_holding(system: System, table: FaultTable, how: str) -> None:
    with table.case(16, f"queue {how}") as case:
        began_ns = time.monotonic_ns()
        case.run(
            system,
            system.queue.kill if how == "kill -9" else system.queue.pause,
            lambda since: system.watcher.drivers.first(
                since, lambda status: status.state == DriverStatus.HOLD and status.cause == "COMMAND_TIMEOUT"
            ),
            "driver HOLD with COMMAND_TIMEOUT",
            0.1 + TICK_S,
        )
        time.sleep(0.5)
        assert not system.motion.is_moving()
        assert system.motion.violations(system.bounds(), began_ns) == []
    if how == "SIGSTOP":
        system.queue.resume()
        assert system.queue.end(signal.SIGINT)[0] == 0
