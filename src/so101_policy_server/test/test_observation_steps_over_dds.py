# SPDX-License-Identifier: Apache-2.0
"""A policy that reads several observation steps, with cameras as they come: the real server, cameras and queue, DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from dds_robot import Robot, RunningServer
from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest, PolicyStatus
from so101_node.topics import qos
from so101_policy_server.lerobot.library import load as load_lerobot

pytest.importorskip("lerobot", reason="LeRobot is not installed")
pytest.importorskip("so101_camera", reason="so101_camera is not beside this package")
queue_world = pytest.importorskip(
    "so101_action_queue.testing.queue_world", reason="so101_action_queue is not installed"
)
queue_world.COMMAND_TIMEOUT_S = 30.0  # its driver shares this process, and the interpreter, with the policy

NAMESPACE = "/steps"
CAMERAS = ("front", "wrist", "top")
PATIENCE_S = 100.0


class Observer(Robot):
    """Keeps what the queue asks and what the cameras and the server answer."""

    def __init__(self) -> None:
        super().__init__(NAMESPACE, ())
        self.requests: dict[int, ObservationRequest] = {}
        self.images: list[ObservationImage] = []
        node = self.node
        node.create_subscription(ObservationRequest, "observation_request", self._on_request, qos.REQUEST_READER)
        for camera in CAMERAS:
            node.create_subscription(ObservationImage, f"{camera}/observation", self.images.append, qos.observation(32))

    def _on_request(self, message: ObservationRequest) -> None:
        self.requests[message.request_id] = message

    def frames(self, request_id: int, camera: str) -> list[ObservationImage]:
        """What that camera answered to that request."""
        return [image for image in self.images if (image.request_id, image.camera) == (request_id, camera)]

    def heard_whole(self) -> list[ActionChunk]:
        """The answered chunks of which request and both frames of every camera were heard here too: all are apart."""
        return [
            chunk
            for chunk in self.answered()
            if chunk.request_id in self.requests
            and all(len(self.frames(chunk.request_id, name)) == 2 for name in CAMERAS)
        ]

    def answered(self) -> list[ActionChunk]:
        """The chunks with rows, each once."""
        return list({chunk.request_id: chunk for chunk in self.chunks if chunk.status == ActionChunk.OK}.values())


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0)
    for index in range(10):
        cv2.imwrite(str(tmp_path / f"{index}.jpg"), noise.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    return tmp_path


def camera(name: str, pictures: Path) -> subprocess.Popen[bytes]:
    """A camera node with nothing set but what it shows."""
    options = ("--ros-args", "-r", f"__node:={name}", "-r", f"__ns:={NAMESPACE}", "-p", f"device:={pictures}")
    environment = {**os.environ, "ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]}
    return subprocess.Popen([sys.executable, "-m", "so101_camera.ros.camera_node", *options], env=environment)


@pytest.fixture
def chain(tiny_diffusion: Path, pictures: Path) -> Iterator[tuple]:
    parameters = {"pretrained_name_or_path": str(tiny_diffusion), "torch_threads": 1, "robots": [NAMESPACE]}
    server = RunningServer(load_lerobot, max_frame_age_s=5.0, **parameters)
    observer = Observer()
    cameras = [camera(name, pictures) for name in CAMERAS]
    assert observer.wait(lambda: any(status.state == PolicyStatus.READY for status in observer.statuses))
    world = queue_world.QueueWorld(NAMESPACE, server_speaks=False)
    world.delay_s = None  # the real server answers
    queue = queue_world.QueueProcess(NAMESPACE, cameras=f"[{','.join(CAMERAS)}]", request_timeout_s=5.0)
    yield world, observer
    queue.leave()
    world.close()
    for process in cameras:
        process.send_signal(signal.SIGINT)
    for process in cameras:
        process.wait(10)
    observer.close()
    server.close()


def test_cameras_and_queue_give_a_diffusion_policy_its_steps_with_nothing_set(chain) -> None:
    world, observer = chain
    world.start()
    assert observer.wait(lambda: len(observer.answered()) > 5, PATIENCE_S), world.summary()
    first = min(observer.answered(), key=lambda chunk: chunk.request_id)
    assert first.request_id <= 3, "the cameras had no history yet: the oldest frame stands in for what is missing"
    assert observer.wait(lambda: len(observer.heard_whole()) > 0, PATIENCE_S), world.summary()
    newest = max(observer.heard_whole(), key=lambda chunk: chunk.request_id)
    request = observer.requests[newest.request_id]
    assert (request.history, len(request.positions)) == (2, 12)
    for name in CAMERAS:
        frames = observer.frames(request.request_id, name)
        assert [frame.history_index for frame in frames] == [0, 1]
        assert frames[0].frame_seq > frames[1].frame_seq, "two steps are two frames, 1/30 s apart"
