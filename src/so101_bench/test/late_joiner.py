# SPDX-License-Identifier: Apache-2.0
"""Processes that are there, and one that starts again and again, to see how soon it meets them all.

`python late_joiner.py peer NUMBER` is there until it is ended; `python late_joiner.py join PEERS TIMES` prints one
line of JSON: how long each start took to receive from every peer, s.
"""

import json
import sys
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from so101_node.topics import qos
from std_msgs.msg import UInt8

PATIENCE_S = 8.0


def peer(number: str) -> None:
    rclpy.init()
    node = rclpy.create_node(f"peer_{number}")
    publisher = node.create_publisher(UInt8, f"peer_{number}", qos.OBSERVATION)
    others = [node.create_publisher(UInt8, f"other_{number}_{index}", qos.OBSERVATION) for index in range(8)]
    node.create_timer(0.01, lambda: publisher.publish(UInt8()))
    assert others
    rclpy.spin(node)


def join(peers: int) -> float:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("late_joiner", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    heard: set[int] = set()
    began = time.monotonic()
    for number in range(peers):
        node.create_subscription(UInt8, f"peer_{number}", lambda _, number=number: heard.add(number), qos.OBSERVATION)
    while len(heard) < peers and time.monotonic() - began < PATIENCE_S:
        executor.spin_once(timeout_sec=0.01)
    took = time.monotonic() - began
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)
    return took


if __name__ == "__main__":
    if sys.argv[1] == "peer":
        peer(sys.argv[2])
    else:
        print(json.dumps([round(join(int(sys.argv[2])), 3) for _ in range(int(sys.argv[3]))]), flush=True)
