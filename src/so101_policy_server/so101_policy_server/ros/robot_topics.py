# SPDX-License-Identifier: Apache-2.0
"""The topics of one robot, as the server hears and answers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image, JointState
from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest, PolicySpec, PolicyStatus
from so101_node.topics import graph, qos
from so101_node.topics.repeat import RepeatPublisher

FRAMES_DEPTH = 32
"""Frames of a camera that may wait for the executor: policies that read several steps get them in one burst, and a
camera sends at most so many."""


@dataclass(frozen=True, slots=True)
class RobotCallbacks:
    """Called with what the robot says.

    request: an ObservationRequest. spec: a PolicySpec, with the RobotTopics it came by. observation_image: an
    ObservationImage. frame: camera name and an image of a plain topic. positions: a JointState.
    """

    request: Callable[[ObservationRequest], None]
    spec: Callable[[RobotTopics, PolicySpec], None]
    observation_image: Callable[[ObservationImage], None]
    frame: Callable[[str, CompressedImage | Image], None]
    positions: Callable[[JointState], None]


class RobotTopics:
    """Publishers and subscriptions for one robot.

    Args:
        node: owns them.
        name: the robot's namespace as the parameter `robots` has it, or the node's own.
        heard: who is told.
        topics_transport: "" = cameras answer requests; "compressed" or "raw" = plain image topics of that kind, and
            joint_states.

    Raises:
        InvalidTopicNameException: `name` cannot be part of a topic name.
    """

    def __init__(self, node: Node, name: str, heard: RobotCallbacks, topics_transport: str) -> None:
        self._node, self.name, self._heard, self._transport = node, name, heard, topics_transport
        prefix = self._prefix = "" if name == node.get_namespace() else f"{name.rstrip('/')}/"
        self.chunks = RepeatPublisher(node, ActionChunk, f"{prefix}action_chunk", qos.CHUNK_WRITER)
        self.status = node.create_publisher(PolicyStatus, f"{prefix}policy_status", qos.LATCHED)
        self._inputs = [
            node.create_subscription(
                ObservationRequest, f"{prefix}observation_request", heard.request, qos.REQUEST_READER
            ),
            node.create_subscription(PolicySpec, f"{prefix}policy_spec", partial(heard.spec, self), qos.LATCHED),
        ]
        if topics_transport:
            joint_states = f"{prefix}joint_states"
            self._inputs.append(
                node.create_subscription(JointState, joint_states, heard.positions, qos.JOINT_STATES_READER)
            )
        self._cameras: dict[str, Subscription] = {}

    @property
    def is_announced(self) -> bool:
        """Whether somebody, the robot's queue, publishes its policy_spec."""
        return graph.publishers(self._node, f"{self._prefix}policy_spec") > 0

    def listen_to(self, cameras: tuple[str, ...]) -> None:
        """Subscribe to exactly these cameras; a name that cannot be a topic is left for the spec check to refuse."""
        for camera in set(self._cameras) - set(cameras):
            self._node.destroy_subscription(self._cameras.pop(camera))
        for camera in cameras:
            if camera in self._cameras:
                continue
            try:
                self._cameras[camera] = self._subscribe(camera)
            except InvalidTopicNameException:
                log: Any = self._node.get_logger()  # type: ignore[no-untyped-call]
                log.error(f"camera {camera!r} of policy_spec cannot be part of a topic name")

    def destroy(self) -> None:
        """Release all topics."""
        self.listen_to(())
        for subscription in self._inputs:
            self._node.destroy_subscription(subscription)
        self.chunks.destroy()
        self._node.destroy_publisher(self.status)

    def _subscribe(self, camera: str) -> Subscription:
        base = f"{self._prefix}{camera}"
        if not self._transport:
            return self._node.create_subscription(
                ObservationImage, f"{base}/observation", self._heard.observation_image, qos.observation(FRAMES_DEPTH)
            )
        seen = partial(self._heard.frame, camera)
        if self._transport == "raw":
            return self._node.create_subscription(Image, f"{base}/image_raw", seen, qos.IMAGE)
        return self._node.create_subscription(CompressedImage, f"{base}/image_raw/compressed", seen, qos.IMAGE)
