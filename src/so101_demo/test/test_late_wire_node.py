# SPDX-License-Identifier: Apache-2.0
"""The late wire as a process, between a server and a queue."""

import time

from so101_msgs.msg import ActionChunk
from so101_node.topics.qos import CHUNK_READER, CHUNK_WRITER


def test_each_chunk_comes_that_much_later_and_several_travel_at_once(peer, start):
    sent: dict[int, float] = {}
    came: list[tuple[int, float]] = []
    server = peer.node.create_publisher(ActionChunk, "late_wire/action_chunk", CHUNK_WRITER)
    peer.node.create_subscription(
        ActionChunk, "action_chunk", lambda chunk: came.append((chunk.request_id, time.monotonic())), CHUNK_READER
    )
    start("so101_demo.late_wire_node", "--ros-args", "-p", "delay_s:=0.6")
    assert peer.spin_until(lambda: server.get_subscription_count() == 1, 15.0)
    assert peer.spin_until(lambda: peer.node.count_publishers("action_chunk") == 1, 15.0)
    for request in range(1, 4):
        sent[request] = time.monotonic()
        server.publish(ActionChunk(request_id=request))
        peer.spin_until(lambda: False, 0.1)
    assert not came, "the first is still under way when the last is sent"
    assert peer.spin_until(lambda: len(came) == 3, 10.0)
    assert [request for request, _ in came] == [1, 2, 3]
    assert all(0.6 <= at - sent[request] < 1.6 for request, at in came)
