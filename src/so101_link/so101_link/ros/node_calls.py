# SPDX-License-Identifier: Apache-2.0
"""Calls from other threads that the node's own thread makes: publishers and subscriptions come and go there only."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from rclpy.node import Node


class NodeCalls:
    """Runs calls on the executor of a node, in the order in which they were given."""

    def __init__(self, node: Node) -> None:
        self._calls: deque[Callable[[], None]] = deque()
        self._guard = node.create_guard_condition(self._run)

    def add(self, call: Callable[[], None]) -> None:
        """Have it called soon; returns at once, from any thread."""
        self._calls.append(call)
        self._guard.trigger()

    def _run(self) -> None:
        while self._calls:
            self._calls.popleft()()
