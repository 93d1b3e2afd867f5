# SPDX-License-Identifier: Apache-2.0
"""Each message goes out twice."""

import time
from collections.abc import Callable

import pytest
import rclpy
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from so101_node.topics import qos
from so101_node.topics.repeat import RepeatPublisher
from std_msgs.msg import UInt64


@pytest.mark.parametrize("make_executor", [SingleThreadedExecutor, EventsExecutor], ids=["waits", "events"])
def test_each_message_arrives_twice_and_in_order_of_first_arrival(make_executor: Callable[..., Executor]) -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node("repeat", context=context)
    executor = make_executor(context=context)
    executor.add_node(node)
    heard: list[int] = []
    node.create_subscription(UInt64, "numbers", lambda message: heard.append(message.data), qos.CHUNK_READER)
    publisher = RepeatPublisher(node, UInt64, "numbers", qos.CHUNK_WRITER)
    try:
        deadline = time.monotonic() + 10
        while not node.count_subscribers("numbers") and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.05)
        for number in range(3):
            publisher.publish(UInt64(data=number))
            end = time.monotonic() + 0.3
            while heard.count(number) < 2 and time.monotonic() < deadline:
                executor.spin_once(timeout_sec=0.05)
            while time.monotonic() < end:
                executor.spin_once(timeout_sec=0.02)
        assert heard == [0, 0, 1, 1, 2, 2]
    finally:
        publisher.destroy()
        node.destroy_node()
        executor.shutdown()
        rclpy.shutdown(context=context)
