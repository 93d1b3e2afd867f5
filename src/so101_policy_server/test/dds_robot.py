# SPDX-License-Identifier: Apache-2.0
"""The other side of the server, over real DDS: what an action queue and three cameras send, and what they hear."""

from __future__ import annotations

import array
import os
import threading
import time
from collections.abc import Callable

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest, PolicySpec, PolicyStatus
from so101_node.topics import qos
from so101_policy_server.policy import Loader
from so101_policy_server.ros.policy_server_node import PolicyServerNode

DOMAIN = int(os.environ["ROS_DOMAIN_ID"])  # conftest.py has leased it
JOINTS = ["shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper"]
WAIT_S = 240.0
"""Generous: the machine may be busy. Nothing waits longer than it has to."""


class Robot:
    """Publishes specs, requests and frames in a namespace; keeps every chunk and status."""

    def __init__(self, namespace: str = "/", cameras: tuple[str, ...] = ("front", "wrist"), session: int = 7) -> None:
        self.cameras, self.session, self.spec_id = cameras, session, 9
        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=DOMAIN)
        self.node = Node("robot", context=self._context, namespace=namespace, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.chunks: list[ActionChunk] = []
        self.statuses: list[PolicyStatus] = []
        self._spec = self.node.create_publisher(PolicySpec, "policy_spec", qos.LATCHED)
        self._request = self.node.create_publisher(ObservationRequest, "observation_request", qos.REQUEST_WRITER)
        self._images = {
            camera: self.node.create_publisher(ObservationImage, f"{camera}/observation", qos.OBSERVATION)
            for camera in cameras
        }
        self.node.create_subscription(ActionChunk, "action_chunk", self.chunks.append, qos.CHUNK_READER)
        self.node.create_subscription(PolicyStatus, "policy_status", self.statuses.append, qos.LATCHED)

    def wait(self, condition: Callable[[], object], limit_s: float = WAIT_S) -> bool:
        """Spin until the condition holds; tell whether it did."""
        end = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > end:
                return False
            self._executor.spin_once(timeout_sec=0.02)
        return True

    def send_spec(self, **changes) -> PolicySpec:
        """Publish the spec."""
        values = {
            "session": self.session,
            "spec_id": self.spec_id,
            "actions_per_chunk": 50,
            "fps": 30.0,
            "cameras": list(self.cameras),
            "joint_names": JOINTS,
            "range_lower": [-1.5] * 6,
            "range_upper": [1.5] * 6,
            "drive_mode": [0] * 6,
        }
        spec = PolicySpec(**(values | changes))
        self._spec.publish(spec)
        return spec

    def wait_until_heard(self) -> None:
        """Until the server has accepted the spec and listens to requests and cameras."""
        assert self.wait(lambda: self.statuses and self.statuses[-1].spec_id == self.spec_id, WAIT_S)
        assert self.wait(lambda: self.statuses[-1].state == PolicyStatus.READY), self.statuses[-1].message
        publishers = [self._request, *self._images.values()]
        assert self.wait(lambda: all(publisher.get_subscription_count() for publisher in publishers))

    def ask(self, request_id: int, **changes) -> None:
        """Publish a request, twice as the queue does."""
        values = {
            "session": self.session,
            "request_id": request_id,
            "spec_id": self.spec_id,
            "step": 10 * request_id,
            "history": 1,
            "joint_names": JOINTS,
            "positions": [0.1] * 6,
            "task": "pick",
        }
        request = ObservationRequest(**(values | changes))
        for _ in range(2):
            self._request.publish(request)

    def show(self, camera: str, request_id: int, data: bytes, format: str = "png", **changes) -> None:
        """Publish a camera's frame."""
        values = {"session": self.session, "request_id": request_id, "frame_seq": request_id, "capture_age": 0.01}
        image = ObservationImage(camera=camera, **(values | changes))
        image.image.format = format
        image.image.data = array.array("B", data)
        self._images[camera].publish(image)

    def answer_to(self, request_id: int) -> ActionChunk:
        """Wait for the answer in this session; the second copy of an earlier session's answer may come in between."""
        wanted = (self.session, request_id)
        assert self.wait(lambda: any((chunk.session, chunk.request_id) == wanted for chunk in self.chunks)), "no answer"
        return next(chunk for chunk in self.chunks if (chunk.session, chunk.request_id) == wanted)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.remove_node(self.node)
        self.node.destroy_node()
        self._executor.shutdown(timeout_sec=0.5)
        rclpy.shutdown(context=self._context)


class RunningServer:
    """The node in this process, spun by a thread of its own."""

    def __init__(self, loader: Loader, **parameters) -> None:
        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=DOMAIN)
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = PolicyServerNode(loader, context=self._context, parameter_overrides=overrides, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        """Say goodbye and leave the graph."""
        self._stop.set()
        self._thread.join()
        self.node.on_exit()
        self._executor.remove_node(self.node)
        self.node.destroy_node()
        self._executor.shutdown(timeout_sec=0.5)
        rclpy.shutdown(context=self._context)
