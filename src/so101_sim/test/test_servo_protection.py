# SPDX-License-Identifier: Apache-2.0
import pytest
from so101_sim.core import servo_registers as reg
from so101_sim.core.servo_protection import ServoProtection

DT_S = 0.01


def registers(**changes: int) -> bytearray:
    values = reg.factory_registers()
    values[reg.PRESENT_VOLTAGE] = 121
    values[reg.PRESENT_TEMPERATURE] = 31
    values[reg.TORQUE_ENABLE] = 1
    for name, value in changes.items():
        values[getattr(reg, name)] = value
    return values


def run(protection: ServoProtection, values: bytearray, seconds: float, load: float, direction: float = 1.0) -> None:
    for _ in range(round(seconds / DT_S)):
        protection.update(values, DT_S, load, 0, direction)


def test_a_load_above_the_threshold_trips_after_the_protection_time_and_leaves_the_protective_torque() -> None:
    protection, values = ServoProtection(), registers(OVERLOAD_TORQUE=25)
    run(protection, values, 1.95, load=0.5)
    assert (protection.status, protection.torque_ratio(values)) == (0, 1.0)
    run(protection, values, 0.1, load=0.5)
    assert (protection.status, protection.torque_ratio(values)) == (reg.STATUS_OVERLOAD, 0.2)


def test_a_load_below_the_threshold_never_trips_and_resets_the_time() -> None:
    protection, values = ServoProtection(), registers(OVERLOAD_TORQUE=25)
    for _ in range(3):
        run(protection, values, 1.9, load=-0.5)
        run(protection, values, 0.05, load=-0.24)
    assert protection.status == 0


def test_an_overload_stays_until_the_goal_lies_the_other_way() -> None:
    protection, values = ServoProtection(), registers()
    run(protection, values, 2.1, load=-0.9, direction=-1)
    run(protection, values, 1.0, load=-0.1, direction=-1)
    assert protection.status == reg.STATUS_OVERLOAD
    run(protection, values, DT_S, load=-0.1, direction=1)
    assert protection.status == 0


def test_switching_the_torque_off_clears_an_overload() -> None:
    protection, values = ServoProtection(), registers()
    run(protection, values, 2.1, load=0.9)
    values[reg.TORQUE_ENABLE] = 0
    run(protection, values, DT_S, load=0.0)
    assert protection.status == 0


def test_without_its_unloading_condition_an_overload_is_only_reported() -> None:
    protection, values = ServoProtection(), registers(UNLOADING_CONDITION=0)
    run(protection, values, 2.1, load=0.9)
    assert (protection.status, protection.torque_ratio(values)) == (reg.STATUS_OVERLOAD, 1.0)


def test_a_threshold_of_zero_switches_overload_protection_off() -> None:
    protection, values = ServoProtection(), registers(OVERLOAD_TORQUE=0)
    run(protection, values, 5.0, load=1.0)
    assert protection.status == 0


def test_too_much_current_for_the_protection_time_cuts_the_torque() -> None:
    protection, values = ServoProtection(), registers()
    for _ in range(round(2.1 / DT_S)):
        protection.update(values, DT_S, 0.1, 501, 1.0)
    assert (protection.status, protection.torque_ratio(values)) == (reg.STATUS_OVERCURRENT, 0.0)


def test_heat_cuts_the_torque_while_it_lasts() -> None:
    protection, values = ServoProtection(), registers(PRESENT_TEMPERATURE=71)
    run(protection, values, DT_S, load=0.0)
    assert (protection.status, protection.torque_ratio(values)) == (reg.STATUS_OVERHEAT, 0.0)
    values[reg.PRESENT_TEMPERATURE] = 70
    run(protection, values, DT_S, load=0.0)
    assert protection.status == 0


@pytest.mark.parametrize("voltage", [39, 141])
def test_a_voltage_out_of_limits_is_reported_but_drives_on_as_shipped(voltage: int) -> None:
    protection, values = ServoProtection(), registers(PRESENT_VOLTAGE=voltage)
    run(protection, values, DT_S, load=0.0)
    assert (protection.status, protection.torque_ratio(values)) == (reg.STATUS_VOLTAGE, 1.0)
