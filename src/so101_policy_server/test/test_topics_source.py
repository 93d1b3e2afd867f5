# SPDX-License-Identifier: Apache-2.0
"""`observation_source: topics`: a robot of plain sensor_msgs topics, over real DDS."""

from __future__ import annotations

import array
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from dds_robot import JOINTS, Robot, RunningServer
from sensor_msgs.msg import CompressedImage, Image, JointState
from so101_msgs.msg import ActionChunk
from so101_node.topics import qos

CAMERAS = ("front", "wrist")


class PlainRobot(Robot):
    """Has cameras and joint states like any other robot; only its queue knows of this workspace."""

    def __init__(self, transport: str) -> None:
        super().__init__()
        self._transport = transport
        kind, suffix = (Image, "") if transport == "raw" else (CompressedImage, "/compressed")
        self._cameras = {c: self.node.create_publisher(kind, f"{c}/image_raw{suffix}", qos.IMAGE) for c in CAMERAS}
        self._joint_states = self.node.create_publisher(JointState, "joint_states", 10)
        self.pictures = dict.fromkeys(CAMERAS, np.zeros((24, 32, 3), np.uint8))
        self.silent: set[str] = set()
        self.positions = [0.1] * 6
        self._timer = self.node.create_timer(1 / 30, self._publish)

    def _publish(self) -> None:
        names = list(reversed(JOINTS))
        self._joint_states.publish(JointState(name=names, position=array.array("d", reversed(self.positions))))
        for camera in set(CAMERAS) - self.silent:
            rgb = self.pictures[camera]
            if self._transport == "raw":
                message = Image(encoding="rgb8", height=24, width=32, step=96)
                message.data = array.array("B", rgb.tobytes())
            else:
                message = CompressedImage(format="png")
                message.data = array.array("B", cv2.imencode(".png", rgb[:, :, ::-1])[1].tobytes())
            self._cameras[camera].publish(message)


@pytest.fixture(params=["compressed", "raw"])
def scene(request, examples, spy_policy) -> Iterator[tuple[PlainRobot, object]]:
    policy = spy_policy(examples.description())
    server = RunningServer(
        lambda _source, _progress: policy,
        pretrained_name_or_path="/models/pick",
        observation_source="topics",
        image_transport=request.param,
        obs_queue_timeout=0.5,
        max_frame_age_s=1.0,  # the machine may be busy
    )
    robot = PlainRobot(request.param)
    robot.send_spec()
    publishers = [*robot._cameras.values(), robot._joint_states, robot._request]
    assert robot.wait(lambda: all(publisher.get_subscription_count() for publisher in publishers))
    yield robot, policy
    robot.close()
    server.close()


def test_any_robots_cameras_and_joint_states_are_enough(scene, examples) -> None:
    robot, policy = scene
    robot.pictures = {"front": examples.picture(1), "wrist": examples.picture(2)}
    robot.positions = [0.1, -0.2, 0.3, -0.4, 0.5, 0.75]
    robot.wait(lambda: False, 0.5)  # until these are the newest
    robot.ask(1, positions=[9.0] * 6)  # what the request says of the pose is not used
    chunk = robot.answer_to(1)
    assert chunk.status == ActionChunk.OK, chunk.message
    observation, _ = policy.asked[-1]
    assert np.array_equal(observation.images["observation.images.front"][0], examples.picture(1))
    assert np.array_equal(observation.images["observation.images.wrist"][0], examples.picture(2))
    assert observation.state[0].tolist() == [*np.degrees(robot.positions[:5]), 75.0]

    robot.silent = {"wrist"}
    robot.wait(lambda: False, 1.3)
    robot.ask(2)
    chunk = robot.answer_to(2)
    assert chunk.status == ActionChunk.OBSERVATION_INCOMPLETE
    assert chunk.message.startswith("camera wrist: frame is")
    robot.silent = set()
    robot.wait(lambda: False, 0.3)
    robot.ask(3)
    assert robot.answer_to(3).status == ActionChunk.OK
