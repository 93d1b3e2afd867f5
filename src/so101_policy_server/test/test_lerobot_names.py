# SPDX-License-Identifier: Apache-2.0
"""The list of LeRobot's options that people may look for here has all of those that this version has."""

import dataclasses

import pytest
from lerobot.async_inference.configs import PolicyServerConfig, RobotClientConfig
from lerobot.cameras.opencv.configuration_opencv import OpenCVCameraConfig
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.rtc.configuration_rtc import RTCConfig
from lerobot.robots.so_follower.config_so_follower import SOFollowerRobotConfig
from so101_node.parameters import lerobot_names


@pytest.mark.parametrize(
    "configuration",
    [SOFollowerRobotConfig, OpenCVCameraConfig, PolicyServerConfig, RobotClientConfig, PreTrainedConfig, RTCConfig],
)
def test_every_option_of_lerobot_is_known(configuration: type) -> None:
    unknown = [field.name for field in dataclasses.fields(configuration) if not lerobot_names.where(field.name)]
    assert unknown == []


def test_an_option_is_known_with_the_configurations_around_it() -> None:
    assert lerobot_names.where("robot.cameras.front.index_or_path").startswith("device of")
    assert lerobot_names.where("robot.max-relative-target").startswith("max_joint_speed_rad_s of")
    assert lerobot_names.where("no_such_option") == ""
