# SPDX-License-Identifier: Apache-2.0
"""A topic that is looked at now and then, instead of waking this process with every message.

A viewer needs the newest joint positions fifteen times a second, not sixty, and the newest image eight times, not
thirty. DDS keeps the last messages anyway; taking them when they are wanted costs a fifth of a callback for each.
"""

from collections.abc import Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy


class _NeverWoken(CallbackGroup):
    """Keeps an executor from waiting for its members."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


class PolledTopic:
    """A best-effort reader: however slow it is looked at, it costs the writer neither memory nor repeats."""

    def __init__(
        self, node: Node, message_type: type[Any], topic: str, depth: int, *, raw: bool = False, latched: bool = False
    ) -> None:
        """Begin to listen.

        Args:
            node: whose name and namespace are used.
            message_type: of the topic.
            topic: its name.
            depth: messages that are kept between two looks; of more, the newest.
            raw: deliver serialized bytes.
            latched: receive what was published before, too, which DDS gives to reliable readers only.
        """
        qos = QoSProfile(
            history=QoSHistoryPolicy.KEEP_LAST,
            depth=depth,
            reliability=QoSReliabilityPolicy.RELIABLE if latched else QoSReliabilityPolicy.BEST_EFFORT,
            durability=QoSDurabilityPolicy.TRANSIENT_LOCAL if latched else QoSDurabilityPolicy.VOLATILE,
        )
        self._node = node
        self._subscription = node.create_subscription(
            message_type, topic, _unused, qos, callback_group=_NeverWoken(), raw=raw
        )

    def take(self) -> Iterator[Any]:
        """Give out what has come since the last look, oldest first."""
        subscription = self._subscription
        while (taken := subscription.handle.take_message(subscription.msg_type, subscription.raw)) is not None:
            yield taken[0]

    def newest(self) -> Any | None:
        """Return the newest message since the last look, or None."""
        message = None
        for message in self.take():  # noqa: B007 (the last one is wanted)
            pass
        return message

    def close(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self._subscription)


def _unused(_message: Any) -> None:
    """Every subscription of rclpy has a callback."""
