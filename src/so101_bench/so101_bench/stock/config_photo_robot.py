# SPDX-License-Identifier: Apache-2.0
"""Configuration of the robot that LeRobot's client drives in the bench, registered as a third-party robot is."""

from dataclasses import dataclass, field
from pathlib import Path

from lerobot.robots.config import RobotConfig


@RobotConfig.register_subclass("photo_robot")
@dataclass
class PhotoRobotConfig(RobotConfig):  # type: ignore[misc]
    """An arm of six joints with cameras that show JPEG files: `frames` holds one folder per camera."""

    frames: Path = field(default_factory=Path)
    frame_rate: float = 30.0
