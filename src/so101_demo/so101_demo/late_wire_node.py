# SPDX-License-Identifier: Apache-2.0
"""Hands each chunk of the policy server on some time later, as a long line to a far server would.

The server's `min_inference_s` makes a slow policy: one inference begins when the last has ended. On a long line several
requests are under way at once, and this is how the demo has one.
"""

import time
from collections import deque
from dataclasses import dataclass

from rclpy.node import Node
from so101_msgs.msg import ActionChunk
from so101_node.parameters import parameter
from so101_node.parameters.declaring import declare
from so101_node.process import run_process
from so101_node.timing.timers import create_timer
from so101_node.topics.qos import CHUNK_READER, CHUNK_WRITER

FAR_TOPIC, TOPIC = "late_wire/action_chunk", "action_chunk"
LOOK_S = 0.004


@dataclass(frozen=True, slots=True)
class LateWireParameters:
    """Parameters of the late wire."""

    delay_s: float = parameter(0.0, "how long each chunk travels, s", lower=0.0, upper=10.0)


class LateWireNode(Node):
    """From `late_wire/action_chunk` to `action_chunk`, in order, bytes as they came."""

    def __init__(self) -> None:
        super().__init__("late_wire")
        self._delay_ns = round(declare(self, LateWireParameters).delay_s * 1e9)
        self._travelling: deque[tuple[int, bytes]] = deque()
        self._publisher = self.create_publisher(ActionChunk, TOPIC, CHUNK_WRITER)
        self.create_subscription(ActionChunk, FAR_TOPIC, self._on_chunk, CHUNK_READER, raw=True)
        create_timer(self, LOOK_S, self._hand_on)

    def _on_chunk(self, serialized: bytes) -> None:
        self._travelling.append((time.monotonic_ns() + self._delay_ns, serialized))

    def _hand_on(self) -> None:
        now_ns = time.monotonic_ns()
        while self._travelling and self._travelling[0][0] <= now_ns:
            self._publisher.publish(self._travelling.popleft()[1])


def main() -> None:
    """Run the late wire."""
    run_process(LateWireNode)


if __name__ == "__main__":
    main()
