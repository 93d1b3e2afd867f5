# SPDX-License-Identifier: Apache-2.0
"""Rows about the action queue's process."""

import signal
import time

import pytest
from fault_rig.rows import FaultTable
from fault_rig.system import TICK_S, System
from so101_msgs.msg import DriverStatus, QueueStatus

LATER_NS = 300_000_000
BLOW_RAD = (
    0.105  # within 0.1 s: the arm waves at 0.31 rad/s and catches up at 0.5; a jump to the plan makes 0.12 to 0.25
)
pytestmark = pytest.mark.faults


def begin_a_session(system: System) -> None:
    """How often commands came late is counted by session, and after the third time in ten seconds it ends."""
    system.watcher.call("action_queue/stop")
    system.recover()


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


@pytest.mark.parametrize(("seconds", "goes_on"), [(0.6, True), (1.5, True), (3.0, False)])
def test_a_queue_that_was_held_up_goes_on_by_itself_after_a_short_time_only(
    system: System, seconds: float, goes_on: bool
) -> None:
    begin_a_session(system)
    began_ns = time.monotonic_ns()
    system.queue.pause()
    time.sleep(seconds)
    resumed_ns = time.monotonic_ns()
    system.queue.resume()
    try:
        if goes_on:
            system.wait(
                lambda: system.watcher.first_tick(resumed_ns + LATER_NS, lambda one: one.state == QueueStatus.RUNNING),
                "the queue runs again",
            )
            system.wait(system.motion.is_moving, "the arm moves again")
            heard = [one.state for _, one in system.watcher.queue.since(resumed_ns)]
            assert QueueStatus.STOPPED not in heard
        else:
            system.wait(
                lambda: system.watcher.queue.first(
                    resumed_ns, lambda one: one.state == QueueStatus.STOPPED and one.cause_name == "HELD_UP"
                ),
                "the queue is stopped",
            )
            time.sleep(1.0)
            assert not system.motion.is_moving()
        assert system.motion.violations(system.bounds(), began_ns) == []
    finally:
        system.recover()


@pytest.mark.parametrize(
    ("seconds", "queue_too"), [(0.15, False), (0.5, False), (0.8, False), (3.0, False), (0.8, True)]
)
def test_a_plan_that_went_on_while_the_driver_was_held_up_is_not_jumped_to(
    system: System, seconds: float, queue_too: bool
) -> None:
    """`queue_too`: both were held up, and the queue runs 0.3 s before the driver does."""
    begin_a_session(system)
    began_ns = time.monotonic_ns()
    system.driver.pause()
    if queue_too:
        system.queue.pause()
    time.sleep(seconds)
    if queue_too:
        system.queue.resume()
        time.sleep(0.3)
    resumed_ns = time.monotonic_ns()
    system.driver.resume()
    try:
        if seconds < 1.0:
            system.wait(
                lambda: system.watcher.first_tick(resumed_ns + LATER_NS, lambda one: one.state == QueueStatus.RUNNING),
                "the queue runs again",
            )
            system.wait(system.motion.is_moving, "the arm moves again")
        time.sleep(1.0)
        assert system.motion.farthest_within(0.1, began_ns) < BLOW_RAD
        assert system.motion.violations(system.bounds(), began_ns) == []
        if seconds > 1.0:  # a command from before was still on its way
            assert not system.motion.is_moving()
    finally:
        system.recover()
