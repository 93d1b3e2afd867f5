# SPDX-License-Identifier: Apache-2.0
"""The topics of one robot on this computer's own DDS: one end hears what the other speaks, as serialized bytes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest, PolicySpec, PolicyStatus
from so101_node.topics import graph, qos
from so101_node.topics.serialized import Cdr, FrameHead, SerializedError

from so101_link.core import topics as carried
from so101_link.core.outbox import STALE_NS, LinkRequestKey
from so101_link.core.topics import MAX_CAMERAS, LinkRole, LinkTopic, Urgency, frames_of
from so101_link.ros.node_calls import NodeCalls

FRAMES_DEPTH: Final = 32
"""As deep as a camera's burst for a policy that reads several steps."""

type Heard = Callable[[LinkTopic, bytes, int, LinkRequestKey | None], None]


_KINDS: Final = {
    carried.OBSERVATION_REQUEST: ObservationRequest,
    carried.ACTION_CHUNK: ActionChunk,
    carried.POLICY_SPEC: PolicySpec,
    carried.POLICY_STATUS: PolicyStatus,
}


def is_sound(topic: LinkTopic, data: bytes) -> bool:
    """Whether these bytes are a message of the topic's type: nodes end over one that is not.

    Of a frame the fields are read over, which takes 20 us; deserializing takes 2 ms.
    """
    try:
        if topic.urgency is not Urgency.FRAME:
            deserialize_message(data, _KINDS[topic])
            return True
        frame = Cdr(data)
        frame.skip_header()
        frame.uint64(), frame.uint64(), frame.text(), frame.uint32(), frame.uint64(), frame.float64()
        frame.skip_header()
        frame.text(), frame.blob()
    except (SerializedError, RuntimeError, UnicodeDecodeError):
        return False
    return True


class LinkTopics:
    """Publishers and subscriptions for one robot.

    All but `deliver` belongs to the node's thread. They have no handlers of events, which the executor would look
    through in every round; the other end of a topic warns of a QoS that does not fit.

    Args:
        node: owns them.
        prefix: before each topic: "" in the robot's own namespace, `/arm1/` on the server.
        role: which end this is: it hears what it sends over the link, and speaks what comes.
        calls: of the node.
        heard: told topic, serialized message, steady time, and of a frame its request; must not block.
    """

    def __init__(self, node: Node, prefix: str, role: LinkRole, calls: NodeCalls, heard: Heard) -> None:
        self._node, self._prefix, self._role, self._calls, self._heard = node, prefix, role, calls, heard
        self._lock = threading.Lock()
        self._publishers: dict[str, Publisher] = {}
        self._cameras: dict[str, Subscription | None] = {}
        self.is_held = False
        self._latched: dict[str, int] = {}
        self.unreadable = 0
        if role is LinkRole.ROBOT:
            self._listen(carried.OBSERVATION_REQUEST, ObservationRequest, qos.REQUEST_READER)
            self._listen(carried.POLICY_SPEC, PolicySpec, qos.LATCHED)
            self._speak(carried.ACTION_CHUNK, ActionChunk, qos.CHUNK_WRITER)
            self._speak(carried.POLICY_STATUS, PolicyStatus, qos.LATCHED)
        else:
            self._listen(carried.ACTION_CHUNK, ActionChunk, qos.CHUNK_READER)
            self._listen(carried.POLICY_STATUS, PolicyStatus, qos.LATCHED)
            self._speak(carried.OBSERVATION_REQUEST, ObservationRequest, qos.CHUNK_WRITER)
            self._speak(carried.POLICY_SPEC, PolicySpec, qos.LATCHED)

    def deliver(self, topic: LinkTopic, data: bytes) -> None:
        """Publish what came over the link, from the thread of the connection."""
        if not is_sound(topic, data):
            self.unreadable += 1
            return
        if topic is carried.POLICY_SPEC:  # its cameras must be there first
            self._calls.add(partial(self._publish_spec, data))
            return
        if topic.urgency is Urgency.LATCHED:
            self._latched[topic.name] = time.monotonic_ns()
        self._publish(topic, data)

    def forget(self) -> None:
        """The other end is gone: who comes late must not be greeted with what it said last. From any thread."""
        self._calls.add(self._forget)

    def forget_stale(self) -> None:
        """A heartbeat that has ended must not greet who comes late, though the link is up: its publisher is gone."""
        said_ns = self._latched.get(carried.POLICY_STATUS.name)
        if said_ns is not None and time.monotonic_ns() - said_ns > STALE_NS:
            self._forget()

    def has_publisher(self, topic: LinkTopic) -> bool:
        """Whether somebody here publishes a topic that this end hears."""
        return graph.publishers(self._node, self._prefix + topic.name) > 0

    def look_for_rivals(self) -> str:
        """Hold the link while another node publishes here what comes over the link; return who does, or "".

        Both ends of a link in one DDS domain would send each other's messages in a circle.
        """
        mine = (self._node.get_name(), self._node.get_namespace())
        found = []
        for topic in carried.FIXED:
            if topic.name not in self._publishers:
                continue
            name = self._node.resolve_topic_name(self._prefix + topic.name)
            for info in self._node.get_publishers_info_by_topic(name):
                if (info.node_name, info.node_namespace) != mine:
                    found.append(f"{info.node_namespace.rstrip('/')}/{info.node_name} publishes {name}")
        self.is_held = bool(found)
        return found[0] if found else ""

    def listeners(self) -> int:
        """How many nodes here hear the first topic that comes over the link."""
        topic = carried.ACTION_CHUNK if self._role is LinkRole.ROBOT else carried.OBSERVATION_REQUEST
        return graph.subscriptions(self._node, self._prefix + topic.name)

    # -- what is heard here -------------------------------------------------------------------------------------------

    def _listen(self, topic: LinkTopic, kind: type[Any], profile: QoSProfile) -> Subscription:
        return self._node.create_subscription(
            kind, self._prefix + topic.name, partial(self._on_message, topic), profile, raw=True,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
        )  # fmt: skip

    def _on_message(self, topic: LinkTopic, data: bytes) -> None:
        if self.is_held:
            return
        key = None
        if topic.urgency is Urgency.FRAME:
            head = FrameHead.of(data)
            key = LinkRequestKey(head.session, head.request_id)
        self._heard(topic, data, time.monotonic_ns(), key)
        if topic is carried.POLICY_SPEC:
            self._follow(data)

    def _follow(self, spec: bytes) -> None:
        """Hear, or speak for, exactly the cameras that this spec names."""
        wanted = {str(name) for name in deserialize_message(spec, PolicySpec).cameras[:MAX_CAMERAS]}
        for camera in set(self._cameras) - wanted:
            subscription = self._cameras.pop(camera)
            if subscription is not None:
                self._node.destroy_subscription(subscription)
            self._destroy_publisher(f"{camera}/observation")
        for camera in sorted(wanted - set(self._cameras)):
            topic = frames_of(camera)
            if topic is None:  # the policy server refuses it in words
                continue
            try:
                self._cameras[camera] = self._connect_camera(topic)
            except InvalidTopicNameException:
                continue

    def _connect_camera(self, topic: LinkTopic) -> Subscription | None:
        profile = qos.observation(FRAMES_DEPTH)
        if self._role is LinkRole.ROBOT:
            return self._listen(topic, ObservationImage, profile)
        self._speak(topic, ObservationImage, profile)
        return None

    # -- what is spoken here ------------------------------------------------------------------------------------------

    def _speak(self, topic: LinkTopic, kind: type[Any], profile: QoSProfile) -> None:
        quiet = PublisherEventCallbacks(use_default_callbacks=False)
        publisher = self._node.create_publisher(kind, self._prefix + topic.name, profile, event_callbacks=quiet)
        with self._lock:
            self._publishers[topic.name] = publisher

    def _publish(self, topic: LinkTopic, data: bytes) -> None:
        with self._lock:
            publisher = self._publishers.get(topic.name)
            if publisher is not None and not self.is_held:
                publisher.publish(data)

    def _publish_spec(self, data: bytes) -> None:
        self._follow(data)
        self._latched[carried.POLICY_SPEC.name] = time.monotonic_ns()
        self._publish(carried.POLICY_SPEC, data)

    def _forget(self) -> None:
        for topic, kind in ((carried.POLICY_SPEC, PolicySpec), (carried.POLICY_STATUS, PolicyStatus)):
            if self._latched.pop(topic.name, None) is not None:
                self._destroy_publisher(topic.name)
                self._speak(topic, kind, qos.LATCHED)

    def _destroy_publisher(self, name: str) -> None:
        with self._lock:
            publisher = self._publishers.pop(name, None)
            if publisher is not None:
                self._node.destroy_publisher(publisher)
