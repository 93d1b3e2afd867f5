# SPDX-License-Identifier: Apache-2.0
"""The newest of plain topics by arrival, through the whole core."""

from __future__ import annotations

import numpy as np
import pytest
from so101_node.log_lines import LogLine
from so101_node.protocol import ChunkStatus
from so101_policy_server.core.intake import DecodeFrame
from so101_policy_server.core.request import ServedChunk
from so101_policy_server.core.topic_observations import RecentArrivals, TopicFrame

MS = 1_000_000
POSE = dict.fromkeys(("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper"), 0.2)


@pytest.fixture
def picture(examples):
    return lambda seed: TopicFrame(np.frombuffer(examples.png(seed), np.uint8), format="rgb8; png compressed bgr8")


def asked(server, request, now_ns: int) -> list:
    return [effect for effect in server.request(request, now_ns) if not isinstance(effect, LogLine)]


def test_a_request_is_answered_with_the_newest_of_each_camera_and_the_newest_pose(examples, picture) -> None:
    server = examples.ready_server(from_topics=True)
    for now_ms, seed in ((0, 1), (33, 2)):
        for camera in ("front", "wrist"):
            server.topic_frame("", camera, picture(seed), now_ms * MS)
        server.topic_joint_positions("", POSE | {"shoulder_pan": seed / 10, "extra": 9.0}, now_ms * MS)
    effects = asked(server, examples.request(1), 50 * MS)
    assert [(effect.frame.camera, effect.frame.capture_age_s) for effect in effects] == [
        ("front", 0.017),
        ("wrist", 0.017),
    ]
    for effect in effects:
        assert bytes(effect.frame.data) == examples.png(2)
        server.decoded(effect.frame, examples.picture(2), 51 * MS)
    (job,) = server.take(52 * MS)
    assert job.complete.request.positions.tolist() == [[0.2, 0.2, 0.2, 0.2, 0.2, 0.2]]
    assert set(job.complete.images) == {"observation.images.front", "observation.images.wrist"}


def test_the_second_copy_of_a_request_does_nothing(examples, picture) -> None:
    server = examples.ready_server(from_topics=True)
    for camera in ("front", "wrist"):
        server.topic_frame("", camera, picture(1), 0)
    server.topic_joint_positions("", POSE, 0)
    assert len(asked(server, examples.request(1), 10 * MS)) == 2
    assert asked(server, examples.request(1), 20 * MS) == []


@pytest.mark.parametrize(
    ("pose", "at_ms", "reason"),
    [
        (None, 0, "no joint_states have arrived"),
        (POSE, 0, "joint_states are 0.300 s old"),
        ({"shoulder_pan": 0.1}, 290, "joint_states have no position of shoulder_lift"),
        (POSE | {"gripper": float("nan")}, 290, "no position of gripper"),
    ],
)
def test_a_pose_that_cannot_be_used_is_named(examples, picture, pose, at_ms: int, reason: str) -> None:
    server = examples.ready_server(from_topics=True)
    if pose is not None:
        server.topic_joint_positions("", pose, at_ms * MS)
    (answer,) = asked(server, examples.request(1), 300 * MS)
    assert isinstance(answer, ServedChunk)
    assert answer.status is ChunkStatus.OBSERVATION_INCOMPLETE
    assert reason in answer.message


def test_a_camera_that_has_stopped_is_named_and_one_that_never_came_is_after_the_timeout(examples, picture) -> None:
    server = examples.ready_server(from_topics=True)
    server.topic_joint_positions("", POSE, 900 * MS)
    server.topic_frame("", "front", picture(1), 0)
    server.topic_frame("", "wrist", picture(1), 890 * MS)
    (answer, *_) = [
        effect for effect in asked(server, examples.request(1), 900 * MS) if isinstance(effect, ServedChunk)
    ]
    assert "camera front: frame is 0.900 s old" in answer.message

    server = examples.ready_server(from_topics=True)
    server.topic_joint_positions("", POSE, 900 * MS)
    server.topic_frame("", "front", picture(1), 890 * MS)
    assert all(isinstance(effect, DecodeFrame) for effect in asked(server, examples.request(1), 900 * MS))
    (answer,) = server.tick(1901 * MS)
    assert answer.message == "no frame from camera wrist within obs_queue_timeout = 1 s"


def test_on_request_servers_leave_plain_topics_alone(examples, picture) -> None:
    server = examples.ready_server()
    server.topic_frame("", "front", picture(1), 0)
    assert asked(server, examples.request(1), 10 * MS) == []


def test_history_is_what_arrived_nearest_to_each_step_and_memory_stays_bounded() -> None:
    recent: RecentArrivals[int] = RecentArrivals()
    assert recent.select(3, 100 * MS) == []
    for number in range(1000):
        recent.add(number * 33 * MS, number)
        assert len(recent._values) <= 9
    newest = 999
    assert [value for _, _, value in recent.select(3, 100 * MS)] == [newest, newest - 3, newest - 6]
    assert recent.select(2, 10_000 * MS)[1][2] < newest - 6  # further back than anything: the oldest stands in
