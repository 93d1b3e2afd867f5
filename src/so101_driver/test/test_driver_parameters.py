# SPDX-License-Identifier: Apache-2.0
"""The node's parameters."""

import dataclasses
from pathlib import Path

import pytest
import yaml
from so101_driver.ros.driver_parameters import DriverParameters
from so101_node.parameters import ParameterError, build

CONFIG = Path(__file__).resolve().parents[3] / "config" / "so101_driver.yaml"


def test_the_config_file_names_every_parameter_with_its_default() -> None:
    values = yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"]
    assert values == dataclasses.asdict(DriverParameters())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"park_positions": [0.0]}, "park_positions.*expected 6 numbers"),
        ({"max_joint_speed_rad_s": [1.0] * 7}, "max_joint_speed_rad_s.*expected 6 numbers"),
        ({"max_joint_acceleration_rad_s2": []}, "max_joint_acceleration_rad_s2.*expected 6 numbers"),
        ({"park_positions": [0.0, 0.0, float("nan"), 0.0, 0.0, 0.0]}, "park_positions"),
        ({"command_timeout_s": 60.0}, "command_timeout_s"),
        ({"command_timeout_s": 0.03}, "command_timeout_s"),  # shorter than a control tick
        ({"max_joint_speed_rad_s": [0.0] * 6}, "max_joint_speed_rad_s"),
        ({"shadow": True, "release_on_exit": True}, "contradicts shadow"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(change: dict[str, object], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        build(DriverParameters, {**dataclasses.asdict(DriverParameters()), **change})
