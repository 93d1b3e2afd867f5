# SPDX-License-Identifier: Apache-2.0
"""The line with which a node ends that cannot go on: under its own name, on stderr and on /rosout."""

import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import rclpy
from rcl_interfaces.msg import Log
from rclpy.duration import Duration
from rclpy.exceptions import InvalidNamespaceException, InvalidNodeNameException, InvalidParameterTypeException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

ROSOUT_S = 0.5
"""How long a node that ends waits until somebody who listens to /rosout has found it and has its line."""


def name_in(arguments: Sequence[str]) -> str:
    """Return the name that the arguments of a process give its node, else that of its executable."""
    for flag, rule in pairwise(arguments):
        if flag in ("-r", "--remap") and rule.partition(":=")[0] in ("__node", "__name"):
            return rule.partition(":=")[2]
    program = Path(arguments[0]) if arguments else Path()
    return program.name if program.suffix != ".py" and program.name not in ("", "-c", "-m") else "node"


def say(name: str, text: str, node: Node | None, program: str = "") -> None:
    """Write `[name] error: text` to stderr, and publish it on /rosout with `node` or one that is made for it.

    `program`: what a person typed, "so101 record"; then `program: text` is written, as all verbs do.
    """
    line = " ".join(text.split())
    print(f"{program}: {line}" if program else f"[{name}] error: {line}", file=sys.stderr, flush=True)
    if not rclpy.ok():
        return  # it failed before there was ROS
    own: Node | None = None
    try:
        teller = node
        if teller is None:
            teller = own = rclpy.create_node(
                name, enable_rosout=False, start_parameter_services=False, use_global_arguments=True
            )
        _publish(teller, line)
    except (
        InvalidNodeNameException,
        InvalidNamespaceException,
        InvalidParameterTypeException,
        rclpy_implementation.RCLError,
    ):
        return  # what cannot be a node has said it on stderr
    finally:
        if own is not None:
            own.destroy_node()


def _publish(node: Node, text: str) -> None:
    profile = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = node.create_publisher(Log, "/rosout", profile)
    stamp = node.get_clock().now().to_msg()
    publisher.publish(Log(stamp=stamp, level=Log.ERROR, name=node.get_logger().name, msg=text))
    end_s = time.monotonic() + ROSOUT_S
    while not publisher.get_subscription_count() and time.monotonic() < end_s:
        time.sleep(0.01)
    left_s = max(0.0, end_s - time.monotonic())
    publisher.wait_for_all_acked(Duration(nanoseconds=round(left_s * 1e9)))
