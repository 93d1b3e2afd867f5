# SPDX-License-Identifier: Apache-2.0
"""Two nodes that answer for one camera, such as a camera and a frame gate: seen over DDS, after a lease."""

from collections.abc import Iterator

import pytest
from rclpy.context import Context
from rclpy.node import Node
from so101_camera.ros.rivals import LEASE_NS, Rivals
from std_msgs.msg import Empty
from test_camera_node import DOMAIN, Robot

TOPIC = "/left/top/observation"


@pytest.fixture
def robot() -> Iterator[Robot]:
    result = Robot()
    yield result
    result.close()


def test_another_node_on_the_topic_is_named_once_it_has_stayed_for_a_lease(robot: Robot) -> None:
    context = Context()
    context.init(domain_id=DOMAIN)
    own = Node("top", namespace="/left", context=context)
    before = Node("top", namespace="/left", context=context)  # itself, killed a moment ago
    other = Node("frame_gate_1", namespace="/left", context=context)
    try:
        for node in (own, before):
            node.create_publisher(Empty, TOPIC, 1)
        rivals = Rivals(own, TOPIC)
        assert robot.wait(lambda: own.count_publishers(TOPIC) == 2)
        assert rivals.names(0) == rivals.names(LEASE_NS) == []
        publisher = other.create_publisher(Empty, TOPIC, 1)
        assert robot.wait(lambda: own.count_publishers(TOPIC) == 3)
        assert rivals.names(LEASE_NS) == rivals.names(2 * LEASE_NS - 1) == []
        assert rivals.names(2 * LEASE_NS) == ["/left/frame_gate_1"]
        other.destroy_publisher(publisher)
        assert robot.wait(lambda: own.count_publishers(TOPIC) == 2)
        assert rivals.names(3 * LEASE_NS) == []
    finally:
        for node in (own, before, other):
            node.destroy_node()
        context.try_shutdown()
