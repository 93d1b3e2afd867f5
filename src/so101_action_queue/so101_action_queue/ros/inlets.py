# SPDX-License-Identifier: Apache-2.0
"""All that the node listens to. Callbacks run on the spinning thread and hand each message to the queue."""

from collections.abc import Callable

from rclpy.node import Node
from sensor_msgs.msg import JointState
from so101_msgs.msg import ActionChunk, DriverStatus, FrameTiming, JointLimits, PolicyStatus
from so101_node.protocol import FloatArray
from so101_node.timing import clock
from so101_node.topics import graph, qos

from so101_action_queue import translation
from so101_action_queue.core.inputs import JointPositions
from so101_action_queue.ros.shared_queue import SharedQueue

OBSERVATION_TYPE = "so101_msgs/msg/ObservationImage"


class Inlets:
    """Subscriptions of the action queue, from `open` to `close`.

    Args:
        publish_spec: publishes the spec if it is news; called with True where a server has not heard of it.
        show_plan: shows the rows ahead, (rows, joints) rad, after each accepted chunk.
    """

    def __init__(
        self,
        node: Node,
        queue: SharedQueue,
        joint_names: tuple[str, ...],
        publish_spec: Callable[[bool], None],
        show_plan: Callable[[FloatArray], None],
    ) -> None:
        self._node = node
        self._queue = queue
        self._publish_spec = publish_spec
        self._show_plan = show_plan
        self._positions_reader = translation.JointPositionsReader(joint_names)
        self._joint_state: tuple[JointState, int] | None = None
        # Subscribing now, not earlier: latched limits that came while nobody kept them would never come again.
        self._subscriptions = [
            node.create_subscription(kind, topic, callback, profile)
            for kind, topic, callback, profile in (
                (JointState, "joint_states", self._on_joint_state, qos.JOINT_STATES_READER),
                (DriverStatus, "driver_status", queue.hear_driver, qos.LATCHED),
                (JointLimits, "joint_limits", self._on_joint_limits, qos.LATCHED),
                (PolicyStatus, "policy_status", self._on_policy_status, qos.LATCHED),
                (ActionChunk, "action_chunk", self._on_action_chunk, qos.CHUNK_READER),
                (FrameTiming, "frame_timing", queue.hear_frame_timing, qos.FRAME_TIMING),
            )
        ]

    def close(self) -> None:
        """Listen no more."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def measured(self, now_ns: int) -> JointPositions | None:
        """Return the newest joint positions with their age; called on the control thread."""
        if self._joint_state is None:
            return None
        message, received_ns = self._joint_state
        return self._positions_reader.read(message, max(0, now_ns - received_ns) / 1e9)

    def look_for_cameras(self) -> None:
        """Tell the queue which cameras publish `<camera>/observation` in this namespace."""
        prefix, suffix = self._node.get_namespace().rstrip("/") + "/", "/observation"
        topics = (topic for topic, types in self._node.get_topic_names_and_types() if OBSERVATION_TYPE in types)
        ours = [topic for topic in topics if topic.startswith(prefix) and topic.endswith(suffix)]
        names = [topic[len(prefix) : -len(suffix)] for topic in ours if graph.publishers(self._node, topic)]
        self._queue.find_cameras(name for name in names if "/" not in name)
        self._publish_spec(False)

    def _on_joint_state(self, message: JointState) -> None:
        self._joint_state = (message, clock.now_ns())  # read by the control thread, which copies

    def _on_joint_limits(self, message: JointLimits) -> None:
        self._queue.set_limits(message)
        self._publish_spec(False)

    def _on_policy_status(self, message: PolicyStatus) -> None:
        if self._queue.hear_server(message):
            # A latched sample may reach a server that was just started only with the next heartbeat of DDS, after 3 s.
            self._publish_spec(True)

    def _on_action_chunk(self, message: ActionChunk) -> None:
        rows = self._queue.take_chunk(message)
        if rows is not None:
            self._show_plan(rows)
