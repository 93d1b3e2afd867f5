# SPDX-License-Identifier: Apache-2.0
"""The observer as a process, fed over DDS by a test that knows what the report must say."""

import json
import os
import signal
import time
from pathlib import Path

from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage
from so101_msgs.msg import ActionChunk, EpisodeEvent, ObservationImage, ObservationRequest, QueueDecision, QueueStatus
from so101_node.topics.qos import DECISIONS, EVENTS, OBSERVATION, REQUEST_WRITER, STATUS

MODULE = "so101_demo.observer.observer_node"


def work_for(processor_s: float) -> None:
    """Use that much time of a core, which the system counts in hundredths of a second."""
    end = time.process_time() + processor_s
    while time.process_time() < end:
        pass


def test_the_report_says_what_was_published(peer, start, tmp_path: Path):
    node = peer.node
    topics = {
        "action_queue/status": node.create_publisher(QueueStatus, "action_queue/status", STATUS),
        "action_queue/decisions": node.create_publisher(QueueDecision, "action_queue/decisions", DECISIONS),
        "episode": node.create_publisher(EpisodeEvent, "episode", EVENTS),
        "observation_request": node.create_publisher(ObservationRequest, "observation_request", REQUEST_WRITER),
        "front/observation": node.create_publisher(ObservationImage, "front/observation", OBSERVATION),
    }
    report = tmp_path / "report.json"
    observer = start(
        MODULE, "--ros-args", "-p", f"report_file:={report}", "-p", f"processes:=['this test={os.getpid()}']"
    )
    assert peer.spin_until(lambda: all(node.count_subscribers(topic) for topic in topics), 15.0)

    def publish(topic: str, message: object) -> None:
        topics[topic].publish(message)
        peer.spin_until(lambda: False, 0.02)

    publish("episode", EpisodeEvent(event=EpisodeEvent.STARTED, task_name="static"))
    request = ObservationRequest(session=1, request_id=1, positions=[0.0] * 6)
    frame = ObservationImage(camera="front", image=CompressedImage(format="jpeg", data=bytes(30_000)))
    publish("observation_request", request)
    publish("observation_request", request)
    publish("front/observation", frame)
    chunk = ActionChunk(inference=0.050, server_total=0.058, period=0.040, frame_wait=0.002, frame_age=0.012)
    publish(
        "action_queue/decisions",
        QueueDecision(
            input=QueueDecision.CHUNK, verdict=QueueDecision.ACCEPTED, round_trip=0.060, chunk=[chunk]
        ),
    )  # fmt: skip
    publish("action_queue/decisions", QueueDecision(input=QueueDecision.CHUNK, verdict=QueueDecision.DUPLICATE))
    for tick in range(4):
        publish(
            "action_queue/status",
            QueueStatus(
                session=1, tick=tick, tick_ns=tick * 40_000_000, state=QueueStatus.RUNNING, requests=1, accepted=1,
                rejected_shape=1, rejected_foreign=1, duplicate=1, starved_ticks=tick, correction=[0.0, -0.1 * tick],
            ),
        )  # fmt: skip
    work_for(0.1)  # the observer has long begun to count; its clock of this process ticks each 10 ms
    publish("episode", EpisodeEvent(event=EpisodeEvent.SUCCEEDED, task_name="static", duration=4.5))
    assert peer.spin_until(lambda: report.is_file(), 10.0), "no report after an episode's end"

    observer.send_signal(signal.SIGINT)
    assert observer.wait(timeout=10) == 0
    metrics = json.loads(report.read_text())
    cpu = metrics.pop("cpu")
    assert metrics == {
        "task": "static",
        "episodes": 1,
        "successes": 1,
        "mean_duration_s": 4.5,
        "ticks": 4,
        "starved_ticks": 3,
        "deadline_misses": 0,
        "tick": {"hz": 25.0, "std_ms": 0.0, "p99_ms": 0.0, "max_ms": 0.0},
        "chunks": {"accepted": 1, "rejected": 2, "stale": 0, "duplicate": 1},
        "observations": 1,
        "added_latency_ms": {"p50": 8.0, "p99": 8.0},  # 60 - 50, of which a camera waited 2
        "frame_wait_ms": {"p50": 2.0, "p99": 2.0},
        "observation_age_ms": {"p50": 12.0, "p99": 12.0},
        "bytes_per_observation": 2 * len(serialize_message(request)) + len(serialize_message(frame)),
        "one_way_ms_estimate": 1.0,
        "inference_ms": {"p50": 50.0, "p99": 50.0},
        "corrected_ticks": 0.75,
        "largest_delta_rad": 0.3,
        "correction_causes": {},
    }
    assert list(cpu) == ["this test"] and cpu["this test"] > 0


def test_without_a_file_the_report_goes_to_the_output(peer, start):
    observer = start(MODULE)
    assert peer.spin_until(lambda: peer.node.count_subscribers("episode") == 1, 15.0)
    observer.send_signal(signal.SIGTERM)
    out, err = observer.communicate(timeout=10)
    assert observer.returncode == 0, err
    assert json.loads(out)["episodes"] == 0


def test_a_process_without_a_pid_is_refused_in_one_line(start):
    observer = start(MODULE, "--ros-args", "-p", "processes:=['driver']")
    _, err = observer.communicate(timeout=15)
    assert observer.returncode == 78
    assert "parameter processes = 'driver': must be name=pid" in err
    assert "Traceback" not in err
