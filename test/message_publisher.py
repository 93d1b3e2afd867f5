# SPDX-License-Identifier: Apache-2.0
"""Run as a program: publish one filled message of each type of so101_msgs on a topic of its name."""

import inspect
import sys

import rclpy
import so101_msgs.msg
from message_filling import filled
from rclpy.qos import DurabilityPolicy, QoSProfile


def message_types() -> dict[str, type]:
    """All message types of the package by name."""
    return {
        name: value
        for name, value in inspect.getmembers(so101_msgs.msg, inspect.isclass)
        if hasattr(value, "get_fields_and_field_types")
    }


def main() -> None:
    """Publish everything once; transient-local writers keep it for readers that come later."""
    rclpy.init()
    node = rclpy.create_node("message_publisher")
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    for name, message_type in message_types().items():
        node.create_publisher(message_type, name, qos).publish(filled(message_type))
    sys.stdin.read()  # until the test closes it
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
