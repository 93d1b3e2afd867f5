# SPDX-License-Identifier: Apache-2.0
"""LeRobot's calibration file, and steps <-> radians."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_driver.core.calibration import Calibration, JointCalibration, load_calibration
from so101_driver.core.errors import CalibrationError
from so101_node.protocol import JOINT_NAMES

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
        (lambda c: c["gripper"].update(range_min=3000, range_max=2000), "range_min 3000 >= range_max 2000.*seam"),
        (lambda c: c["gripper"].update(drive_mode=True), r"gripper\.drive_mode = True"),
        (lambda c: c["gripper"].update(homing_offset=-2048), r"gripper\.homing_offset = -2048"),
        (lambda c: c["gripper"].update(id=1), "uses a servo id twice"),
        (
            lambda c: (c["gripper"].update(id=5), c["wrist_roll"].update(id=6)),
            "wrist_roll has 6, gripper has 5, and one",
        ),
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


STOPPED = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "gripper")


def written(tmp_path: Path, content: dict[str, Any]) -> Path:
    path = tmp_path / "arm.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("name", STOPPED)
@pytest.mark.parametrize(("low", "high", "refused"), [(0, 4095, 1), (38, 4041, 1), (100, 3700, 1), (100, 3699, 0)])
def test_a_range_of_nearly_a_turn_is_refused_on_a_joint_that_has_stops(
    tmp_path: Path, calibration_json: dict[str, Any], name: str, low: int, high: int, refused: int
) -> None:
    calibration_json[name].update(range_min=low, range_max=high)
    path = written(tmp_path, calibration_json)
    if not refused:
        (note,) = load_calibration(path).notes()
        assert f"{name}: calibrated range {low}..{high} is wider than an SO-101's joint can turn" in note
        return
    with pytest.raises(
        CalibrationError, match=rf"{name} has the range {low}\.\.{high}, nearly a full turn.*seam"
    ) as error:
        load_calibration(path)
    assert "lerobot-calibrate again" in str(error.value)
    assert load_calibration(path, ["wrist_roll", name]).notes(["wrist_roll", name]) == []


def test_lerobots_full_turn_of_the_wrist_is_right_and_commands_keep_off_the_seam(calibration: Calibration) -> None:
    assert calibration.notes() == []
    with pytest.raises(CalibrationError, match="name wrist_roll in full_turn_joints too") as caught:
        load_calibration(calibration.path, ["gripper"])
    assert "lerobot-calibrate" not in str(caught.value)  # it would write the same range
    assert calibration.to_raw(calibration.soft_lower_rad()).tolist() == [796, 910, 946, 967, 20, 1422]
    assert calibration.to_raw(calibration.soft_upper_rad()).tolist() == [3300, 3186, 3150, 3129, 4075, 2675]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (19, 2400, "seam"),
        (20, 2400, ""),
        (1500, 4075, ""),
        (1500, 4076, "seam"),
        (2000, 2299, "narrow"),
        (2000, 2300, ""),
    ],
)
def test_a_range_that_is_odd_is_noted(
    tmp_path: Path, calibration_json: dict[str, Any], low: int, high: int, said: str
) -> None:
    calibration_json["elbow_flex"].update(range_min=low, range_max=high)
    notes = load_calibration(written(tmp_path, calibration_json)).notes()
    assert len(notes) == bool(said)
    assert all("elbow_flex" in note and said in note for note in notes)


@pytest.mark.parametrize(
    ("step", "noted"),
    [(0, 1), (19, 1), (20, 1), (199, 1), (200, 0), (2048, 0), (3895, 0), (3896, 1), (4076, 1), (4095, 1)],
)
def test_a_joint_that_stands_at_the_seam_is_noted(calibration: Calibration, step: int, noted: int) -> None:
    steps = [joint.middle for joint in calibration.joints]
    steps[4] = step
    notes = calibration.at_seam(calibration.to_rad(steps))
    assert len(notes) == noted
    assert all(f"wrist_roll stands at step {step}" in note for note in notes)
    assert all(("cannot be told" in note) == (20 <= step <= 4075) for note in notes)
    assert calibration.at_seam(np.full(6, np.nan)) == []


def test_a_joint_with_stops_may_stand_near_the_seam(calibration_json: dict[str, Any], tmp_path: Path) -> None:
    calibration_json["elbow_flex"].update(range_min=40, range_max=2300)
    calibration = load_calibration(written(tmp_path, calibration_json))
    steps = [joint.middle for joint in calibration.joints]
    steps[2] = 60
    assert calibration.at_seam(calibration.to_rad(steps)) == []


@pytest.mark.parametrize("low", [150, 200, 700])
def test_a_wrist_whose_travel_was_recorded_is_nothing_odd(
    tmp_path: Path, calibration_json: dict[str, Any], low: int
) -> None:
    calibration_json["wrist_roll"].update(range_min=low, range_max=3950)
    assert load_calibration(written(tmp_path, calibration_json)).notes() == []


@pytest.mark.parametrize("content", ["", "[1, 2]", "{", "[" * 100_000, "\x00"])
def test_a_file_that_is_no_calibration_at_all_is_refused_and_a_copy_of_it_comes_before_a_new_zero(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "arm.json"
    path.write_text(content)
    with pytest.raises(CalibrationError, match=r"arm\.json.*copy of the file.*lerobot-calibrate.*moves the zero"):
        load_calibration(path)


def test_a_file_that_windows_saved_is_read(calibration: Calibration) -> None:
    calibration.path.write_text(calibration.path.read_text(), encoding="utf-8-sig")
    assert load_calibration(calibration.path) == calibration


def test_the_format_of_the_first_lerobot_is_called_so(tmp_path: Path) -> None:
    old = {"homing_offset": [0] * 6, "drive_mode": [0] * 6, "start_pos": [], "end_pos": [], "calib_mode": []}
    path = written(tmp_path, {**old, "motor_names": list(JOINT_NAMES)})
    with pytest.raises(CalibrationError, match="format of LeRobot before June 2025"):
        load_calibration(path)


def test_joints_come_in_our_order_whatever_the_order_in_the_file(
    tmp_path: Path, calibration_json: dict[str, Any]
) -> None:
    path = tmp_path / "arm.json"
    path.write_text(json.dumps(dict(reversed(calibration_json.items()))))
    assert load_calibration(path).servo_ids == (1, 2, 3, 4, 5, 6)
