"""Hears what a latency breakdown needs on the topics of one robot. It sends nothing, and can hold nobody up.

All readers are best effort: a reader that is slow, niced or stopped then costs the writers neither memory nor repeats.
"""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.serialization import deserialize_message
from so101_msgs.msg import ObservationImage, QueueDecision
from so101_node.latency_breakdown import ChunkClock, LatencyBreakdown

from so101_tools.serialized import DecisionHead, FrameHead, SerializedError

LOOK_PERIOD_S = 1.0
_OBSERVATION_TYPE = "so101_msgs/msg/ObservationImage"


def listener_qos(depth: int) -> QoSProfile:
    """Best effort, keeping the last `depth` for a reader that waits for its turn."""
    return QoSProfile(history=QoSHistoryPolicy.KEEP_LAST, depth=depth, reliability=QoSReliabilityPolicy.BEST_EFFORT)


class LatencyListener:
    """Calls `on_breakdown` once for each chunk, when its first row has been executed."""

    def __init__(self, node: Node, on_breakdown: Callable[[LatencyBreakdown], None]) -> None:
        self._node = node
        self._on_breakdown = on_breakdown
        self._clock = ChunkClock()
        self._waiting = False
        self._topics: set[str] = set()
        self._subscriptions: list[Any] = [
            node.create_subscription(
                QueueDecision, "action_queue/decisions", self._on_decision, listener_qos(100), raw=True
            )
        ]
        self._timer = node.create_timer(LOOK_PERIOD_S, self._find_cameras)
        self._find_cameras()

    def close(self) -> None:
        """Leave all topics."""
        self._node.destroy_timer(self._timer)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _find_cameras(self) -> None:
        """Hear every camera's answers in this namespace, as they appear."""
        namespace = self._node.get_namespace().rstrip("/") + "/"
        for topic, types in self._node.get_topic_names_and_types():
            if topic not in self._topics and _OBSERVATION_TYPE in types and topic.startswith(namespace):
                self._topics.add(topic)
                self._subscriptions.append(
                    self._node.create_subscription(ObservationImage, topic, self._on_frame, listener_qos(5), raw=True)
                )

    def _on_frame(self, serialized: bytes) -> None:
        try:
            head = FrameHead.of(serialized)
        except SerializedError:
            return
        self._clock.frame(head.session, head.request_id, head.capture_age)

    def _on_decision(self, serialized: bytes) -> None:
        try:
            head = DecisionHead.of(serialized)
        except SerializedError:
            return
        if head.input == QueueDecision.CHUNK:
            self._on_chunk(deserialize_message(serialized, QueueDecision))
        elif head.input == QueueDecision.TICK and self._waiting:
            tick = deserialize_message(serialized, QueueDecision)
            breakdown = self._clock.tick(tick.session, tick.now_ns, tick.step)
            if breakdown is not None:
                self._waiting = False
                self._on_breakdown(breakdown)

    def _on_chunk(self, decision: QueueDecision) -> None:
        if decision.verdict != QueueDecision.ACCEPTED or not decision.chunk:
            return
        chunk = decision.chunk[0]
        self._clock.chunk(
            decision.session, chunk.request_id, decision.now_ns, decision.step, decision.round_trip, chunk
        )
        self._waiting = True
