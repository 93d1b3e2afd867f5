# SPDX-License-Identifier: Apache-2.0
"""Another node that answers for the same camera: the policy would get the frames of either."""

from rclpy.node import Node
from so101_node.diagnostics import Cause, Level

ANSWERED_TWICE = Cause(
    "ANSWERED_TWICE",
    Level.ERROR,
    "another node sends frames under this camera's name, and the policy gets those of either",
    "end one of the two: camera_N:=none of robot.launch.xml, or another name",
)

# A node that was killed stays in the ROS graph until its lease ends (Fast DDS: 20 s).
LEASE_NS = 25_000_000_000


class Rivals:
    """Watches who else publishes a topic."""

    def __init__(self, node: Node, topic: str) -> None:
        """Keep the node, whose own publisher does not count, and the topic's full name."""
        self._node = node
        self._topic = topic
        self._since_ns: int | None = None

    def names(self, now_ns: int) -> list[str]:
        """Return the other nodes, sorted, once there have been some for longer than a lease."""
        own = self._node.get_fully_qualified_name()
        infos = self._node.get_publishers_info_by_topic(self._topic)
        others = sorted({f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in infos} - {own})
        if not others:
            self._since_ns = None
            return []
        if self._since_ns is None:
            self._since_ns = now_ns
        return others if now_ns - self._since_ns >= LEASE_NS else []
