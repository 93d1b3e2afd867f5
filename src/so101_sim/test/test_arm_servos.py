# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_node.protocol import JOINT_NAMES
from so101_sim.core import servo_registers as reg
from so101_sim.core.arm_servos import EncoderMount, calibration_of, configured_servos, write_calibration
from so101_sim.core.joints import JointRanges

RANGES = JointRanges(np.array([-1.9, -1.7, -1.6, -1.6, -2.7, -0.2]), np.array([1.9, 1.8, 1.6, 1.7, 2.7, 1.7]))
CALIBRATION = calibration_of(RANGES)
MOUNTS = EncoderMount.of(RANGES, CALIBRATION)


def test_calibrated_ranges_are_the_model_s_and_the_wrist_turns_all_the_way() -> None:
    assert list(CALIBRATION) == list(JOINT_NAMES)
    assert [joint.id for joint in CALIBRATION.values()] == [1, 2, 3, 4, 5, 6]
    pan = CALIBRATION["shoulder_pan"]
    assert (pan.range_min, pan.range_max) == (809, 3287)  # 2048 -+ 1.9 * 4096 / tau = 1238.6
    roll = CALIBRATION["wrist_roll"]
    assert (roll.range_min, roll.range_max) == (0, 4095)


def test_the_file_is_the_one_that_lerobot_writes(tmp_path: Path) -> None:
    path = tmp_path / "calibration" / "virtual.json"
    write_calibration(path, CALIBRATION)
    stored = json.loads(path.read_text())
    assert stored["gripper"].keys() == {"id", "drive_mode", "homing_offset", "range_min", "range_max"}
    assert [path.name for path in path.parent.iterdir()] == ["virtual.json"]


@given(st.integers(0, 5), st.floats(-3, 3))
def test_encoder_and_angle_are_inverse(joint: int, angle: float) -> None:
    mount = MOUNTS[joint]
    assert mount.angle(mount.encoder(angle)) == pytest.approx(angle, abs=1e-12)


@pytest.mark.parametrize("joint", range(6))
def test_driver_zero_is_the_middle_of_the_model_s_range(joint: int) -> None:
    calibration = CALIBRATION[JOINT_NAMES[joint]]
    encoders = [mount.encoder(float(angle)) for mount, angle in zip(MOUNTS, RANGES.middle, strict=True)]
    servo = configured_servos(CALIBRATION, encoders)[joint]
    assert servo.position == pytest.approx((calibration.range_min + calibration.range_max) / 2)


@given(st.integers(0, 5), st.floats(-1.5, 1.5))
def test_a_driver_reads_its_angle_within_a_tick(joint: int, driver_rad: float) -> None:
    calibration = CALIBRATION[JOINT_NAMES[joint]]
    angles = RANGES.middle.copy()
    angles[joint] += driver_rad
    encoders = [mount.encoder(float(angle)) for mount, angle in zip(MOUNTS, angles, strict=True)]
    raw = reg.word(configured_servos(CALIBRATION, encoders)[joint].registers, reg.PRESENT_POSITION)
    tick_rad = 2 * np.pi / 4095
    read = (raw - (calibration.range_min + calibration.range_max) / 2) * tick_rad
    assert read == pytest.approx(driver_rad, abs=tick_rad)


def test_servos_come_as_lerobot_configures_them() -> None:
    servos = configured_servos(CALIBRATION, [mount.encoder(0.1) for mount in MOUNTS])
    for servo in servos:
        assert servo.read(reg.P_COEFFICIENT, 3) == bytes((16, 32, 0))
        assert servo.read(reg.RETURN_DELAY_TIME, 1) == b"\x00"
        assert servo.read(reg.ACCELERATION, 1) == b"\xfe"
        assert servo.read(reg.OPERATING_MODE, 1) == b"\x00"
        assert not servo.torque_on
    limits = [reg.word(servo.registers, reg.MAX_TORQUE_LIMIT) for servo in servos]
    currents = [reg.word(servo.registers, reg.PROTECTION_CURRENT) for servo in servos]
    overloads = [servo.registers[reg.OVERLOAD_TORQUE] for servo in servos]
    assert (limits[:5], limits[5]) == ([1000] * 5, 500)
    assert (currents[:5], currents[5]) == ([500] * 5, 250)
    assert (overloads[:5], overloads[5]) == ([80] * 5, 25)
    assert [servo.homing_offset for servo in servos] == [joint.homing_offset for joint in CALIBRATION.values()]
