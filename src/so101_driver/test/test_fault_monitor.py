# SPDX-License-Identifier: Apache-2.0
"""Faults judged from readings."""

from dataclasses import replace

import numpy as np
import pytest
from so101_driver.core import causes
from so101_driver.core.arm import ArmReading
from so101_driver.core.fault_monitor import FaultFindings, FaultLimits, FaultMonitor
from so101_driver.core.registers import StatusBits
from so101_node.protocol import JOINT_NAMES

TICK_NS = 16_666_667
ON = np.ones(6, dtype=np.bool_)


def reading(**columns: object) -> ArmReading:
    """A healthy arm at 0 rad; each keyword replaces a column by {joint index: value}."""
    values = {
        "positions": np.zeros(6),
        "velocities": np.zeros(6),
        "loads": np.zeros(6),
        "voltages": np.full(6, 12.0),
        "temperatures": np.full(6, 30.0),
        "currents": np.full(6, 0.1),
        "error_bits": np.zeros(6, dtype=np.int64),
        "answered": np.ones(6, dtype=np.bool_),
    }
    for name, changes in columns.items():
        for index, value in dict(changes).items():  # type: ignore[call-overload]
            values[name][index] = value
    values["positions"][~values["answered"]] = np.nan
    return ArmReading(**values)  # type: ignore[arg-type]


class Ticks:
    """A monitor and a clock."""

    def __init__(self, limits: FaultLimits | None = None) -> None:
        self.monitor = FaultMonitor(limits or FaultLimits())
        self.now_ns = 0
        self.goal = np.zeros(6)

    def run(self, what: ArmReading, ticks: int = 1) -> FaultFindings:
        for _ in range(ticks):
            self.now_ns += TICK_NS
            findings = self.monitor.update(what, self.goal, ON, self.now_ns)
        return findings


def test_a_healthy_arm_has_no_findings() -> None:
    assert Ticks().run(reading(), 600) == FaultFindings(silent=False, noisy=False, faults=())


def test_an_unplugged_servo_is_named_within_100_ms() -> None:
    ticks = Ticks()
    ticks.run(reading(), 10)
    gone = reading(answered={2: False})
    assert ticks.run(gone, 2).fault is None
    fault = ticks.run(gone).fault
    assert fault is not None
    assert fault.cause == causes.SERVO_LOST
    assert "elbow_flex" in fault.message
    assert 4 * TICK_NS < 70_000_000


def test_noise_that_hides_servos_is_noise_and_not_an_unplugged_servo() -> None:
    ticks = Ticks()
    ticks.run(reading(), 10)
    for step in range(12):
        findings = ticks.run(replace(reading(answered={step % 6: False}), garbled=True))
    assert findings == FaultFindings(silent=False, noisy=True, faults=())


def test_a_bus_of_which_nothing_is_heard_is_late_and_not_noisy_unless_something_came_damaged() -> None:
    nothing = reading(answered=dict.fromkeys(range(6), False))
    others: list[ArmReading | None] = [None, replace(nothing, garbled=True), reading(answered={2: False})]
    for other, late in zip(others, (True, False, False), strict=True):
        ticks = Ticks()
        ticks.run(reading(), 10)
        assert ticks.run(nothing, 4) == FaultFindings(silent=False, noisy=False, faults=())
        assert ticks.run(other or nothing) == FaultFindings(silent=False, noisy=True, faults=(), late=late)
        ticks.run(reading())
        assert ticks.run(nothing, 5).late


def test_a_servo_that_noise_hides_for_a_second_counts_as_lost() -> None:
    ticks = Ticks()
    ticks.run(reading(), 10)
    noisy = replace(reading(answered={3: False}), garbled=True)
    assert ticks.run(noisy, 55).fault is None
    fault = ticks.run(noisy, 10).fault
    assert fault is not None
    assert fault.cause == causes.SERVO_LOST


def test_two_bad_ticks_are_forgiven() -> None:
    ticks = Ticks()
    for _ in range(20):
        assert ticks.run(reading(answered={1: False}), 2) == FaultFindings(silent=False, noisy=False, faults=())
        ticks.run(reading())


def test_silence_of_all_servos_is_the_bus_and_not_a_servo() -> None:
    ticks = Ticks()
    ticks.run(reading(), 10)
    nobody = reading(answered=dict.fromkeys(range(6), False))
    findings = ticks.run(nobody, 17)
    assert findings == FaultFindings(silent=False, noisy=True, faults=(), late=True)
    findings = ticks.run(nobody, 2)  # 0.3 s
    assert findings.silent
    assert findings.fault is None


def test_where_ticks_take_long_two_of_them_are_enough_to_call_a_servo_lost() -> None:
    monitor = FaultMonitor(FaultLimits())
    monitor.update(reading(), np.zeros(6), ON, 0)
    gone = reading(answered={2: False})
    assert monitor.update(gone, np.zeros(6), ON, 45_000_000).fault is None
    fault = monitor.update(gone, np.zeros(6), ON, 90_000_000).fault
    assert fault is not None
    assert fault.cause == causes.SERVO_LOST


@pytest.mark.parametrize(
    ("bit", "cause"),
    [
        (StatusBits.OVERLOAD, causes.OVERLOAD),
        (StatusBits.OVERCURRENT, causes.OVERCURRENT),
        (StatusBits.OVERHEAT, causes.OVERHEAT),
        (StatusBits.VOLTAGE, causes.VOLTAGE),
        (StatusBits.ANGLE, causes.ANGLE_SENSOR),
    ],
)
@pytest.mark.parametrize("joint", range(5))
def test_each_status_bit_of_each_arm_joint_is_a_fault_after_three_ticks(
    bit: StatusBits, cause: str, joint: int
) -> None:
    ticks = Ticks()
    bad = reading(error_bits={joint: bit})
    assert ticks.run(bad, 2).fault is None
    fault = ticks.run(bad).fault
    assert fault is not None
    assert (fault.cause, fault.joints) == (cause, (joint,))
    assert JOINT_NAMES[joint] in fault.message


def test_a_single_odd_reading_is_no_fault() -> None:
    ticks = Ticks()
    for _ in range(50):
        ticks.run(reading(temperatures={0: 200.0}), 2)
        assert ticks.run(reading()).fault is None


def test_the_gripper_may_report_overload_because_holding_an_object_does() -> None:
    holding = reading(error_bits={5: StatusBits.OVERLOAD | StatusBits.OVERCURRENT})
    assert Ticks().run(holding, 10).fault is None
    strict = Ticks(FaultLimits(gripper_overload_latches=True))
    assert strict.run(holding, 10).fault is not None
    hot = reading(error_bits={5: StatusBits.OVERHEAT})
    assert Ticks().run(hot, 10).fault is not None


@pytest.mark.parametrize(
    ("column", "value", "cause"), [("temperatures", 65.1, causes.OVERHEAT), ("voltages", 3.9, causes.VOLTAGE)]
)
def test_measured_heat_and_low_voltage_are_faults_with_the_number(column: str, value: float, cause: str) -> None:
    fault = Ticks().run(reading(**{column: {4: value}}), 3).fault
    assert fault is not None
    assert fault.cause == cause
    assert f"{value:.1f}" in fault.message or f"{value:.0f}" in fault.message


def test_a_health_fault_is_confirmed_across_a_tick_in_which_the_servo_was_silent() -> None:
    ticks = Ticks()
    hot = reading(temperatures={0: 90.0})
    ticks.run(hot, 2)
    ticks.run(reading(answered={0: False}))
    assert ticks.run(hot).fault is not None


def test_a_stall_needs_current_and_error_and_time() -> None:
    limits = FaultLimits(stall_current_a=1.0, stall_error_rad=0.2, stall_time_s=0.5)
    pressing = reading(positions={1: -0.3}, currents={1: 1.5})
    for harmless in (
        reading(positions={1: -0.3}, currents={1: 0.9}),
        reading(positions={1: -0.1}, currents={1: 1.5}),
    ):
        assert Ticks(limits).run(harmless, 100).fault is None
    ticks = Ticks(limits)
    assert ticks.run(pressing, 30).fault is None  # 29 ticks = 0.48 s after the first
    fault = ticks.run(pressing, 2).fault
    assert fault is not None
    assert (fault.cause, fault.joints) == (causes.STALL, (1,))


def test_a_moment_of_freedom_restarts_the_stall_clock() -> None:
    ticks = Ticks()
    pressing = reading(positions={1: -0.3}, currents={1: 2.0})
    for _ in range(10):
        assert ticks.run(pressing, 25).fault is None
        ticks.run(reading())


def test_the_gripper_may_press() -> None:
    assert Ticks().run(reading(positions={5: -0.5}, currents={5: 2.0}), 200).fault is None


def test_a_limp_servo_cannot_stall() -> None:
    monitor = FaultMonitor(FaultLimits())
    pressing = reading(positions={1: -0.3}, currents={1: 2.0})
    for tick in range(100):
        findings = monitor.update(pressing, np.zeros(6), np.zeros(6, dtype=np.bool_), tick * TICK_NS)
    assert findings.fault is None


def test_standing_faults_are_those_of_the_moment() -> None:
    ticks = Ticks()
    hot = reading(temperatures={0: 90.0})
    ticks.run(hot, 10)
    assert [fault.cause for fault in ticks.monitor.standing(hot)] == [causes.OVERHEAT]
    assert ticks.monitor.standing(reading()) == []


def test_a_reset_forgets_what_was_counted() -> None:
    ticks = Ticks()
    bad = reading(error_bits={0: StatusBits.OVERLOAD})
    ticks.run(bad, 2)
    ticks.monitor.reset()
    assert ticks.run(bad, 2).fault is None


def test_few_bad_ticks_that_take_long_are_noise_too() -> None:
    monitor = FaultMonitor(FaultLimits())
    noise = replace(reading(answered={1: False}), garbled=True)
    noisy = [monitor.update(noise, np.zeros(6), ON, tick * 50_000_000).noisy for tick in range(3)]
    assert noisy == [False, False, True]


def test_every_joint_that_is_not_well_is_found_and_not_only_the_first() -> None:
    sick = reading(temperatures={1: 90.0, 3: 90.0}, error_bits={1: StatusBits.OVERHEAT, 2: StatusBits.OVERLOAD})
    faults = Ticks().run(sick, 3).faults
    assert [(fault.cause, fault.joints) for fault in faults] == [(causes.OVERHEAT, (1, 3)), (causes.OVERLOAD, (2,))]
    assert "shoulder_lift" in faults[0].message
    assert "wrist_flex" in faults[0].message


def test_a_lost_servo_hides_no_hot_one() -> None:
    ticks = Ticks()
    sick = reading(answered={2: False}, temperatures={1: 90.0})
    assert [fault.cause for fault in ticks.run(sick, 4).faults] == [causes.SERVO_LOST, causes.OVERHEAT]
