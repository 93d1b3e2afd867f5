# SPDX-License-Identifier: Apache-2.0
"""Unit conversions against LeRobot's own, and as inverses of each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_node.protocol.units import UnitConverter, Units, UnitsError

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
RANGE_MIN = (740, 810, 1020, 900, 0, 2030)
RANGE_MAX = (3440, 3200, 3080, 3210, 4095, 3500)
TICK_RAD = 2 * math.pi / 4095


def middle(joint: int) -> float:
    return (RANGE_MIN[joint] + RANGE_MAX[joint]) / 2


def converter(units: Units, drive_mode: tuple[int, ...]) -> UnitConverter:
    half = [(high - low) / 2 * TICK_RAD for low, high in zip(RANGE_MIN, RANGE_MAX, strict=True)]
    return UnitConverter(JOINTS, units, [-h for h in half], half, drive_mode)


def lerobot_bus(units: Units, drive_mode: tuple[int, ...]):
    """LeRobot's own bus with this calibration, not connected."""
    from lerobot.motors import Motor, MotorCalibration, MotorNormMode
    from lerobot.motors.feetech import FeetechMotorsBus

    arm = MotorNormMode.DEGREES if units is Units.DEGREES else MotorNormMode.RANGE_M100_100
    motors = {
        name: Motor(index + 1, "sts3215", MotorNormMode.RANGE_0_100 if name == "gripper" else arm)
        for index, name in enumerate(JOINTS)
    }
    calibration = {
        name: MotorCalibration(index + 1, drive_mode[index], 0, RANGE_MIN[index], RANGE_MAX[index])
        for index, name in enumerate(JOINTS)
    }
    return FeetechMotorsBus("/dev/null", motors, calibration)


@pytest.mark.parametrize("units", list(Units))
@pytest.mark.parametrize("drive_mode", [(0,) * 6, (1,) * 6, (0, 1, 0, 1, 0, 1)])
def test_every_servo_position_becomes_the_number_that_lerobot_reads(units: Units, drive_mode: tuple[int, ...]) -> None:
    bus, ours = lerobot_bus(units, drive_mode), converter(units, drive_mode)
    for raw in range(0, 4096, 7):
        theirs = list(bus._normalize(dict.fromkeys(range(1, 7), raw)).values())
        radians = [(raw - middle(joint)) * TICK_RAD for joint in range(6)]
        assert np.allclose(ours.to_policy(radians), theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("units", list(Units))
@pytest.mark.parametrize("drive_mode", [(0,) * 6, (1,) * 6, (0, 1, 0, 1, 0, 1)])
def test_every_action_becomes_the_goal_that_lerobot_writes(units: Units, drive_mode: tuple[int, ...]) -> None:
    bus, ours = lerobot_bus(units, drive_mode), converter(units, drive_mode)
    for value in np.linspace(-130, 130, 521):  # beyond both ends, to see the clamps
        theirs = list(bus._unnormalize(dict.fromkeys(range(1, 7), float(value))).values())
        radians = ours.to_radians(np.full(6, value))
        for joint in range(6):
            raw = radians[joint] / TICK_RAD + middle(joint)
            # LeRobot truncates to whole ticks; ours keeps the fraction for the driver, which rounds.
            assert int(raw - 1e-6) <= theirs[joint] <= int(raw + 1e-6)


def test_degrees_are_degrees_and_the_gripper_is_a_share_of_its_range() -> None:
    ours = converter(Units.DEGREES, (0,) * 6)
    quarter = (RANGE_MAX[5] - RANGE_MIN[5]) / 4 * TICK_RAD
    assert ours.to_policy([math.pi / 2, 0, 0, 0, 0, -quarter]) == pytest.approx([90, 0, 0, 0, 0, 25])


@given(
    radians=st.lists(st.floats(-0.7, 0.7), min_size=6, max_size=6),
    units=st.sampled_from(Units),
    drive_mode=st.tuples(*[st.integers(0, 1)] * 6),
)
def test_back_and_forth_gives_the_same_pose_within_the_calibrated_range(radians, units, drive_mode) -> None:
    ours = converter(units, drive_mode)
    assert ours.to_radians(ours.to_policy(radians)) == pytest.approx(radians, abs=1e-12)


@given(values=st.lists(st.floats(0, 100), min_size=6, max_size=6), drive_mode=st.tuples(*[st.integers(0, 1)] * 6))
def test_forth_and_back_gives_the_same_numbers_within_the_scale(values, drive_mode) -> None:
    for units in Units:
        ours = converter(units, drive_mode)
        assert ours.to_policy(ours.to_radians(values)) == pytest.approx(values, abs=1e-9)


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=6))
def test_normalized_values_never_leave_the_calibrated_range(values) -> None:
    ours = converter(Units.NORMALIZED, (0, 1, 0, 1, 0, 1))
    half = np.array([(high - low) / 2 * TICK_RAD for low, high in zip(RANGE_MIN, RANGE_MAX, strict=True)])
    assert np.all(np.abs(ours.to_radians(values)) <= half + 1e-12)


def test_a_whole_chunk_converts_like_its_rows() -> None:
    ours = converter(Units.NORMALIZED, (0, 1, 0, 1, 0, 1))
    chunk = np.random.default_rng(0).uniform(-120, 120, (50, 6))
    assert np.array_equal(ours.to_radians(chunk), [ours.to_radians(row) for row in chunk])


@pytest.mark.parametrize(
    ("lower", "upper", "drive_mode", "reason"),
    [
        ([0.0] * 6, [1.0] * 5, [0] * 6, "range_upper has 5 values: expected 6"),
        ([0.0] * 6, [1.0] * 6, [0] * 2, "drive_mode has 2 values: expected 6"),
        ([0.0] * 6, [1.0] * 5 + [0.0], [0] * 6, "calibrated range of gripper is 0.0 to 0.0 rad"),
        ([float("nan")] + [0.0] * 5, [1.0] * 6, [0] * 6, "calibrated range of shoulder_pan"),
    ],
)
def test_an_unusable_calibration_is_named(lower, upper, drive_mode, reason: str) -> None:
    with pytest.raises(UnitsError, match=reason):
        UnitConverter(JOINTS, Units.NORMALIZED, lower, upper, drive_mode)


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize(
    ("units", "joint", "value", "ratio"),
    [
        (Units.NORMALIZED, 2, 100.0, 0.0),
        (Units.NORMALIZED, 2, 150.0, 0.25),
        (Units.NORMALIZED, 2, -500.0, 2.0),
        (Units.NORMALIZED, 5, 130.0, 0.3),
        (Units.DEGREES, 5, -40.0, 0.4),
        (Units.DEGREES, 2, 500.0, 0.0),  # nothing is clamped there
    ],
)
def test_what_is_clamped_is_known_in_ranges(units: Units, joint: int, value: float, ratio: float, mode: int) -> None:
    values = np.full(6, 50.0)
    values[joint] = value
    clamped = converter(units, (mode,) * 6).clamped(values)
    assert clamped[joint] == pytest.approx(ratio)
    assert np.delete(clamped, joint) == pytest.approx(np.zeros(5))
