# SPDX-License-Identifier: Apache-2.0
"""Entry points of the nodes: a signal during their imports ends them quietly."""

from so101_node.early_signals import start


def recorder() -> None:
    """Run the node until a signal."""
    start("so101_bag.record.recorder_node")
