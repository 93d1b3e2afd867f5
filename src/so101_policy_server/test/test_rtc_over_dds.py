# SPDX-License-Identifier: Apache-2.0
"""Real-time chunking through the network: the real queue, the real server and a SmolVLA of random weights, over DDS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from dds_robot import Robot, RunningServer
from so101_msgs.msg import ActionChunk, ObservationRequest, PolicyStatus
from so101_node.topics import qos
from so101_policy_server.lerobot.library import load as load_lerobot

pytest.importorskip("lerobot", reason="LeRobot is not installed")
queue_world = pytest.importorskip(
    "so101_action_queue.testing.queue_world", reason="so101_action_queue is not installed"
)
queue_world.COMMAND_TIMEOUT_S = 30.0  # its driver shares this process, and the interpreter, with the policy

NAMESPACE = "/rtc"
CAMERAS = ("front", "wrist", "top")
PAIRS = 6  # of a question and its answer, in each mode
PATIENCE_S = 100.0


class Cameras(Robot):
    """Answers every question with the same pictures, and keeps questions and answers."""

    def __init__(self) -> None:
        super().__init__(NAMESPACE, CAMERAS)
        self.questions: dict[int, ObservationRequest] = {}
        noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        self._picture = cv2.imencode(".png", noise)[1].tobytes()
        self.node.create_subscription(ObservationRequest, "observation_request", self._on_request, qos.REQUEST_READER)

    def _on_request(self, message: ObservationRequest) -> None:
        if message.request_id in self.questions:
            return
        self.questions[message.request_id] = message
        for camera in CAMERAS:
            frame = {"session": message.session, "frame_seq": message.request_id}
            self.show(camera, message.request_id, self._picture, **frame)

    def answers(self) -> dict[int, np.ndarray]:
        """Return the rows of each answer by request_id, (rows, joints), rad."""
        return {
            chunk.request_id: np.asarray(chunk.positions).reshape(chunk.rows, 6)
            for chunk in list(self.chunks)
            if chunk.status == ActionChunk.OK
        }


@pytest.fixture
def chain(tiny_smolvla: Path) -> Iterator[tuple]:
    parameters = {"pretrained_name_or_path": str(tiny_smolvla), "torch_threads": 1, "robots": [NAMESPACE], "fps": 15.0}
    parameters["task"] = "pick the cube to place"
    server = RunningServer(load_lerobot, max_frame_age_s=5.0, **parameters)
    cameras = Cameras()
    assert cameras.wait(lambda: any(status.state == PolicyStatus.READY for status in cameras.statuses))
    world = queue_world.QueueWorld(NAMESPACE, server_speaks=False)
    world.delay_s = None  # the real server answers
    queue = queue_world.QueueProcess(
        NAMESPACE, cameras=f"[{','.join(CAMERAS)}]", aggregate_fn_name="rtc", fps=15.0, request_timeout_s=5.0
    )
    yield world, cameras
    queue.leave()
    world.close()
    cameras.close()
    server.close()


@pytest.mark.long
def test_a_chunk_continues_the_rows_that_were_left_when_it_was_asked_for(chain) -> None:
    world, cameras = chain
    world.start()
    assert cameras.wait(lambda: len(cameras.answers()) > PAIRS + 1, PATIENCE_S), world.summary()
    questions, answers = dict(cameras.questions), cameras.answers()

    begun = min(answers)  # an earlier request may have met a server that had not heard of the robot yet
    assert (questions[begun].leftover_rows, questions[begun].expected_delay_steps) == (0, 0)
    status = next(status for status in world.statuses if status.accepted_request_id == begun)
    assert status.rows_trimmed == 0  # the arm rested: row 0 was executed

    continued = []
    for request_id, rows in answers.items():
        question = questions[request_id]
        if not question.leftover_rows:
            continue
        left = np.asarray(question.leftover).reshape(question.leftover_rows, 6)
        # Steps really expected from measured round trips, and never more than there are rows.
        assert 1 <= question.expected_delay_steps <= question.leftover_rows
        frozen = question.expected_delay_steps
        continued.append(np.abs(rows[:frozen] - left[:frozen]).mean())
    assert len(continued) >= PAIRS

    # The same without: what a policy that is asked again says of the same steps.
    assert world.set_parameter("aggregate_fn_name", "latest_only") == (True, "")
    begin = max(cameras.questions)
    assert cameras.wait(lambda: len([number for number in cameras.answers() if number > begin]) > PAIRS, PATIENCE_S)
    questions, answers = dict(cameras.questions), cameras.answers()
    apart = []
    for request_id in sorted(answers):
        if request_id <= begin + 1 or request_id - 1 not in answers:
            continue
        assert questions[request_id].leftover_rows == 0
        shift = questions[request_id].step - questions[request_id - 1].step
        old, new = answers[request_id - 1][shift:], answers[request_id]
        frozen = min(len(old), len(new), 3)
        apart.append(np.abs(new[:frozen] - old[:frozen]).mean())
    print(f"|new - leftover|: {np.mean(continued):.4f} rad with RTC, {np.mean(apart):.4f} rad without")
    assert np.mean(continued) < 0.4 * np.mean(apart)
