# SPDX-License-Identifier: Apache-2.0
"""Rows about servos, bus, serial port and the driver's process."""

import time

import numpy as np
import pytest
from fault_rig.motion import Sample
from fault_rig.rows import FaultTable
from fault_rig.system import TICK_S, System
from so101_msgs.msg import DriverStatus, QueueStatus, ServoTelemetry

pytestmark = pytest.mark.faults

ROLL = 4  # a joint that stays where it is without torque
TRUE_POSE_SLACK_RAD = 0.05  # the pose is a few milliseconds old when it is published; the arm waves at 0.4 rad/s


def largest_lie(system: System, since_ns: int) -> float:
    """Largest difference between a published position and where that joint really was around that time, rad."""
    middle = system.bounds().lower - np.array(system.watcher.limits.newest.lower)
    samples: list[Sample] = system.motion.since(since_ns)
    times = np.array([sample.t_ns for sample in samples])
    worst = 0.0
    for at, state in system.watcher.joint_states.since(since_ns):
        near = [samples[i].joints for i in np.flatnonzero(np.abs(times - at) < 60_000_000)]
        if near:
            worst = max(worst, float(np.abs(np.array(near) - middle - np.array(state.position)).min(axis=0).max()))
    return worst


def test_one_servo_that_goes_silent_latches_the_others_and_is_named(system: System, table: FaultTable) -> None:
    with table.case(11, "servo of wrist_roll unplugged") as case:
        began_ns = time.monotonic_ns()
        at_ns = case.run(
            system,
            lambda: system.fault("servo_off", ROLL + 1),
            lambda since: system.watcher.driver_is(since, DriverStatus.LATCHED, "SERVO_LOST", "wrist_roll"),
            "LATCHED, SERVO_LOST names wrist_roll",
            0.1,
        )
        time.sleep(0.8)
        others = [index for index in range(6) if index != ROLL]
        assert system.motion.travelled(at_ns + 300_000_000)[others].max() < 0.02
        assert system.motion.violations(system.bounds(), began_ns, without=(ROLL,)) == []
        assert system.watcher.queue.newest.state == QueueStatus.STOPPED
        refused = system.watcher.call("so101_driver/reset")
        assert not refused.success
        assert "wrist_roll" in refused.message


@pytest.mark.parametrize(
    ("fault", "words", "cause"),
    [
        ("overload bit", ("status", 3, ServoTelemetry.ERROR_OVERLOAD), "OVERLOAD"),
        ("overheat bit", ("status", 3, ServoTelemetry.ERROR_OVERHEAT), "OVERHEAT"),
        ("voltage bit", ("status", 3, ServoTelemetry.ERROR_VOLTAGE), "VOLTAGE"),
        ("69 deg C", ("temperature", 3, 69), "OVERHEAT"),
        ("supply at 3.9 V", ("voltage", 3.9), "VOLTAGE"),
    ],
)
def test_a_servo_in_trouble_latches_until_reset_which_is_refused_while_it_lasts(
    system: System, table: FaultTable, fault: str, words: tuple[object, ...], cause: str
) -> None:
    with table.case(12, fault) as case:
        began_ns = time.monotonic_ns()
        case.run(
            system,
            lambda: system.fault(*words),
            lambda since: system.watcher.driver_is(since, DriverStatus.LATCHED, cause),
            f"LATCHED, {cause}",
            0.1,
            control_s=0.5,
        )
        time.sleep(0.3)
        refused = system.watcher.call("so101_driver/reset")
        assert not refused.success
        assert "not reset" in refused.message
        system.fault("clear")
        time.sleep(0.3)
        assert system.watcher.drivers.newest.state == DriverStatus.LATCHED  # not by itself
        assert system.motion.violations(system.bounds(), began_ns) == []
        assert system.watcher.call("so101_driver/reset").success


@pytest.mark.parametrize(
    ("fault", "words"),
    [("5 % of the bytes corrupt", ("corrupt", 5)), ("replies 0.4 s late", ("late_ms", 400))],
)
def test_noise_on_the_bus_ends_in_hold_and_no_servo_speaks_for_another(
    system: System, table: FaultTable, fault: str, words: tuple[object, ...]
) -> None:
    with table.case(13, fault) as case:
        began_ns = time.monotonic_ns()
        case.run(
            system,
            lambda: system.fault(*words),
            lambda since: system.watcher.drivers.first(since, lambda one: one.state != DriverStatus.ENGAGED),
            "the driver holds",
            5 * TICK_S,
        )
        time.sleep(1.0)
        system.fault("clear")
        time.sleep(0.5)
        assert largest_lie(system, began_ns) < TRUE_POSE_SLACK_RAD
        assert system.motion.violations(system.bounds(), began_ns) == []


def test_answers_that_are_held_up_for_a_moment_are_a_pause_and_not_the_end(system: System, table: FaultTable) -> None:
    """Nothing comes damaged: a busy computer hands on late what the port receives, as it does without this rig too."""
    away_s = 0.2
    with table.case(13, f"no answer of any servo for {away_s:g} s") as case:
        began_ns = time.monotonic_ns()

        def hold_up() -> int:
            injected_ns = time.monotonic_ns()
            system.arm.pause()
            time.sleep(away_s)
            system.arm.resume()
            return injected_ns

        held_ns = case.run(
            system,
            hold_up,
            lambda since: system.watcher.driver_is(since, DriverStatus.HOLD, "ANSWERS_LATE"),
            "the driver holds",
            5 * TICK_S,
        )
        system.wait(
            lambda: system.watcher.first_tick(held_ns, lambda one: one.state == QueueStatus.RUNNING),
            "the queue resumes automatically",
        )
        system.wait(system.motion.is_moving, "the arm moves")
        assert system.motion.violations(system.bounds(), began_ns) == []


def test_a_serial_port_that_comes_back_is_taken_up_again_without_a_jump(system: System, table: FaultTable) -> None:
    away_s = 1.0
    with table.case(14, f"serial port gone for {away_s:g} s") as case:
        began_ns = time.monotonic_ns()

        def unplug() -> int:
            system.fault("unplug", away_s)
            return time.monotonic_ns() + round(away_s * 1e9)

        at_ns = case.run(
            system,
            unplug,
            lambda since: system.watcher.drivers.first(since, lambda one: one.state == DriverStatus.HOLD),
            "back in HOLD with torque",
            2.0,
        )
        assert system.watcher.driver_is(began_ns, DriverStatus.NO_BUS, "PORT_LOST") is not None
        time.sleep(0.5)
        assert system.motion.travelled(at_ns).max() < 0.02
        assert system.motion.violations(system.bounds(), began_ns) == []
        assert system.watcher.queue.newest.state == QueueStatus.STOPPED


def test_a_driver_that_is_killed_leaves_the_arm_holding_and_its_successor_moves_nothing(
    system: System, table: FaultTable
) -> None:
    driver_lost_s = 1.0
    with table.case(15, "driver kill -9") as case:
        began_ns = time.monotonic_ns()
        killed_ns = 0

        def kill() -> int:
            nonlocal killed_ns
            system.driver.kill()
            killed_ns = time.monotonic_ns()
            return killed_ns

        case.run(
            system,
            kill,
            lambda since: system.watcher.first_tick(since, lambda one: one.state == QueueStatus.STOPPED),
            "queue STOPPED; the arm stays at its last goal",
            driver_lost_s + TICK_S,
        )
        assert "driver lost" in system.watcher.queue.newest.cause
        # The goal was at most one period of motion ahead, and the joint a little behind it.
        assert system.motion.travelled(killed_ns).max() < 0.05
        before = system.watcher.drivers.newest.driver_id
        restarted_ns = time.monotonic_ns()
        system.driver.start()
        system.wait(
            lambda: system.watcher.drivers.first(
                restarted_ns, lambda one: one.driver_id != before and one.state == DriverStatus.HOLD
            ),
            "the next driver holds",
        )
        time.sleep(0.5)
        assert system.motion.travelled(restarted_ns).max() < 0.02
        assert system.watcher.queue.newest.state == QueueStatus.STOPPED
        assert system.motion.violations(system.bounds(), began_ns) == []
