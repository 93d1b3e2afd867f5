# SPDX-License-Identifier: Apache-2.0
"""Which of a robot's cameras a policy gets: the real server, camera nodes and queue, over DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from dds_robot import Robot, RunningServer
from so101_msgs.msg import ActionChunk, ObservationImage, PolicySpec
from so101_node.topics import qos

pytest.importorskip("so101_camera", reason="so101_camera is not beside this package")
queue_world = pytest.importorskip(
    "so101_action_queue.testing.queue_world", reason="so101_action_queue is not installed"
)

NAMESPACE = "/choice"
CAMERAS = ("front", "top", "wrist")


class Observer(Robot):
    """Keeps which cameras sent a frame, and what the queue expects."""

    def __init__(self) -> None:
        super().__init__(NAMESPACE, ())
        self.images: list[ObservationImage] = []
        self.specs: list[PolicySpec] = []
        self.node.create_subscription(PolicySpec, "policy_spec", self.specs.append, qos.LATCHED)
        for name in CAMERAS:
            topic = f"{name}/observation"
            self.node.create_subscription(ObservationImage, topic, self.images.append, qos.observation(32))

    def is_answered(self) -> bool:
        return sum(chunk.status == ActionChunk.OK for chunk in self.chunks) > 3


@pytest.fixture
def observer() -> Iterator[Observer]:
    made = Observer()
    yield made
    made.close()


@pytest.fixture
def start_camera(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.jpg"), noise)
    running = []

    def start(name: str) -> None:
        options = ("--ros-args", "-r", f"__node:={name}", "-r", f"__ns:={NAMESPACE}", "-p", f"device:={tmp_path}")
        running.append(
            subprocess.Popen([sys.executable, "-m", "so101_camera.ros.camera_node", *options], env=os.environ)
        )

    yield start
    for process in running:
        process.send_signal(signal.SIGINT)
    for process in running:
        process.wait(10)


@pytest.fixture
def robot(examples, spy_policy) -> Iterator[Callable]:
    """Starts a server whose policy reads these cameras, and a queue; gives the queue's process and its world."""
    closing: list[Callable] = []

    def start(*reads: str, **parameters: str):
        policy = spy_policy(examples.description(*reads))
        server = RunningServer(
            lambda source, progress: policy,
            pretrained_name_or_path="models/pick",
            robots=[NAMESPACE],
            max_frame_age_s=5.0,
        )
        closing.append(server.close)
        world = queue_world.QueueWorld(NAMESPACE, server_speaks=False)
        world.delay_s = None  # the real server answers
        closing.append(world.close)
        queue = queue_world.QueueProcess(NAMESPACE, request_timeout_s=5.0, start_on_activate="true", **parameters)
        closing.append(queue.kill)
        return queue, world

    yield start
    for close in reversed(closing):
        close()


@pytest.mark.parametrize(
    "parameters",
    [{}, {"cameras": "[front,top,wrist]", "frame_size": "policy"}],
    ids=["nothing said", "all named, at the policy's size"],
)
def test_a_policy_that_reads_one_of_three_cameras_gets_that_and_the_others_send_nothing(
    observer: Observer, start_camera, robot, parameters
) -> None:
    for name in CAMERAS:
        start_camera(name)
    queue, world = robot("top", **parameters)
    assert observer.wait(observer.is_answered), world.summary()
    assert {image.camera for image in observer.images} == {"top"}
    assert list(observer.specs[-1].cameras) == ["top"]
    sent = {cv2.imdecode(np.asarray(image.image.data), cv2.IMREAD_COLOR).shape[:2] for image in observer.images}
    assert sent == {(24, 32) if parameters else (48, 64)}
    code, output, _ = queue.leave()
    assert code == 0
    if parameters:
        assert "cameras: top; left out, the policy does not read them: front, wrist" in output
    assert "[ERROR]" not in output


def test_a_camera_that_the_robot_does_not_have_is_named_with_those_it_has_until_it_is_started(
    observer: Observer, start_camera, robot
) -> None:
    for name in ("front", "top"):
        start_camera(name)
    _, world = robot("top", "wrist")
    refusal = "the policy reads camera wrist: the robot has front, top; start a camera of that name"
    assert observer.wait(lambda: any(refusal in status.cause for status in list(world.statuses))), world.summary()
    assert not observer.images
    start_camera("wrist")
    assert observer.wait(observer.is_answered), world.summary()
    assert {image.camera for image in observer.images} == {"top", "wrist"}
