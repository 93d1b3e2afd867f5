# SPDX-License-Identifier: Apache-2.0
"""Publishes what PlotJuggler and its like can plot in any version: the robot's messages as plain numbers.

A node beside the robot and not the robot's own: the control thread has nothing to do with it.
"""

from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import QoSProfile
from so101_msgs.msg import ActionChunk, PolicyStatus, QueueNumbers, QueueStatus, ServoNumbers, ServoTelemetry
from so101_node.parameters import parameter, precedence
from so101_node.parameters.declaring import declare
from so101_node.process import run_process
from so101_node.process.precedence import take_precedence
from so101_node.timing.timers import create_timer

from so101_viewer.polled import PolledTopic
from so101_viewer.view.numbers import queue_numbers, servo_numbers

_STATUS_DEPTH = 60  # two seconds of ticks, should this process be held up
_NUMBERS = QoSProfile(depth=10)


@dataclass(frozen=True, slots=True)
class NumbersParameters:
    """Parameters of the plain numbers."""

    rate_hz: float = parameter(15.0, "messages of ~/queue per second while somebody listens, Hz", lower=1.0, upper=60.0)
    niceness: int = precedence.niceness(10)


class NumbersNode(Node):
    """Publishes `~/queue` and `~/servos`."""

    def __init__(self) -> None:
        super().__init__("numbers")
        settings = declare(self, NumbersParameters)
        take_precedence(self, settings.niceness)
        self._queue = self.create_publisher(QueueNumbers, "~/queue", _NUMBERS)
        self._servos = self.create_publisher(ServoNumbers, "~/servos", _NUMBERS)
        self._statuses = PolledTopic(self, QueueStatus, "action_queue/status", _STATUS_DEPTH)
        self._policy = PolledTopic(self, PolicyStatus, "policy_status", 1)
        self._chunks = PolledTopic(self, ActionChunk, "action_chunk", 10)
        self._telemetry = PolledTopic(self, ServoTelemetry, "servo_telemetry", 1)
        self._server: PolicyStatus | None = None
        self._chunk: ActionChunk | None = None
        create_timer(self, 1.0 / settings.rate_hz, self._on_timer)

    def _on_timer(self) -> None:
        self._server = self._policy.newest() or self._server
        for chunk in self._chunks.take():
            if chunk.status == ActionChunk.OK:  # an error says nothing about how long a chunk takes
                self._chunk = chunk
        statuses = list(self._statuses.take())
        if statuses and self._queue.get_subscription_count():
            self._queue.publish(queue_numbers(statuses, self._server, self._chunk))
        telemetry = self._telemetry.newest()
        if telemetry is not None and self._servos.get_subscription_count():
            self._servos.publish(servo_numbers(telemetry))


def main() -> None:
    """Run the plain numbers."""
    run_process(NumbersNode)


if __name__ == "__main__":
    main()
