# SPDX-License-Identifier: Apache-2.0
"""Publishing a message twice, 10 ms apart.

A reliable writer repairs a lost small message only after a heartbeat period: p99 278 ms at 1 % loss on an emulated
100 Mbit/s link. A second copy, made harmless by the id inside, arrives long before that.
"""

from collections import deque
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile

from so101_node.timing.timers import create_timer

REPEAT_AFTER_S = 0.010


class RepeatPublisher:
    """Publishes each message at once and once more `REPEAT_AFTER_S` later, from the node's executor.

    `publish` may be called from any thread.
    """

    def __init__(self, node: Node, message_type: type[Any], topic: str, qos: QoSProfile) -> None:
        self._node = node
        self._publisher = node.create_publisher(message_type, topic, qos)
        self._waiting: deque[Any] = deque()
        self._timer = create_timer(node, REPEAT_AFTER_S, self._publish_copy, autostart=False)

    def publish(self, message: Any) -> None:
        """Send now, and once more from the timer."""
        self._publisher.publish(message)
        self._waiting.append(message)
        if self._timer.is_canceled():
            self._timer.reset()

    def _publish_copy(self) -> None:
        # Messages that came while the timer was running share its next call: theirs is up to 10 ms early, never late.
        while self._waiting:
            self._publisher.publish(self._waiting.popleft())
        self._timer.cancel()

    def destroy(self) -> None:
        """Release the publisher and its timer; copies not yet sent are dropped."""
        self._timer.cancel()
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)
