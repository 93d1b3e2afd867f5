# SPDX-License-Identifier: Apache-2.0
"""Hears what a latency breakdown needs on the topics of one robot. It sends nothing, and can hold nobody up."""

from collections.abc import Iterator

from rclpy.node import Node
from rclpy.serialization import deserialize_message
from so101_msgs.msg import ObservationImage, QueueDecision
from so101_node.metrics.latency import ChunkClock, LatencyBreakdown
from so101_node.topics.serialized import DecisionHead, FrameHead, SerializedError

from so101_viewer.polled import PolledTopic

_OBSERVATION_TYPE = "so101_msgs/msg/ObservationImage"
_DECISIONS = 100  # three seconds of ticks
_FRAMES = 10


class LatencyListener:
    """Gives out one breakdown for each chunk, once its first row has been executed."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._clock = ChunkClock()
        self._waiting = False
        self._decisions = PolledTopic(node, QueueDecision, "action_queue/decisions", _DECISIONS, raw=True)
        self._frames: dict[str, PolledTopic] = {}
        self.find_cameras()

    def close(self) -> None:
        """Leave all topics."""
        for topic in (self._decisions, *self._frames.values()):
            topic.close()

    def find_cameras(self) -> None:
        """Subscribe to every camera's frames in this namespace; call it now and then, as cameras appear."""
        namespace = self._node.get_namespace().rstrip("/") + "/"
        for topic, types in self._node.get_topic_names_and_types():
            if topic not in self._frames and _OBSERVATION_TYPE in types and topic.startswith(namespace):
                self._frames[topic] = PolledTopic(self._node, ObservationImage, topic, _FRAMES, raw=True)

    def poll(self) -> Iterator[LatencyBreakdown]:
        """Give out what became complete since the last look, which should not be more than a second ago."""
        for frames in self._frames.values():
            for serialized in frames.take():
                self._hear_frame(serialized)
        for serialized in self._decisions.take():
            breakdown = self._hear_decision(serialized)
            if breakdown is not None:
                yield breakdown

    def _hear_frame(self, serialized: bytes) -> None:
        try:
            head = FrameHead.of(serialized)
        except SerializedError:
            return
        self._clock.frame(head.session, head.request_id, head.capture_age)

    def _hear_decision(self, serialized: bytes) -> LatencyBreakdown | None:
        try:
            head = DecisionHead.of(serialized)
        except SerializedError:
            return None
        if head.input == QueueDecision.CHUNK:
            self._hear_chunk(deserialize_message(serialized, QueueDecision))
        elif head.input == QueueDecision.TICK and self._waiting:
            tick = deserialize_message(serialized, QueueDecision)
            breakdown = self._clock.tick(tick.session, tick.now_ns, tick.step)
            self._waiting = breakdown is None
            return breakdown
        return None

    def _hear_chunk(self, decision: QueueDecision) -> None:
        if decision.verdict != QueueDecision.ACCEPTED or not decision.chunk:
            return
        chunk = decision.chunk[0]
        self._clock.chunk(
            decision.session, chunk.request_id, decision.now_ns, decision.step, decision.round_trip, chunk
        )
        self._waiting = True
