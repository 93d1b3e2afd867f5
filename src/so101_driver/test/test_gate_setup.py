# SPDX-License-Identifier: Apache-2.0
"""The pose of ~/park held against the arm's calibration."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from so101_driver.core.calibration import Calibration, JointCalibration
from so101_driver.core.errors import ParkPositionsError
from so101_driver.core.gate_values import GateConfig
from so101_driver.ros.driver_parameters import DriverParameters
from so101_driver.ros.gate_setup import gate_config, motion_limits, park_target

HALF = 1024 * 2 * np.pi / 4095  # rad from the middle of the ranges below to either end
ARM = Calibration(tuple(JointCalibration(index, 0, 0, 1024, 3072) for index in range(1, 7)), Path("arm.json"))


def parameters(elbow: float, margin: float = 0.0) -> DriverParameters:
    return DriverParameters(park_positions=[0.0, -1.2, elbow, 1.0, 0.0, -0.5], limit_margin_rad=margin)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_pose_beyond_a_joints_range_is_refused_with_the_pose_that_may_be_typed(sign: int) -> None:
    given = parameters(sign * (HALF + 0.001), margin=0.1)
    with pytest.raises(ParkPositionsError) as error:
        gate_config(given, ARM)
    text = str(error.value)
    assert f"elbow_flex is {sign * (HALF + 0.001):g}, its range -1.471 to 1.471 rad (calibration arm.json)" in text
    assert "\n" not in text
    typed = yaml.safe_load(text.rpartition("park_positions: ")[2])
    accepted = dataclasses.replace(given, park_positions=typed)
    assert park_target(accepted, ARM, motion_limits(accepted, ARM)).notes == ()
    assert typed == [0.0, -1.2, sign * 1.471, 1.0, 0.0, -0.5]


@pytest.mark.parametrize("elbow", [-HALF + 0.1001, 1.1, HALF - 0.1001])
def test_a_pose_within_the_limits_is_taken_as_it_is(elbow: float) -> None:
    given = parameters(elbow, margin=0.1)
    pose = park_target(given, ARM, motion_limits(given, ARM))
    assert pose.notes == () and pose.positions.tolist() == given.park_positions


def test_a_pose_in_the_margin_at_the_end_of_a_range_is_moved_out_of_it_and_said() -> None:
    given = parameters(HALF - 0.05, margin=0.1)
    pose = park_target(given, ARM, motion_limits(given, ARM))
    assert pose.positions[2] == pytest.approx(HALF - 0.1)
    (note,) = pose.notes
    assert "elbow_flex parks at 1.471 rad instead of 1.52" in note and "limit_margin_rad 0.1" in note
    assert gate_config(given, ARM).park_positions.tolist() == pose.positions.tolist()


def test_the_gate_takes_no_pose_to_park_in_that_its_limits_do_not_admit() -> None:
    limits = motion_limits(DriverParameters(), ARM)
    with pytest.raises(ValueError, match=r"park_positions .* must lie within the limits"):
        GateConfig(limits=limits, park_positions=np.full(6, HALF + 0.01))
