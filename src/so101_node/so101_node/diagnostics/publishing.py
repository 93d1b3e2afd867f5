# SPDX-License-Identifier: Apache-2.0
"""What every node says on /diagnostics: a level, a named cause and its remedy; once a second, and at once on a change.

Publishing happens on the thread that calls `offer`, which must not be a control thread.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from so101_node.diagnostics.causes import Cause

PERIOD_NS: Final = 900_000_000
"""A little less than the second that nodes offer in: a timer that is early by a hair must not halve the rate."""


def node_name(node: Node) -> str:
    """Return what the names of a node's entries begin with: its whole name without the first slash, `left/top`.

    Two arms in namespaces would overwrite each other's entries otherwise.
    """
    return str(node.get_fully_qualified_name()).lstrip("/")


def entry(
    name: str, cause: Cause, detail: str = "", values: Mapping[str, object] | None = None, hardware_id: str = ""
) -> DiagnosticStatus:
    """One entry: the message is the cause's name and `detail`, or its meaning where there is none to give.

    `name` is `NODE: PART`, with `node_name`. An entry is there as long as its node, also while all is well: one that
    stays away is stale to those who collect them.
    """
    shown = {"cause": cause.name, "remedy": cause.remedy, **(values or {})}
    return DiagnosticStatus(
        level=bytes([cause.level]),  # ROS maps `byte` to bytes of length 1
        name=name,
        message=f"{cause.name}: {detail or cause.meaning}",
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=str(value)) for key, value in shown.items()],
    )


class DiagnosticsPublisher:
    """Publishes entries that are offered, often or seldom, at 1 Hz and whenever a level or cause has changed."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._lock = threading.Lock()
        self._shown: list[tuple[str, bytes, str]] = []
        self._published_ns = 0

    def offer(self, entries: Sequence[DiagnosticStatus]) -> None:
        """Publish if it is time, or if something else is the matter than was last published."""
        shown = [(one.name, one.level, one.values[0].value if one.values else "") for one in entries]
        now_ns = time.monotonic_ns()
        with self._lock:
            if shown == self._shown and now_ns - self._published_ns < PERIOD_NS:
                return
            self._shown, self._published_ns = shown, now_ns
        message = DiagnosticArray(status=list(entries))
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def destroy(self) -> None:
        """Release the publisher."""
        self._node.destroy_publisher(self._publisher)
