"""The repair command, on the emulated servos."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from so101_driver.configure_servos import main
from so101_driver.feetech_bus import FeetechBus
from so101_driver.registers import Register
from so101_sim.virtual_arm_client import RunningVirtualArm

from so101_driver import registers as reg


@contextmanager
def bus_of(arm: RunningVirtualArm) -> Iterator[FeetechBus]:
    bus = FeetechBus(str(arm.port), reply_timeout_s=0.1)
    bus.open()
    yield bus
    bus.close()


def spoil(arm: RunningVirtualArm, servo_id: int, register: Register, value: int) -> None:
    """Write a value that lasts, with torque off everywhere."""
    with bus_of(arm) as bus:
        for every in range(1, 7):
            bus.write_register(every, reg.TORQUE_ENABLE, 0)
        bus.write_register(servo_id, reg.LOCK, 0)
        bus.write_register(servo_id, register, value)
        bus.write_register(servo_id, reg.LOCK, 1)


def value_of(arm: RunningVirtualArm, servo_id: int, register: Register) -> int:
    with bus_of(arm) as bus:
        return register.decode(bus.read_block(servo_id, *reg.EEPROM_BLOCK))


def run(arm: RunningVirtualArm, *options: str) -> int:
    arguments = ["--port", str(arm.port), "--robot-id", "virtual", "--calibration-dir", str(arm.calibration.parent)]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *options])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_servos_as_lerobot_leaves_them_need_nothing(
    virtual_arm: RunningVirtualArm, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(virtual_arm) == 0
    assert "all servos agree" in capsys.readouterr().out


def test_without_being_asked_it_reports_and_writes_nothing(
    virtual_arm: RunningVirtualArm, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(virtual_arm, 6, reg.MAX_TORQUE_LIMIT, 1000)
    assert run(virtual_arm) == 1
    out = capsys.readouterr().out
    assert "gripper Max_Torque_Limit is 1000, should be 500" in out
    assert "--write-settings" in out
    assert value_of(virtual_arm, 6, reg.MAX_TORQUE_LIMIT) == 1000
    assert run(virtual_arm, "--write-settings") == 0
    assert value_of(virtual_arm, 6, reg.MAX_TORQUE_LIMIT) == 500


def test_what_it_writes_survives_a_power_cycle(virtual_arm: RunningVirtualArm) -> None:
    spoil(virtual_arm, 2, reg.P_COEFFICIENT, 32)
    assert run(virtual_arm, "--write-settings") == 0
    virtual_arm.client.fault("power_cycle")
    assert value_of(virtual_arm, 2, reg.P_COEFFICIENT) == 16


def test_the_calibration_is_written_only_by_its_own_option(
    virtual_arm: RunningVirtualArm, capsys: pytest.CaptureFixture[str]
) -> None:
    before = value_of(virtual_arm, 3, reg.HOMING_OFFSET)
    spoil(virtual_arm, 3, reg.HOMING_OFFSET, before + 5)
    assert run(virtual_arm, "--write-settings") == 1
    assert value_of(virtual_arm, 3, reg.HOMING_OFFSET) == before + 5
    assert "--write-calibration" in capsys.readouterr().out
    assert run(virtual_arm, "--write-calibration") == 0
    assert value_of(virtual_arm, 3, reg.HOMING_OFFSET) == before


def test_nothing_is_written_while_a_servo_has_torque(
    virtual_arm: RunningVirtualArm, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(virtual_arm, 1, reg.D_COEFFICIENT, 0)
    with bus_of(virtual_arm) as bus:
        bus.write_register(4, reg.TORQUE_ENABLE, 1)
    assert run(virtual_arm, "--write-settings") == 1
    assert "torque is on" in capsys.readouterr().err
    assert value_of(virtual_arm, 1, reg.D_COEFFICIENT) == 0
    assert run(virtual_arm, "--write-settings", "--release") == 0
    assert value_of(virtual_arm, 1, reg.D_COEFFICIENT) == 32


def torque_of(arm: RunningVirtualArm) -> list[int]:
    with bus_of(arm) as bus:
        blocks = [bus.read_block(servo_id, *reg.CONTROL_BLOCK) for servo_id in range(1, 7)]
    return [reg.TORQUE_ENABLE.decode(block, reg.CONTROL_BLOCK[0]) for block in blocks]


def torque_on_everywhere(arm: RunningVirtualArm) -> None:
    with bus_of(arm) as bus:
        for servo_id in range(1, 7):
            bus.write_register(servo_id, reg.TORQUE_ENABLE, 1)


def release(arm: RunningVirtualArm, *options: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["--port", str(arm.port), "--release", *options])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("options", [(), ("--robot-id", "nobody", "--calibration-dir", "/nowhere")])
def test_letting_go_needs_no_calibration(virtual_arm: RunningVirtualArm, options: tuple[str, ...]) -> None:
    """It is what people turn to when the driver is dead and the arm is rigid."""
    torque_on_everywhere(virtual_arm)
    assert release(virtual_arm, *options) == (1 if options else 0)
    assert torque_of(virtual_arm) == [0] * 6


def test_letting_go_passes_over_a_silent_servo_and_a_bad_supply(
    virtual_arm: RunningVirtualArm, capsys: pytest.CaptureFixture[str]
) -> None:
    torque_on_everywhere(virtual_arm)
    virtual_arm.client.fault("servo_off", 3)
    virtual_arm.client.fault("voltage", 3.5)
    try:
        assert release(virtual_arm) == 1
        said = capsys.readouterr()
        assert "elbow_flex (id 3)" in said.err
        assert "torque is off at the others" in said.out
    finally:
        virtual_arm.client.fault("clear")
    assert torque_of(virtual_arm) == [0] * 6


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--robot-id", "nobody", "--calibration-dir", "/nowhere"])
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("configure_servos: no calibration for robot_id")
    assert error.count("\n") == 1
