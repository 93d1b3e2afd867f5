# SPDX-License-Identifier: Apache-2.0
"""Putting a node's parameters about its priority into force."""

from rclpy.node import Node

from so101_node.threads.priority import raise_process


def take_precedence(node: Node, niceness: int, thread_priority: int = 0) -> None:
    """Give all threads of this process that priority. What is not permitted is a warning and changes nothing else."""
    refused = raise_process(niceness, thread_priority)
    if refused:
        node.get_logger().warning(refused)
