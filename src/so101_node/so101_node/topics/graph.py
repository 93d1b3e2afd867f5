# SPDX-License-Identifier: Apache-2.0
"""Who publishes and who listens to a topic, under the name that it has after remapping.

rclpy's own `count_publishers` and `count_subscribers` know namespaces, but no `-r from:=to`: asked for the name in the
source they count a topic that nobody uses. Nodes ask here; a test keeps it so.
"""

from rclpy.node import Node


def publishers(node: Node, topic: str) -> int:
    """Return how many publishers the topic has that `node` means by that name, its own included."""
    return int(node.count_publishers(node.resolve_topic_name(topic)))


def subscriptions(node: Node, topic: str) -> int:
    """Return how many subscriptions the topic has that `node` means by that name, its own included."""
    return int(node.count_subscribers(node.resolve_topic_name(topic)))


def shown(node: Node, topic: str) -> str:
    """Return the topic's name for people: as the node calls it, or its whole name where it is remapped."""
    whole = node.resolve_topic_name(topic)
    return topic if whole == node.resolve_topic_name(topic, only_expand=True) else str(whole)
