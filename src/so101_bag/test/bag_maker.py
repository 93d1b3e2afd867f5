# SPDX-License-Identifier: Apache-2.0
"""Small bags for tests, written as the recorder writes them: an arm that waves, its cameras, and markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, JointState
from so101_bag.storage.message_types import message_type
from so101_bag.storage.metadata import Topic
from so101_bag.storage.writer import BagWriter
from so101_msgs.msg import EpisodeEvent, JointLimits, PolicySpec

JOINTS = ["shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper"]
START_NS = 1_790_000_000_000_000_000
QOS = {
    "history": "unknown",
    "depth": 0,
    "reliability": "reliable",
    "durability": "volatile",
    "deadline": {"sec": 9223372036, "nsec": 854775807},
    "lifespan": {"sec": 9223372036, "nsec": 854775807},
    "liveliness": "automatic",
    "liveliness_lease_duration": {"sec": 9223372036, "nsec": 854775807},
    "avoid_ros_namespace_conventions": False,
}


class BagMaker:
    """Writes messages of a test into a bag. Times are s since its begin."""

    def __init__(self, folder: Path, prefix: str = "", **options: int) -> None:
        self.writer = BagWriter(folder, **options)
        self._prefix = prefix
        self._known: set[str] = set()

    def write(self, topic: str, type_name: str, message: Any, time_s: float, type_hash: str = "") -> None:
        name = f"{self._prefix}/{topic}"
        if name not in self._known:
            self._known.add(name)
            self.writer.add_topic(Topic(name, type_name, type_hash or message_type(type_name).type_hash, (QOS,)))
        time_ns = START_NS + round(time_s * 1e9)
        self.writer.write(name, time_ns, time_ns, serialize_message(message))

    def close(self) -> Path:
        self.writer.close()
        return self.writer.folder


def pose(time_s: float, lag_s: float = 0.0) -> list[float]:
    """Where the waving arm is; the gripper opens and closes within its range."""
    phase = time_s - lag_s
    return [0.3 * np.sin(phase + index) for index in range(5)] + [0.4 * np.sin(2 * phase)]


def jpeg(camera: int, time_s: float, size: tuple[int, int], detail: int = 0) -> bytes:
    """An image whose brightness tells its time: red rises by 20 a second from 20, green tells the camera."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 2] = min(255, 20 + round(20 * time_s))
    image[..., 1] = 60 * camera
    if detail:
        noise = np.random.default_rng(camera).integers(0, detail, (height // 8, width // 8, 3), dtype=np.uint8)
        noise = cv2.resize(noise, size)
        image = cv2.add(image, np.roll(noise, round(time_s * 100), axis=1))
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def make_run(
    folder: Path,
    seconds: float = 4.0,
    episodes: Sequence[tuple[float, float, int]] = ((0.5, 3.5, EpisodeEvent.SUCCEEDED),),
    cameras: Sequence[str] = ("top", "wrist"),
    size: tuple[int, int] = (64, 48),
    detail: int = 0,
    prefix: str = "",
    joints: Sequence[str] = tuple(JOINTS),
    **options: int,
) -> Path:
    """Write what a run leaves behind. `episodes`: begin, end, outcome; the arm is commanded within them."""
    maker = BagMaker(folder, prefix, **options)
    maker.write(
        "joint_limits",
        "so101_msgs/msg/JointLimits",
        JointLimits(
            joint_names=list(joints),
            lower=[-1.5] * 6,
            upper=[1.5] * 6,
            max_speed=[6.0] * 6,
            max_acceleration=[300.0] * 6,
            range_lower=[-1.6] * 5 + [-0.8],
            range_upper=[1.6] * 5 + [0.8],
            drive_mode=[0] * 6,
        ),
        0.0,
    )
    maker.write("policy_spec", "so101_msgs/msg/PolicySpec", PolicySpec(task="wave"), 0.0)
    events: list[tuple[float, str, str, Any]] = []
    for number, (begin, end, outcome) in enumerate(episodes):
        for time_s, event in ((begin, EpisodeEvent.STARTED), (end, outcome)):
            message = EpisodeEvent(event=event, task_name="static", task="wave the arm", episode=number)
            events.append((time_s, "episode", "so101_msgs/msg/EpisodeEvent", message))
        for index in range(int((end - begin - 0.2) * 30)):
            moment = begin + 0.1 + index / 30
            command = JointState(name=list(joints), position=pose(moment))
            command.header.stamp = _stamp(moment)
            events.append((moment, "joint_command", "sensor_msgs/msg/JointState", command))
    for index in range(int(seconds * 60)):
        moment = index / 60
        state = JointState(name=list(joints), position=pose(moment, 0.05))
        state.header.stamp = _stamp(moment)
        events.append((moment, "joint_states", "sensor_msgs/msg/JointState", state))
    for number, camera in enumerate(cameras):
        for index in range(int(seconds * 30)):
            moment = index / 30 + 0.005 * number
            image = CompressedImage(format="jpeg", data=jpeg(number, moment, size, detail))
            image.header.stamp = _stamp(moment)
            events.append((moment, f"{camera}/image_raw/compressed", "sensor_msgs/msg/CompressedImage", image))
    flushed_s = 0.0
    for time_s, topic, type_name, message in sorted(events, key=lambda event: event[0]):
        maker.write(topic, type_name, message, time_s)
        if time_s - flushed_s >= 0.5:
            flushed_s = time_s
            maker.writer.flush()
    return maker.close()


def _stamp(time_s: float) -> Time:
    seconds, rest = divmod(START_NS + round(time_s * 1e9), 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)
