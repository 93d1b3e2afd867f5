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
        ({"warn_temperature_c": 70.0}, r"warn_temperature_c = 70: must be at most max_temperature_c \(65\)"),
        ({"max_temperature_c": 50.0}, r"warn_temperature_c = 55: must be at most max_temperature_c \(50\)"),
        ({"reply_timeout_s": 0.1}, r"reply_timeout_s = 0.1: must be below command_timeout_s \(0.1\)"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(change: dict[str, object], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        build(DriverParameters, {**dataclasses.asdict(DriverParameters()), **change})


@pytest.mark.parametrize(
    "change",
    [
        {"warn_temperature_c": 65.0},  # equal: it warns in the moment before it latches
        {"reply_timeout_s": 0.099},
        {"park_speed_rad_s": 3.0, "max_joint_speed_rad_s": [0.5] * 6},  # parks at 0.5, as its description says
        {"hold_deceleration_rad_s2": 100.0, "max_joint_acceleration_rad_s2": [50.0] * 6},  # brakes at 50, likewise
        {"tick_priority": 0, "thread_priority": 5},  # neither is taken, likewise
        {"shadow": True, "hold_limit_s": 10.0},  # nothing to park
    ],
)
def test_what_is_odd_but_does_no_harm_is_accepted(change: dict[str, object]) -> None:
    build(DriverParameters, {**dataclasses.asdict(DriverParameters()), **change})
