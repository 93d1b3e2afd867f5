# SPDX-License-Identifier: Apache-2.0
"""Takes notes of our side from its topics, like the observer, but keeps every sample."""

import time
from dataclasses import dataclass
from pathlib import Path

from rclpy.node import Node
from so101_demo.observer.observer_node import COMMANDING, deep, tick_sample
from so101_msgs.msg import (
    ObservationImage,
    ObservationRequest,
    PolicySpec,
    PolicyStatus,
    QueueDecision,
    QueueStatus,
)
from so101_node.parameters import parameter
from so101_node.parameters.declaring import declare
from so101_node.process import run_process
from so101_node.timing.timers import create_timer
from so101_node.topics.qos import LATCHED
from so101_node.topics.serialized import FrameHead

from so101_bench.trace import Chunk, FrameAge, TraceWriter

STAGES = ("mailbox_wait", "wait_frames", "decode", "preprocess", "inference", "postprocess")


@dataclass(frozen=True, slots=True)
class TraceRecorderParameters:
    """Parameters of the bench's recorder."""

    trace_file: str = parameter("", "JSON lines are appended to this file")
    cameras: list[str] = parameter([], "cameras whose frames are counted")


class TraceRecorderNode(Node):
    """Images are counted as serialized bytes and never decoded."""

    def __init__(self) -> None:
        super().__init__("bench_recorder")
        settings = declare(self, TraceRecorderParameters)
        self._trace = TraceWriter(Path(settings.trace_file))
        self._ready_server = 0
        self.create_subscription(QueueStatus, "action_queue/status", self._on_status, deep(300, reliable=False))
        self.create_subscription(QueueDecision, "action_queue/decisions", self._on_decision, deep(1000, reliable=True))
        self.create_subscription(
            ObservationRequest, "observation_request", self._on_payload, deep(20, reliable=True), raw=True
        )
        self.create_subscription(PolicySpec, "policy_spec", self._on_payload, LATCHED, raw=True)
        self.create_subscription(PolicyStatus, "policy_status", self._on_policy_status, LATCHED)
        for camera in settings.cameras:
            topic = f"{camera}/observation"
            self.create_subscription(ObservationImage, topic, self._on_frame, deep(5, reliable=True), raw=True)
        create_timer(self, 1.0, lambda: None)  # without any timer two nodes of sixty did not end on SIGTERM

    def _on_payload(self, serialized: bytes) -> None:
        self._trace.sent(time.monotonic_ns(), len(serialized))

    def _on_frame(self, serialized: bytes) -> None:
        self._on_payload(serialized)
        head = FrameHead.of(serialized)
        self._trace.frame_age(FrameAge(time.monotonic_ns(), head.session, head.request_id, head.capture_age))

    def _on_status(self, status: QueueStatus) -> None:
        if status.state in COMMANDING:
            self._trace.tick(tick_sample(status), acting=status.state == QueueStatus.RUNNING)

    def _on_decision(self, decision: QueueDecision) -> None:
        if decision.input != QueueDecision.CHUNK or decision.verdict != QueueDecision.ACCEPTED or not decision.chunk:
            return
        chunk = decision.chunk[0]
        sent_ns = decision.now_ns - round(decision.round_trip * 1e9)
        stages_s = {name: getattr(chunk, name) for name in STAGES}
        self._trace.chunk(
            Chunk(
                decision.now_ns,
                sent_ns,
                chunk.inference,
                chunk.server_total,
                stages_s,
                chunk.frame_wait,
                chunk.frame_age,
            )
        )

    def _on_policy_status(self, status: PolicyStatus) -> None:
        if status.state == PolicyStatus.READY and status.server_id != self._ready_server:
            self._ready_server = status.server_id
            self._trace.mark("ready", time.monotonic_ns())


def main() -> None:
    """Run the recorder."""
    run_process(TraceRecorderNode)


if __name__ == "__main__":
    main()
