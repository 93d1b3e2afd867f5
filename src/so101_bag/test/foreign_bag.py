# SPDX-License-Identifier: Apache-2.0
"""Bags of other SO-101 drivers: other names, raw images, commands in other messages, no joint_limits."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from bag_maker import JOINTS, BagMaker, pose
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

NAMES = [f"joint_{index}" for index in range(1, 6)] + ["jaw"]
MAPPING = """\
joint_states: /follower/joint_states
joint_command:
  - /arm_controller/joint_trajectory
  - {topic: /gripper_controller/commands, joints: [gripper]}
cameras: {high: /cam_high/color/image_raw}
joints:
  shoulder_pan: joint_1
  shoulder_lift: joint_2
  elbow_flex: joint_3
  wrist_flex: joint_4
  wrist_roll: {name: joint_5, scale: -1.0}
  gripper: {name: jaw, offset: -0.2}
calibration: follower.json
task: Wave the arm
"""


def foreign(values: Sequence[float]) -> list[float]:
    """Our positions as that driver tells them."""
    return [*values[:4], -values[4], values[5] + 0.2]


def raw(moment: float, encoding: str = "bgr8", size: tuple[int, int] = (32, 24)) -> Image:
    """An image whose red rises by 20 a second from 20."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0 if encoding == "rgb8" else 2] = min(255, 20 + round(20 * moment))
    return Image(height=height, width=width, encoding=encoding, step=3 * width, data=image.tobytes())


def make_foreign(folder: Path, seconds: float = 3.0, image: Callable[[float], Image] = raw) -> Path:
    """Write the bag, and beside it its mapping and the arm's calibration."""
    maker = BagMaker(folder)
    events = []
    for index in range(int(seconds * 50)):
        moment = index / 50
        state = JointState(name=NAMES, position=foreign(pose(moment, 0.05)))
        events.append((moment, "follower/joint_states", "sensor_msgs/msg/JointState", state))
    for index in range(int(seconds * 30)):
        moment = 0.1 + index / 30
        values = foreign(pose(moment))
        point = JointTrajectoryPoint(positions=values[:5])
        arm = JointTrajectory(joint_names=NAMES[:5], points=[point])
        events.append(
            (
                moment,
                "gripper_controller/commands",
                "std_msgs/msg/Float64MultiArray",
                Float64MultiArray(data=values[5:]),
            )
        )
        events.append((moment + 1e-4, "arm_controller/joint_trajectory", "trajectory_msgs/msg/JointTrajectory", arm))
        events.append((index / 30, "cam_high/color/image_raw", "sensor_msgs/msg/Image", image(index / 30)))
    for moment, topic, kind, message in sorted(events, key=lambda event: event[0]):
        maker.write(topic, kind, message, moment)
    bag = maker.close()
    (folder.parent / "mapping.yaml").write_text(MAPPING)
    joint = {"drive_mode": 0, "homing_offset": 0, "range_min": 1000, "range_max": 3095}  # 1.607 rad either way
    content = {name: {"id": index + 1, **joint} for index, name in enumerate(JOINTS)}
    (folder.parent / "follower.json").write_text(json.dumps(content))
    return bag
