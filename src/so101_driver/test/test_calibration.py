"""LeRobot's calibration file, and steps <-> radians."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_driver.calibration import (
    JOINT_NAMES,
    Calibration,
    JointCalibration,
    load_calibration,
)
from so101_driver.errors import CalibrationError

RAW = st.integers(0, 4095)
GOLDEN = (
    (796, 796, 3300, -110.06593406593407),
    (2048, 796, 3300, 0.0),
    (2500, 1422, 2675, 39.69230769230769),
    (4095, 0, 4095, 180.0),
    (1000, 947, 3150, -92.17582417582418),
)
RANGE = st.tuples(st.integers(0, 2000), st.integers(2001, 4095))


def calibration_of(ranges: list[tuple[int, int]]) -> Calibration:
    joints = tuple(JointCalibration(index + 1, 0, 0, low, high) for index, (low, high) in enumerate(ranges))
    return Calibration(joints, Path("test.json"))


@given(st.lists(RANGE, min_size=6, max_size=6), st.lists(RAW, min_size=6, max_size=6))
def test_every_step_survives_the_way_to_radians_and_back(ranges: list[tuple[int, int]], raw: list[int]) -> None:
    calibration = calibration_of(ranges)
    assert calibration.to_raw(calibration.to_rad(raw)).tolist() == raw


@given(st.lists(RANGE, min_size=6, max_size=6), st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_radians_survive_the_way_back_within_half_a_step(ranges: list[tuple[int, int]], rad: list[float]) -> None:
    calibration = calibration_of(ranges)
    assert np.all(np.abs(calibration.to_rad(calibration.to_raw(rad)) - rad) <= math.pi / 4095 + 1e-12)


def test_a_hand_solved_position() -> None:
    calibration = calibration_of([(1000, 3001)] * 6)  # middle 2000.5
    assert calibration.to_rad([2000.5 + 4095 / 8] * 6) == pytest.approx([math.pi / 4] * 6)
    assert calibration.to_raw([math.pi / 4] * 6).tolist() == [2512] * 6  # 2512.375 rounded
    assert calibration.lower_rad() == pytest.approx([-1000.5 * 2 * math.pi / 4095] * 6)


def test_degrees_of_our_radians_match_values_that_lerobot_gave() -> None:
    """(raw, range_min, range_max, degrees) out of LeRobot 0.6.1's FeetechMotorsBus._normalize in unit mode DEGREES."""
    for raw, low, high, degrees in GOLDEN:
        assert math.degrees(calibration_of([(low, high)] * 6).to_rad([raw] * 6)[0]) == pytest.approx(degrees, abs=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_becomes_a_goal(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        calibration_of([(0, 4095)] * 6).to_raw([0, 0, bad, 0, 0, 0])


@pytest.mark.long  # importing LeRobot takes 10-40 s
def test_degrees_of_our_radians_are_the_values_that_lerobot_records(calibration_json: dict[str, Any]) -> None:
    pytest.importorskip("lerobot")
    from lerobot.motors import Motor, MotorCalibration, MotorNormMode
    from lerobot.motors.feetech import FeetechMotorsBus

    motors = {name: Motor(i + 1, "sts3215", MotorNormMode.DEGREES) for i, name in enumerate(JOINT_NAMES)}
    lerobot_calibration = {name: MotorCalibration(**entry) for name, entry in calibration_json.items()}
    bus = FeetechMotorsBus("/dev/null", motors, lerobot_calibration)
    ours = calibration_of([(entry["range_min"], entry["range_max"]) for entry in calibration_json.values()])
    for share in (0.0, 0.21, 0.5, 0.83, 1.0):
        raw = [round(j.range_min + share * (j.range_max - j.range_min)) for j in ours.joints]
        theirs = bus._normalize({index + 1: value for index, value in enumerate(raw)})
        assert np.degrees(ours.to_rad(raw)) == pytest.approx([theirs[index + 1] for index in range(6)], abs=1e-9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("gripper"), r"missing joints \[gripper\]"),
        (lambda c: c.update(elbow_roll={}), r"unknown joints \[elbow_roll\]"),
        (lambda c: c.update(gripper=5), "gripper must be an object"),
        (lambda c: c["gripper"].pop("range_min"), r"gripper\.range_min = None"),
        (lambda c: c["gripper"].update(range_min=2000.5), r"gripper\.range_min = 2000\.5"),
        (lambda c: c["gripper"].update(range_max=4096), r"gripper\.range_max = 4096.*0\.\.4095"),
        (lambda c: c["gripper"].update(range_min=3000, range_max=2000), "range_min 3000 >= range_max 2000"),
        (lambda c: c["gripper"].update(drive_mode=True), r"gripper\.drive_mode = True"),
        (lambda c: c["gripper"].update(homing_offset=-2048), r"gripper\.homing_offset = -2048"),
        (lambda c: c["gripper"].update(id=1), "uses a servo id twice"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused_by_name(
    tmp_path: Path, calibration_json: dict[str, Any], change: Any, said: str
) -> None:
    change(calibration_json)
    path = tmp_path / "arm.json"
    path.write_text(json.dumps(calibration_json))
    with pytest.raises(CalibrationError, match=said) as caught:
        load_calibration(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[1, 2]", "{"])
def test_a_file_that_is_no_calibration_at_all_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "arm.json"
    path.write_text(content)
    with pytest.raises(CalibrationError, match=r"arm\.json"):
        load_calibration(path)


def test_joints_come_in_our_order_whatever_the_order_in_the_file(
    tmp_path: Path, calibration_json: dict[str, Any]
) -> None:
    path = tmp_path / "arm.json"
    path.write_text(json.dumps(dict(reversed(calibration_json.items()))))
    assert load_calibration(path).servo_ids == (1, 2, 3, 4, 5, 6)
