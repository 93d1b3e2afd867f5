# SPDX-License-Identifier: Apache-2.0
"""Whose servos these are, told by their homing offsets; and the ports that a message names."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from so101_driver.core import registers as reg
from so101_driver.core.arm import Arm
from so101_driver.core.arm_identity import other_arm
from so101_driver.core.calibration import Calibration
from so101_driver.core.errors import OtherArmError, SettingsMismatchError
from so101_driver.servos.serial_ports import described_ports, serial_ports
from so101_driver.testing.memory_bus import MemoryBus
from so101_node.protocol import JOINT_NAMES


def differ(bus: MemoryBus, servo_ids: tuple[int, ...]) -> None:
    for servo_id in servo_ids:
        bus.poke(servo_id, reg.HOMING_OFFSET, bus.peek(servo_id, reg.HOMING_OFFSET) + 40 + servo_id)


@pytest.mark.parametrize("count", range(1, 7))
def test_from_three_offsets_on_it_is_another_arm_whichever_joints_differ(calibration: Calibration, count: int) -> None:
    for servo_ids in itertools.combinations(range(1, 7), count):
        bus = MemoryBus(calibration)
        differ(bus, servo_ids)
        arm = Arm(bus, calibration, repair="THE COMMAND")
        arm.open()
        with pytest.raises(SettingsMismatchError) as caught:
            arm.verify_settings()
        assert isinstance(caught.value, OtherArmError) == (count >= 3)
        text = str(caught.value)
        assert "THE COMMAND" in text
        assert "--write" not in text
        assert ("looks like another arm than arm" in text) == (count >= 3)
        if count >= 3:
            assert f"{count} of 6 homing offsets differ ({JOINT_NAMES[servo_ids[0] - 1]} has" in text
            assert "set `port`" in text


@pytest.mark.parametrize("register", [reg.HOMING_OFFSET, reg.MIN_POSITION_LIMIT])
def test_servos_that_hold_just_the_file_of_another_follower_are_told_by_one_joint(
    calibration: Calibration,
    calibration_json: dict[str, Any],
    memory_bus: MemoryBus,
    tmp_path: Path,
    register: reg.Register,
) -> None:
    copy = tmp_path / "robots/so_follower/copy.json"
    copy.parent.mkdir(parents=True)
    copy.write_text(json.dumps(calibration_json))
    right = copy.with_name("right.json")
    key = "homing_offset" if register is reg.HOMING_OFFSET else "range_min"
    calibration_json["gripper"][key] += 7
    right.write_text(json.dumps(calibration_json))
    memory_bus.poke(4, reg.P_COEFFICIENT, 20)
    arm = Arm(memory_bus, calibration, known=[calibration.path, copy, right])
    arm.open()
    with pytest.raises(SettingsMismatchError) as caught:
        arm.verify_settings()
    assert not isinstance(caught.value, OtherArmError)  # its own calibration, also in a file of another name
    memory_bus.poke(6, register, calibration_json["gripper"][key])
    with pytest.raises(OtherArmError, match=r"hold the calibration robots/so_follower/right.json.*robot_id is right"):
        arm.verify_settings()


def test_servos_as_from_the_factory_are_called_so(calibration: Calibration, memory_bus: MemoryBus) -> None:
    for servo_id in range(1, 7):
        memory_bus.poke(servo_id, reg.HOMING_OFFSET, 0)
        memory_bus.poke(servo_id, reg.MIN_POSITION_LIMIT, 0)
        memory_bus.poke(servo_id, reg.MAX_POSITION_LIMIT, 4095)
    memory_bus.open()
    eeprom = {servo_id: memory_bus.read_block(servo_id, *reg.EEPROM_BLOCK) for servo_id in range(1, 7)}
    assert "as from the factory" in other_arm(calibration, eeprom)


def test_the_file_whose_calibration_the_servos_hold_is_named(
    calibration: Calibration, calibration_json: dict[str, Any], memory_bus: MemoryBus, tmp_path: Path
) -> None:
    differ(memory_bus, tuple(range(1, 7)))
    memory_bus.open()
    eeprom = {servo_id: memory_bus.read_block(servo_id, *reg.EEPROM_BLOCK) for servo_id in range(1, 7)}
    for entry in calibration_json.values():
        entry["homing_offset"] = memory_bus.peek(entry["id"], reg.HOMING_OFFSET)
    holder = tmp_path / "teleoperators/so_leader/blue.json"
    holder.parent.mkdir(parents=True)
    holder.write_text(json.dumps(calibration_json))
    broken = holder.with_name("broken.json")
    broken.write_text("{")
    known = [calibration.path, broken, tmp_path / "gone.json"]
    assert "no calibration that is known here" in other_arm(calibration, eeprom, known)
    text = other_arm(calibration, eeprom, [*known, holder])
    assert "teleoperators/so_leader/blue.json" in text
    assert "robot_id" not in text  # a leader's is nobody's to drive


def test_ports_are_listed_with_the_names_that_tell_arms_apart(tmp_path: Path) -> None:
    assert described_ports(tmp_path) == "this computer has no USB serial port now"
    for name in ("ttyACM0", "ttyACM1", "ttyUSB0", "ttyS0"):
        (tmp_path / name).touch()
    links = tmp_path / "serial/by-id"
    links.mkdir(parents=True)
    (links / "usb-1a86_USB_Single_Serial_A-if00").symlink_to("../../ttyACM1")
    found = serial_ports(tmp_path)
    assert [Path(port.device).name for port in found] == ["ttyACM0", "ttyACM1", "ttyUSB0"]
    assert [port.by_id for port in found] == [(), ("usb-1a86_USB_Single_Serial_A-if00",), ()]
    assert f"{tmp_path}/ttyACM1 (usb-1a86_USB_Single_Serial_A-if00)" in described_ports(tmp_path)
