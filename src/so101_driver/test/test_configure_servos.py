# SPDX-License-Identifier: Apache-2.0
"""The repair command, on the emulated servos."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from so101_driver.configure.config_file import driver_parameters
from so101_driver.configure.configure_servos import main
from so101_driver.core import registers as reg
from so101_driver.core.registers import Register
from so101_driver.core.servo_settings import Gains, repair_command
from so101_driver.servos.feetech_bus import FeetechBus
from so101_sim.virtual_arm_client import RunningVirtualArm


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


NAMED = ("--arm-id", "virtual")


@pytest.fixture(autouse=True)
def backups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where registers are kept before they are written."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(tmp_path / "calibration"))
    return tmp_path / "so101" / "servo_backups"


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def run(arm: RunningVirtualArm, *options: str) -> int:
    arguments = ["--port", str(arm.port), "--robot-id", "virtual", "--calibration-dir", str(arm.calibration.parent)]
    return call(*arguments, *options)


def registers_of(arm: RunningVirtualArm) -> dict[int, bytes]:
    with bus_of(arm) as bus:
        return {servo_id: bus.read_block(servo_id, *reg.EEPROM_BLOCK) for servo_id in range(1, 7)}


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
    assert run(virtual_arm, "--write-settings", *NAMED) == 0
    assert value_of(virtual_arm, 6, reg.MAX_TORQUE_LIMIT) == 500


def test_what_it_writes_survives_a_power_cycle(virtual_arm: RunningVirtualArm) -> None:
    spoil(virtual_arm, 2, reg.P_COEFFICIENT, 32)
    assert run(virtual_arm, "--write-settings", *NAMED) == 0
    virtual_arm.client.fault("power_cycle")
    assert value_of(virtual_arm, 2, reg.P_COEFFICIENT) == 16


def test_the_calibration_is_written_only_by_its_own_option(
    virtual_arm: RunningVirtualArm, capsys: pytest.CaptureFixture[str]
) -> None:
    before = value_of(virtual_arm, 3, reg.HOMING_OFFSET)
    spoil(virtual_arm, 3, reg.HOMING_OFFSET, before + 5)
    assert run(virtual_arm, "--write-settings", *NAMED) == 1
    assert value_of(virtual_arm, 3, reg.HOMING_OFFSET) == before + 5
    assert "--write-calibration" in capsys.readouterr().out
    assert run(virtual_arm, "--write-calibration", *NAMED) == 0
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
    assert run(virtual_arm, "--write-settings", "--release", *NAMED) == 0
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
    return call("--port", str(arm.port), "--release", *options)


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
    assert call("--robot-id", "nobody", "--calibration-dir", "/nowhere") == 1
    error = capsys.readouterr().err
    assert error.startswith("configure_servos: no calibration for robot_id")
    assert error.count("\n") == 1


LEADER_OFFSETS = (-1200, 801, -33, 1555, -870, 402)


@pytest.fixture
def leader(virtual_arm: RunningVirtualArm, tmp_path: Path) -> Iterator[Path]:
    """The leader is plugged in where the follower was; LeRobot's folder holds its calibration."""
    original = registers_of(virtual_arm)
    joints = json.loads(virtual_arm.calibration.read_text())
    for joint, offset in zip(joints.values(), LEADER_OFFSETS, strict=True):
        joint["homing_offset"] = offset
        spoil(virtual_arm, joint["id"], reg.HOMING_OFFSET, offset)
    path = tmp_path / "calibration/teleoperators/so_leader/my_leader.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(joints))
    yield path
    for servo_id, block in original.items():
        spoil(virtual_arm, servo_id, reg.HOMING_OFFSET, reg.HOMING_OFFSET.decode(block))
        spoil(virtual_arm, servo_id, reg.P_COEFFICIENT, 16)


def test_the_leaders_servos_are_recognised_and_no_way_to_write_over_them_is_advised_first(
    virtual_arm: RunningVirtualArm, leader: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = registers_of(virtual_arm)
    assert run(virtual_arm) == 1
    out = capsys.readouterr().out
    assert "looks like another arm than virtual: 6 of 6 homing offsets differ" in out
    assert "its servos hold the calibration teleoperators/so_leader/my_leader.json" in out
    assert "serial port" in out  # those of this computer, or that it has none
    assert out.index("name the port of virtual") < out.index("--write-calibration")
    assert "to write the calibration" not in out
    assert registers_of(virtual_arm) == before


@pytest.mark.parametrize(
    ("named", "said"),
    [((), "--arm-id virtual"), (("--arm-id", "my_leader"), "named my_leader"), (("--arm-id", "Virtual"), "Virtual")],
)
def test_nothing_is_written_into_an_arm_that_nobody_named_or_that_was_named_otherwise(
    virtual_arm: RunningVirtualArm,
    leader: Path,
    backups: Path,
    capsys: pytest.CaptureFixture[str],
    named: tuple[str, ...],
    said: str,
) -> None:
    before = registers_of(virtual_arm)
    assert run(virtual_arm, "--write-calibration", "--write-settings", *named) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("configure_servos: nothing written")
    assert said in error
    assert registers_of(virtual_arm) == before
    assert not backups.exists()


def test_a_leader_that_was_written_over_is_restored_by_the_command_that_was_printed(
    virtual_arm: RunningVirtualArm, leader: Path, backups: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(virtual_arm, 3, reg.P_COEFFICIENT, 48)
    before = registers_of(virtual_arm)
    assert run(virtual_arm, "--write-calibration", "--write-settings", *NAMED) == 0
    assert registers_of(virtual_arm) != before
    command = re.search(r"`ros2 run so101_driver configure_servos (.*)` writes it back", capsys.readouterr().out)
    assert command
    assert str(backups) in command[1]
    assert call(*command[1].split()) == 0
    assert registers_of(virtual_arm) == before
    virtual_arm.client.fault("power_cycle")
    assert registers_of(virtual_arm) == before
    assert call(*command[1].split()) == 0  # nothing is left to do: no question, no further backup
    assert len(list(backups.iterdir())) == 2


def test_what_is_to_be_typed_can_be_typed_where_names_have_blanks(
    virtual_arm: RunningVirtualArm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my calibrations" / "my arm.json"
    path.parent.mkdir()
    path.write_text(virtual_arm.calibration.read_text())
    spoil(virtual_arm, 2, reg.D_COEFFICIENT, 30)
    advised = repair_command(str(virtual_arm.port), "my arm", str(path.parent), Gains(), ["wrist_roll", "gripper"])
    words = shlex.split(advised)[4:]
    assert call(*words) == 1
    assert call(*words, "--write-settings", "--backup-dir", str(tmp_path / "my backups")) == 1
    add = re.search(r"add `(.*?)`", capsys.readouterr().err)
    assert add
    assert call(*words, "--write-settings", "--backup-dir", str(tmp_path / "my backups"), *shlex.split(add[1])) == 0
    undo = re.search(r"`ros2 run so101_driver configure_servos (.*)` writes it back", capsys.readouterr().out)
    assert undo
    assert call(*shlex.split(undo[1])) == 0
    assert value_of(virtual_arm, 2, reg.D_COEFFICIENT) == 30
    spoil(virtual_arm, 2, reg.D_COEFFICIENT, 32)


@pytest.mark.parametrize("more", [("--write-calibration",), ("--robot-id", "other"), ("--write-settings", *NAMED)])
def test_a_restore_that_asks_for_something_else_too_writes_nothing(
    virtual_arm: RunningVirtualArm, backups: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    spoil(virtual_arm, 2, reg.D_COEFFICIENT, 30)
    assert run(virtual_arm, "--write-settings", *NAMED) == 0
    (backup,) = backups.iterdir()
    assert call("--restore", str(backup), *more) == 1
    assert "--restore" in (error := capsys.readouterr().err) or "is of virtual, not of other" in error
    assert value_of(virtual_arm, 2, reg.D_COEFFICIENT) == 32


def test_a_backup_of_another_arm_is_not_restored_unless_the_arm_is_named(
    virtual_arm: RunningVirtualArm, leader: Path, backups: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(virtual_arm, "--write-calibration", *NAMED) == 0
    (backup,) = backups.iterdir()
    spoil(virtual_arm, 2, reg.HOMING_OFFSET, 7)  # neither what it held nor what was written
    before = registers_of(virtual_arm)
    where = ("--port", str(virtual_arm.port), "--restore", str(backup))
    assert call(*where) == 1
    error = capsys.readouterr().err
    assert "shoulder_lift Homing_Offset is 7" in error
    assert "--arm-id virtual" in error
    assert registers_of(virtual_arm) == before
    assert call(*where, *NAMED) == 0
    assert value_of(virtual_arm, 2, reg.HOMING_OFFSET) == LEADER_OFFSETS[1]


def test_nothing_is_restored_while_a_servo_has_torque_or_is_silent(
    virtual_arm: RunningVirtualArm, leader: Path, backups: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(virtual_arm, "--write-calibration", *NAMED) == 0
    (backup,) = backups.iterdir()
    where = ("--port", str(virtual_arm.port), "--restore", str(backup))
    with bus_of(virtual_arm) as bus:
        bus.write_register(4, reg.TORQUE_ENABLE, 1)
    assert call(*where) == 1
    assert "torque is on" in capsys.readouterr().err
    virtual_arm.client.fault("servo_off", 5)
    assert call(*where) == 1
    assert "servo 5" in capsys.readouterr().err
    virtual_arm.client.fault("clear")
    assert value_of(virtual_arm, 1, reg.HOMING_OFFSET) != LEADER_OFFSETS[0]
    assert call(*where, "--release") == 0
    assert value_of(virtual_arm, 1, reg.HOMING_OFFSET) == LEADER_OFFSETS[0]


def test_without_a_place_for_the_backup_nothing_is_written(
    virtual_arm: RunningVirtualArm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(virtual_arm, 2, reg.P_COEFFICIENT, 32)
    (tmp_path / "file").touch()
    assert run(virtual_arm, "--write-settings", *NAMED, "--backup-dir", str(tmp_path / "file")) == 1
    assert "nothing written: no backup can be kept" in capsys.readouterr().err
    assert value_of(virtual_arm, 2, reg.P_COEFFICIENT) == 32
    spoil(virtual_arm, 6, reg.P_COEFFICIENT, 32)
    assert run(virtual_arm, "--position-p-coefficient", "48") == 1
    out = capsys.readouterr().out
    assert "the gains differ from joint to joint" in out  # 32 for all of them would not keep what they have
    assert "set position_p_coefficient" not in out
    assert run(virtual_arm, "--write-settings", *NAMED) == 0


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"format": "so101 servo backup 1", "robot_id": "a", "port": "b"}']
)
def test_what_is_no_backup_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    path = tmp_path / "arm.json"
    path.write_text(content)
    assert call("--port", "/dev/null", "--restore", str(path)) == 1
    error = capsys.readouterr().err
    assert str(path) in error
    assert error.count("\n") == 1


def test_somebody_at_a_terminal_is_asked_for_the_arms_id(
    virtual_arm: RunningVirtualArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(text: str) -> Callable[[str], str]:
        return lambda question: asked.append(question) or text  # type: ignore[func-returns-value]

    spoil(virtual_arm, 2, reg.P_COEFFICIENT, 32)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for typed, code in (("", 1), ("my_leader", 1), ("virtual", 0)):
        monkeypatch.setattr("builtins.input", answer(typed))
        assert run(virtual_arm, "--write-settings") == code
        assert value_of(virtual_arm, 2, reg.P_COEFFICIENT) == (16 if code == 0 else 32)
    assert "(virtual)" in asked[0]


def test_gains_of_ones_own_are_right_where_they_are_named_and_are_kept(
    virtual_arm: RunningVirtualArm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for servo_id in range(1, 7):
        spoil(virtual_arm, servo_id, reg.P_COEFFICIENT, 48)
    assert run(virtual_arm) == 1
    out = capsys.readouterr().out
    assert "set position_p_coefficient: 48 of so101_driver" in out
    assert "--position-p-coefficient 48" in out
    assert run(virtual_arm, "--position-p-coefficient", "48") == 0
    assert "LeRobot's settings with P 48, I 0, D 32" in capsys.readouterr().out
    config = tmp_path / "robot.yaml"
    content = {"port": str(virtual_arm.port), "robot_id": "virtual", "position_p_coefficient": 48}
    content["calibration_dir"] = str(virtual_arm.calibration.parent)
    config.write_text(yaml.safe_dump({"/**/so101_driver": {"ros__parameters": content}}))
    assert call("--config", str(config)) == 0
    assert run(virtual_arm, "--write-settings") == 1  # nobody was asked
    error = capsys.readouterr().err
    assert "careful: gains are written over; to keep the servos' gains" in error
    assert value_of(virtual_arm, 4, reg.P_COEFFICIENT) == 48
    assert run(virtual_arm, "--write-settings", *NAMED) == 0
    assert value_of(virtual_arm, 4, reg.P_COEFFICIENT) == 16
    capsys.readouterr()
    assert call("--config", str(config), "--write-settings", *NAMED) == 0
    assert "careful" not in capsys.readouterr().err  # nobody had chosen LeRobot's
    assert [value_of(virtual_arm, servo_id, reg.P_COEFFICIENT) for servo_id in range(1, 7)] == [48] * 6
    spoil(virtual_arm, 6, reg.P_COEFFICIENT, 32)
    assert run(virtual_arm, "--position-p-coefficient", "48") == 1
    out = capsys.readouterr().out
    assert "the gains differ from joint to joint" in out  # 32 for all of them would not keep what they have
    assert "set position_p_coefficient" not in out
    assert run(virtual_arm, "--write-settings", *NAMED) == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"/**/so101_driver": {"ros__parameters": {"position_p_coefficient": 0}}}, "position_p_coefficient = 0"),
        ({"/**/so101_driver": {"ros__parameters": {"position_d_coefficient": 300}}}, "position_d_coefficient = 300"),
        (
            {"/**/so101_driver": {"ros__parameters": {"position_p_coefficient": 32.5}}},
            "robot.yaml:3, section /**/so101_driver): exp",
        ),
        ({"/**/so101_driver": {"ros__parameters": {"position_p_coefficient": "32"}}}, "write 32 without quotes"),
        ({"/**/so101_driver": {"ros__parameters": {"full_turn_joints": "elbow_flex"}}}, "robot.yaml:3, section"),
        ({"/**/so101_driver": {"ros__parameters": {"park_positions": [0.0]}}}, "expected 6 numbers"),
        ({"/left/so101_driver": {"ros__parameters": {"robot_id": "a"}}}, "no section is for /so101_driver"),
        ({"so101_driver": 3}, "expected"),
    ],
)
def test_a_parameter_file_that_cannot_be_meant_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object, said: str
) -> None:
    config = tmp_path / "robot.yaml"
    config.write_text(yaml.safe_dump(content))
    assert call("--config", str(config)) == 1
    error = capsys.readouterr().err
    assert said in error
    assert str(config) in error
    assert error.count("\n") == 1


def test_each_arm_of_a_file_has_its_own_parameters(tmp_path: Path) -> None:
    config = tmp_path / "robot.yaml"
    content = {
        "/**": {"ros__parameters": {"position_p_coefficient": 20}},
        "/left/so101_driver": {"ros__parameters": {"port": "/dev/left", "position_d_coefficient": 40}},
        "right": {"so101_driver": {"ros__parameters": {"port": "/dev/right"}}},
    }
    config.write_text(yaml.safe_dump(content, sort_keys=False))
    left, right = (driver_parameters(config, f"/{side}/so101_driver") for side in ("left", "right"))
    assert (left.port, left.position_p_coefficient, left.position_d_coefficient) == ("/dev/left", 20, 40)
    assert (right.port, right.position_p_coefficient, right.position_d_coefficient) == ("/dev/right", 20, 32)
