# SPDX-License-Identifier: Apache-2.0
"""Watches a running chain and writes the report of the run. It sends nothing and is needed by nothing."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy
from so101_msgs.msg import EpisodeEvent, ObservationImage, ObservationRequest, PolicySpec, QueueDecision, QueueStatus
from so101_node.metrics.statistics import AcceptedChunk, RunStatistics, TickSample
from so101_node.parameters import ParameterError, parameter
from so101_node.parameters.declaring import declare
from so101_node.process import run_process
from so101_node.timing.timers import create_timer
from so101_node.topics.qos import EVENTS, LATCHED

from so101_demo.observer.correction_statistics import CorrectionStatistics
from so101_demo.observer.cpu import CpuMeter

COMMANDING = (QueueStatus.WAITING, QueueStatus.RUNNING, QueueStatus.STARVED, QueueStatus.HOLDING)


def deep(depth: int, *, reliable: bool) -> QoSProfile:
    """QoS of a reader that only watches."""
    # The topics' writers are one sample deep; this reader is niced, and holds what arrives while it waits for its turn.
    return QoSProfile(  # type: ignore[no-untyped-call]
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=QoSReliabilityPolicy.RELIABLE if reliable else QoSReliabilityPolicy.BEST_EFFORT,
        durability=QoSDurabilityPolicy.VOLATILE,
    )


def tick_sample(status: QueueStatus) -> TickSample:
    """What the statistics need of a QueueStatus."""
    return TickSample(
        session=status.session,
        tick=status.tick,
        tick_ns=status.tick_ns,
        commanding=status.state in COMMANDING,
        requests=status.requests,
        accepted=status.accepted,
        rejected=status.rejected_shape
        + status.rejected_not_finite
        + status.rejected_implausible
        + status.rejected_foreign,
        stale=status.stale,
        duplicate=status.duplicate,
        starved_ticks=status.starved_ticks,
        deadline_misses=status.deadline_misses,
    )


@dataclass(frozen=True, slots=True)
class ObserverParameters:
    """Parameters of the observer."""

    report_file: str = parameter(
        "", "the report is written here, as JSON, after each episode and at the end; empty: stdout"
    )
    processes: list[str] = parameter([], "processes whose CPU time is reported, each as name=pid")
    niceness: int = parameter(10, "how far the process steps back behind the ones it watches", lower=0, upper=19)

    def validate(self) -> None:
        """Check the processes' form."""
        self.pids()

    def pids(self) -> dict[str, int]:
        """Return pid by name."""
        result = {}
        for entry in self.processes:
            name, _, pid = entry.rpartition("=")
            if not name or not pid.isdigit():
                raise ParameterError(f"parameter processes = {entry!r}: must be name=pid, such as action_queue=4711")
            result[name] = int(pid)
        return result


class ObserverNode(Node):
    """Subscribes to what the statistics need; frames are counted as serialized bytes and never decoded."""

    def __init__(self) -> None:
        super().__init__("observer")
        self._settings = declare(self, ObserverParameters)
        os.nice(self._settings.niceness)
        self._statistics, self._correction = RunStatistics(), CorrectionStatistics()
        self._cpu = CpuMeter(self._settings.pids())
        self._cameras: set[str] = set()
        self.create_subscription(QueueStatus, "action_queue/status", self._on_status, deep(300, reliable=False))
        self.create_subscription(QueueDecision, "action_queue/decisions", self._on_decision, deep(1000, reliable=True))
        self.create_subscription(EpisodeEvent, "episode", self._on_episode, EVENTS)
        self.create_subscription(
            ObservationRequest, "observation_request", self._on_payload, deep(20, reliable=True), raw=True
        )
        self.create_subscription(PolicySpec, "policy_spec", self._on_payload, LATCHED, raw=True)
        self._find_cameras()
        create_timer(self, 0.5, self._find_cameras)
        create_timer(self, 2.0, lambda: self._cpu.sample(time.monotonic_ns()))

    def _find_cameras(self) -> None:
        """Subscribe to every camera's observation topic in this namespace, as it appears."""
        namespace = self.get_namespace().rstrip("/") + "/"
        for topic, types in self.get_topic_names_and_types():
            if topic in self._cameras or "so101_msgs/msg/ObservationImage" not in types:
                continue
            if topic.startswith(namespace):
                self._cameras.add(topic)
                self.create_subscription(ObservationImage, topic, self._on_payload, deep(5, reliable=True), raw=True)

    def _on_payload(self, serialized: bytes) -> None:
        self._statistics.add_payload(len(serialized))

    def _on_status(self, status: QueueStatus) -> None:
        if status.state in COMMANDING:
            self._cpu.start(time.monotonic_ns())
            self._correction.add_tick(status.correction, status.correction_cause)
        self._statistics.add_tick(tick_sample(status))

    def _on_decision(self, decision: QueueDecision) -> None:
        if decision.input != QueueDecision.CHUNK or decision.verdict != QueueDecision.ACCEPTED or not decision.chunk:
            return
        chunk = decision.chunk[0]
        self._statistics.add_chunk(
            AcceptedChunk(
                decision.round_trip,
                chunk.inference,
                chunk.server_total,
                chunk.period,
                chunk.frame_wait,
                chunk.frame_age,
            )
        )

    def _on_episode(self, event: EpisodeEvent) -> None:
        if event.event == EpisodeEvent.STARTED:
            self._statistics.start_episode(event.task_name)
            self._correction.start_episode()
            return
        self._correction.end_episode()
        if event.event == EpisodeEvent.ABORTED:
            self._statistics.abort_episode()
        else:
            self._statistics.end_episode(event.duration, success=event.event == EpisodeEvent.SUCCEEDED)
        self._cpu.sample(time.monotonic_ns())
        self._write()

    def _write(self) -> None:
        if not self._settings.report_file:
            return
        file = Path(self._settings.report_file)
        # Written beside and moved: whoever reads the file never sees half a report.
        beside = file.with_name(f".{file.name}.{os.getpid()}")
        beside.write_text(self._text(), encoding="utf-8")
        beside.replace(file)

    def _text(self) -> str:
        report = {**self._statistics.report(self._cpu.cores), **self._correction.report()}
        return json.dumps(report, indent=2) + "\n"

    def on_exit(self) -> None:
        """Leave the report behind."""
        self._cpu.sample(time.monotonic_ns())
        if self._settings.report_file:
            self._write()
        else:
            print(self._text(), end="", flush=True)


def main() -> None:
    """Run the observer."""
    run_process(ObserverNode)


if __name__ == "__main__":
    main()
