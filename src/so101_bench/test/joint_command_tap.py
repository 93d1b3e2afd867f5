# SPDX-License-Identifier: Apache-2.0
"""A robot that counts the commands that arrive, and a neighbour that sends some.

`python joint_command_tap.py listen SECONDS` prints `up`, and after that time how many arrived;
`python joint_command_tap.py command SECONDS` publishes ten a second.
"""

import sys
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState

if __name__ == "__main__":
    kind, seconds = sys.argv[1], float(sys.argv[2])
    rclpy.init()
    node = rclpy.create_node(f"tap_{kind}")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    arrived: list[JointState] = []
    if kind == "listen":
        node.create_subscription(JointState, "joint_command", arrived.append, 1)
    else:
        publisher = node.create_publisher(JointState, "joint_command", 1)
        node.create_timer(0.1, lambda: publisher.publish(JointState(name=["gripper"], position=[0.5])))
    if kind == "listen":
        print("up", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        executor.spin_once(timeout_sec=0.1)
    if kind == "listen":
        print(len(arrived), flush=True)
