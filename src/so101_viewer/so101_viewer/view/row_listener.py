# SPDX-License-Identifier: Apache-2.0
"""Hears the row that the queue planned for a tick, and what a correction on the robot added to it."""

from dataclasses import dataclass

from rclpy.node import Node
from rclpy.serialization import deserialize_message
from so101_msgs.msg import QueueDecision
from so101_node.topics.serialized import DecisionHead, SerializedError

from so101_viewer.polled import PolledTopic

_DECISIONS = 30  # one second of ticks


@dataclass(frozen=True, slots=True)
class CorrectedRow:
    """One tick's row by joint, rad: as planned, and what was added to it."""

    planned: dict[str, float]
    added: dict[str, float]

    @property
    def corrected(self) -> dict[str, float]:
        """What was commanded, rad."""
        return {joint: position + self.added[joint] for joint, position in self.planned.items()}


class RowListener:
    """Gives out the newest row while a correction is loaded."""

    def __init__(self, node: Node) -> None:
        self._decisions = PolledTopic(node, QueueDecision, "action_queue/decisions", _DECISIONS, raw=True)

    def close(self) -> None:
        """Leave the topic."""
        self._decisions.close()

    def newest(self) -> CorrectedRow | None:
        """Return the newest tick's row since the last look; None without one, or where no correction is loaded."""
        newest = None
        for serialized in self._decisions.take():
            try:
                is_tick = DecisionHead.of(serialized).input == QueueDecision.TICK
            except SerializedError:
                continue
            newest = serialized if is_tick else newest
        return None if newest is None else corrected_row(deserialize_message(newest, QueueDecision))


def corrected_row(tick: QueueDecision) -> CorrectedRow | None:
    """Return the row of a tick's entry; None where nothing was commanded or no correction is loaded."""
    names = list(tick.joint_names)
    if not tick.correction or not len(names) == len(tick.setpoint) == len(tick.correction):
        return None
    return CorrectedRow(dict(zip(names, tick.setpoint, strict=True)), dict(zip(names, tick.correction, strict=True)))
