# SPDX-License-Identifier: Apache-2.0
"""Entry points of the nodes: a signal during their imports ends them quietly."""

from so101_node.early_signals import start


def virtual_cameras() -> None:
    """Run the node until a signal."""
    start("so101_sim.ros.virtual_cameras_node")


def judge() -> None:
    """Run the node until a signal."""
    start("so101_sim.ros.judge_node")
