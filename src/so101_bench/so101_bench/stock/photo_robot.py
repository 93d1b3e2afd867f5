# SPDX-License-Identifier: Apache-2.0
"""A robot for LeRobot that costs nothing: decoded images from memory, joints on a sine, actions taken and dropped.

The joints swing, so that LeRobot's server never takes an observation for too similar to the last; capture, decoding and
servo bus, which a real arm adds and of which our side has the last, are left out: LeRobot is measured at its best.
"""

import math
import time
from functools import cached_property
from typing import Any

from lerobot.robots.robot import Robot
from so101_node.protocol import JOINT_NAMES

from so101_bench.frames import HEIGHT, WIDTH, read_rgb
from so101_bench.stock.config_photo_robot import PhotoRobotConfig

SWING_DEG, SWING_HZ = 20.0, 0.3


class PhotoRobot(Robot):  # type: ignore[misc]
    """See the module."""

    config_class = PhotoRobotConfig
    name = "photo_robot"

    def __init__(self, config: PhotoRobotConfig) -> None:
        super().__init__(config)
        folders = sorted(path for path in config.frames.iterdir() if path.is_dir())
        self._frames = {folder.name: read_rgb(folder) for folder in folders}
        self._rate = config.frame_rate
        self._connected = False

    @property
    def observation_features(self) -> dict[str, Any]:
        """Six joint positions and the images."""
        return {**self.action_features, **dict.fromkeys(self._frames, (HEIGHT, WIDTH, 3))}

    @cached_property
    def action_features(self) -> dict[str, type]:
        """Six joint positions, degrees and percent."""
        return {f"{joint}.pos": float for joint in JOINT_NAMES}

    @property
    def is_connected(self) -> bool:
        """Whether `connect` was called."""
        return self._connected

    def connect(self, calibrate: bool = True) -> None:
        """Nothing to open."""
        self._connected = True

    @property
    def is_calibrated(self) -> bool:
        """Nothing to calibrate."""
        return True

    def calibrate(self) -> None:
        """Nothing to calibrate."""

    def configure(self) -> None:
        """Nothing to configure."""

    def get_observation(self) -> dict[str, Any]:
        """The joints and the images of this moment."""
        now_s = time.monotonic()
        position = SWING_DEG * math.sin(2 * math.pi * SWING_HZ * now_s)
        index = int(now_s * self._rate)
        images = {camera: frames[index % len(frames)] for camera, frames in self._frames.items()}
        return {**dict.fromkeys(self.action_features, position), **images}

    def send_action(self, action: dict[str, Any]) -> dict[str, Any]:
        """Take the action."""
        return action

    def disconnect(self) -> None:
        """Nothing to close."""
        self._connected = False
