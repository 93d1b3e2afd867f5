# SPDX-License-Identifier: Apache-2.0
"""Entry points of the executables `link_robot` and `link_server`."""

from so101_node.early_signals import start


def link_robot() -> None:
    """Run the node until a signal."""
    start("so101_link.ros.link_robot_node")


def link_server() -> None:
    """Run the node until a signal."""
    start("so101_link.ros.link_server_node")
