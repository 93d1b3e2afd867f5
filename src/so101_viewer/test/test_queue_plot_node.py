# SPDX-License-Identifier: Apache-2.0
"""The queue plot node over DDS: idle without listeners, an image of what the topics said with one."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
from so101_launch_runner.domain import DomainLease
from so101_msgs.msg import ActionChunk, ObservationImage, QueueDecision, QueueStatus
from so101_node.topics.qos import DECISIONS, OBSERVATION, STATUS
from so101_viewer.queue_plot import drawing

INFERENCE = {name: colour for name, _, colour in drawing.GROUPS}["inference"]
FRAME_AGE = {name: colour for name, _, colour in drawing.GROUPS}["frame age"]


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[DomainLease]:
    lease = DomainLease()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(lease.id))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SYSTEM_DEFAULT")
    yield lease
    lease.close()


@pytest.fixture
def plot(domain: DomainLease) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "so101_viewer.queue_plot.queue_plot_node"], env=dict(os.environ))
    yield process
    process.terminate()
    assert process.wait(10) == 0


class Queue:
    """Publishes what a queue publishes, and looks at the plot."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(args=[], context=self.context)
        self.node = rclpy.create_node("queue", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.status = self.node.create_publisher(QueueStatus, "action_queue/status", STATUS)
        self.decisions = self.node.create_publisher(QueueDecision, "action_queue/decisions", DECISIONS)
        self.frames = self.node.create_publisher(ObservationImage, "top/observation", OBSERVATION)
        self.images: list[Image] = []
        self.tick = 0

    def look(self) -> None:
        best_effort = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
        self.node.create_subscription(Image, "queue_plot/image", self.images.append, best_effort)

    def spin_until(self, condition: object, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline_s:  # type: ignore[operator]
            self.step()
            self.executor.spin_once(timeout_sec=0.03)

    def step(self) -> None:
        """One tick; every tenth brings the chunk for a request, five ticks after its frame."""
        self.tick += 1
        now_ns = time.monotonic_ns()
        self.status.publish(
            QueueStatus(tick_ns=now_ns, state=QueueStatus.RUNNING, length=30, chunk_size=50, threshold=0.5)
        )
        if self.tick % 10 == 5:
            self.frames.publish(ObservationImage(session=1, request_id=self.tick + 5, camera="top", capture_age=0.05))
        if self.tick % 10 == 0:
            chunk = ActionChunk(request_id=self.tick, inference=0.04, server_total=0.04)
            self.decisions.publish(
                QueueDecision(
                    session=1,
                    now_ns=self.tick * 10**7,
                    input=QueueDecision.CHUNK,
                    verdict=QueueDecision.ACCEPTED,
                    step=self.tick,
                    round_trip=0.05,
                    chunk=[chunk],
                )
            )
        self.decisions.publish(
            QueueDecision(session=1, now_ns=self.tick * 10**7, input=QueueDecision.TICK, step=self.tick + 1)
        )

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def queue(domain: DomainLease) -> Iterator[Queue]:
    robot = Queue()
    yield robot
    robot.close()


def shows(image: Image, colour: tuple[int, int, int]) -> bool:
    image = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)
    inside = image[drawing.LATENCY.top : drawing.LATENCY.bottom, drawing.LATENCY.left : drawing.LATENCY.right]
    return bool((inside == np.array(colour[::-1], np.uint8)).all(axis=2).any())


def test_a_listener_sees_the_chunks_that_the_queue_took_in(queue: Queue, plot: subprocess.Popen[bytes]) -> None:
    queue.look()
    queue.spin_until(lambda: queue.images and all(shows(queue.images[-1], c) for c in (INFERENCE, FRAME_AGE)), 30.0)
    assert queue.images, "no image within 30 s"
    image = queue.images[-1]
    assert (image.encoding, image.step) == ("bgr8", 3 * image.width)
    assert shows(image, INFERENCE), "no chunk in the image"
    assert shows(image, FRAME_AGE), "no frame age in the image"


def test_nobody_listens_and_nothing_is_heard_or_drawn(queue: Queue, plot: subprocess.Popen[bytes]) -> None:
    queue.spin_until(lambda: "queue_plot" in queue.node.get_node_names(), 60.0)
    ratios = []
    for _ in range(8):  # on a busy machine the start itself reaches into the first looks
        before, began_s = psutil.Process(plot.pid).cpu_times(), time.monotonic()
        queue.spin_until(lambda: False, 1.5)
        after = psutil.Process(plot.pid).cpu_times()
        used_s = (after.user - before.user) + (after.system - before.system)
        ratios.append(used_s / (time.monotonic() - began_s))
        if ratios[-1] < 0.03:
            break
    assert min(ratios) < 0.03, f"of a core: {ratios}"  # what the executor itself takes
    assert queue.status.get_subscription_count() == 0 and queue.decisions.get_subscription_count() == 0
