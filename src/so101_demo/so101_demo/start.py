# SPDX-License-Identifier: Apache-2.0
"""Entry points of the nodes: a signal during their imports ends them quietly."""

from so101_node.early_signals import start


def observer() -> None:
    """Run the node until a signal."""
    start("so101_demo.observer.observer_node")


def film_recorder() -> None:
    """Run the node until a signal."""
    start("so101_demo.film.film_recorder_node")


def late_wire() -> None:
    """Run the node until a signal."""
    start("so101_demo.late_wire_node")
