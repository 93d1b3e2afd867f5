# SPDX-License-Identifier: Apache-2.0
"""Entry points of the nodes: a signal during their imports ends them quietly."""

from so101_node.early_signals import start


def queue_plot() -> None:
    """Run the node until a signal."""
    start("so101_viewer.queue_plot.queue_plot_node")


def gripper_path() -> None:
    """Run the node until a signal."""
    start("so101_viewer.view.gripper_path_node")


def numbers() -> None:
    """Run the node until a signal."""
    start("so101_viewer.view.numbers_node")


def view() -> None:
    """Run the node until a signal."""
    start("so101_viewer.view.view_node")
