# SPDX-License-Identifier: Apache-2.0
"""What a robot sends is what the policy gets, and what the policy gives is what the robot gets; over real DDS."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from dds_robot import JOINTS, Robot, RunningServer
from so101_msgs.msg import ActionChunk
from so101_policy_server.inference import frame_pixels


class Scene:
    """A server with a policy that remembers what it saw, and a robot."""

    def __init__(self, examples, spy_policy) -> None:
        self.policy = spy_policy(examples.description(supports_rtc=True))
        self.server = RunningServer(
            lambda _source, _progress: self.policy, pretrained_name_or_path="/models/pick", obs_queue_timeout=0.5
        )
        self.robot = Robot()
        self.robot.send_spec()
        self.robot.wait_until_heard()
        self._last_id = 0

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def close(self) -> None:
        self.robot.close()
        self.server.close()


@pytest.fixture(scope="module")
def scene(examples, spy_policy) -> Iterator[Scene]:
    scene = Scene(examples, spy_policy)
    yield scene
    scene.close()


def test_image_bytes_arrive_identical_to_those_the_camera_sent(scene, examples, monkeypatch) -> None:
    """A 640 x 480 JPEG, larger than one datagram: hashed on both sides."""
    arrived = {}
    decode = frame_pixels.decode_image

    def hashing(data, format, height, width):
        arrived[hashlib.sha256(data).hexdigest()] = (height, width)
        return decode(data, format, height, width)

    monkeypatch.setattr(frame_pixels, "decode_image", hashing)
    request_id = scene.next_id()
    noise = np.random.default_rng(0).integers(0, 256, (2, 480, 640, 3), dtype=np.uint8)
    frames = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in noise]
    assert min(map(len, frames)) > 100_000
    scene.robot.ask(request_id)
    for camera, data in zip(("front", "wrist"), frames, strict=True):
        scene.robot.show(camera, request_id, data, "jpeg")
    assert scene.robot.answer_to(request_id).status == ActionChunk.OK
    assert arrived == {hashlib.sha256(data).hexdigest(): (examples.height, examples.width) for data in frames}


def test_the_policy_sees_each_cameras_pixels_and_the_exact_state(scene, examples) -> None:
    request_id = scene.next_id()
    positions = [0.1, -0.2, 0.3, -0.4, 0.5, 0.75]
    for camera, seed in (("wrist", 2), ("front", 1)):  # before the request, and in the other order
        scene.robot.show(camera, request_id, examples.png(seed))
    scene.robot.ask(request_id, positions=positions, task="pick the cube to place")
    assert scene.robot.answer_to(request_id).status == ActionChunk.OK
    observation, leftover = scene.policy.asked[-1]
    assert np.array_equal(observation.images["observation.images.front"][0], examples.picture(1))
    assert np.array_equal(observation.images["observation.images.wrist"][0], examples.picture(2))
    assert observation.state[0].tolist() == [*np.degrees(positions[:5]), 75.0]
    assert observation.task == "pick the cube to place"
    assert leftover is None


def test_the_chunk_echoes_the_question_and_brings_the_policys_rows_in_radians(scene, examples) -> None:
    request_id = scene.next_id()
    scene.robot.ask(request_id, step=12_345)
    for camera in ("front", "wrist"):
        scene.robot.show(camera, request_id, examples.png())
    chunk = scene.robot.answer_to(request_id)
    assert (chunk.session, chunk.request_id, chunk.spec_id, chunk.step) == (7, request_id, 9, 12_345)
    assert (chunk.status, chunk.message, chunk.rows, list(chunk.joint_names)) == (ActionChunk.OK, "", 50, JOINTS)
    assert chunk.period == pytest.approx(1 / 30)
    rows = np.asarray(chunk.positions).reshape(50, 6)
    assert np.allclose(rows[:, 0], np.radians(np.arange(50)), atol=1e-6)
    assert np.allclose(rows[:, 5], -1.5 + 3.0 * np.arange(50) / 100, atol=1e-6)
    assert chunk.inference == pytest.approx(0.002)
    assert 0 < chunk.wait_frames + chunk.decode + chunk.mailbox_wait < chunk.server_total  # the policy's are invented
    assert chunk.server_id == scene.robot.statuses[-1].server_id != 0
    assert chunk.server_name == "policy_server"


def test_every_answer_is_sent_twice_and_a_copied_question_is_answered_once(scene, examples) -> None:
    request_id = scene.next_id()
    asked = len(scene.policy.asked)
    scene.robot.ask(request_id)
    for camera in ("front", "wrist"):
        scene.robot.show(camera, request_id, examples.png())
    scene.robot.answer_to(request_id)
    scene.robot.ask(request_id)
    scene.robot.wait(lambda: False, 0.3)
    assert [chunk.request_id for chunk in scene.robot.chunks].count(request_id) == 2
    assert len(scene.policy.asked) == asked + 1


def test_a_leftover_arrives_in_the_policys_units(scene, examples) -> None:
    request_id = scene.next_id()
    scene.robot.ask(request_id, leftover_rows=2, leftover=[0.1] * 5 + [0.0] + [0.2] * 5 + [1.5], expected_delay_steps=3)
    for camera in ("front", "wrist"):
        scene.robot.show(camera, request_id, examples.png())
    assert scene.robot.answer_to(request_id).status == ActionChunk.OK
    leftover = scene.policy.asked[-1][1]
    assert leftover.expected_delay_steps == 3
    assert leftover.rows[:, 0] == pytest.approx([math.degrees(0.1), math.degrees(0.2)], abs=1e-5)
    assert leftover.rows[:, 5] == pytest.approx([50.0, 100.0])


def test_a_newer_question_supersedes_one_that_waits_for_frames(scene, examples) -> None:
    old, new = scene.next_id(), scene.next_id()
    scene.robot.ask(old)
    scene.robot.show("front", old, examples.png())
    scene.robot.ask(new)
    for camera in ("front", "wrist"):
        scene.robot.show(camera, new, examples.png())
    chunk = scene.robot.answer_to(old)
    assert (chunk.status, chunk.rows) == (ActionChunk.SUPERSEDED, 0)
    assert chunk.message == f"request {old} gave way to request {new}"
    assert scene.robot.answer_to(new).status == ActionChunk.OK


def test_a_missing_camera_is_named_after_the_timeout(scene, examples) -> None:
    request_id = scene.next_id()
    scene.robot.ask(request_id)
    scene.robot.show("wrist", request_id, examples.png())
    chunk = scene.robot.answer_to(request_id)
    assert chunk.status == ActionChunk.OBSERVATION_INCOMPLETE
    assert chunk.message == "no frame from camera front within obs_queue_timeout = 0.5 s"
    assert chunk.server_total >= 0.5


@pytest.mark.parametrize(
    ("data", "format", "changes", "reason"),
    [
        (b"", "jpeg", {}, "camera front: empty image"),
        (bytes(9_000_000), "jpeg", {}, "camera front: image of 9000000 bytes: expected at most 8388608"),
        (b"\xff\xd8 nonsense", "jpeg", {}, "camera front: truncated jpeg image of 11 bytes"),
        (b"nonsense", "tiff", {}, "camera front: image format 'tiff': expected jpeg or png"),
        (None, "png", {"capture_age": 0.9}, "camera front: frame is 0.900 s old, max_frame_age_s = 0.2"),
        (None, "png", {"capture_age": math.nan}, "camera front: capture_age = nan s makes no sense"),
    ],
)
def test_a_frame_that_cannot_be_used_is_answered_at_once(scene, examples, data, format, changes, reason: str) -> None:
    request_id = scene.next_id()
    scene.robot.ask(request_id)
    scene.robot.show("front", request_id, examples.png() if data is None else data, format, **changes)
    chunk = scene.robot.answer_to(request_id)
    assert chunk.status == ActionChunk.OBSERVATION_INCOMPLETE
    assert chunk.message.startswith(reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"positions": [0.1] * 5}, "positions has 5 values: expected history 1 x 6 joints"),
        ({"positions": [], "history": 0}, "history is 0: expected 1 or more"),
        ({"positions": [math.nan] * 6}, "positions has values that are not finite"),
        ({"joint_names": [*JOINTS[:5], "claw"]}, "joint_names is shoulder_pan"),
        ({"joint_names": [JOINTS[0]] * 6}, "joint_names has a name twice"),
        ({"leftover_rows": 2, "leftover": [0.0] * 6}, "leftover has 6 values: expected rows 2 x 6 joints"),
    ],
)
def test_a_question_that_contradicts_itself_is_a_bad_request(scene, changes, reason: str) -> None:
    request_id = scene.next_id()
    scene.robot.ask(request_id, **changes)
    chunk = scene.robot.answer_to(request_id)
    assert chunk.status == ActionChunk.BAD_REQUEST
    assert chunk.message.startswith(reason)


def test_after_all_that_the_server_still_answers(scene, examples) -> None:
    request_id = scene.next_id()
    scene.robot.ask(request_id)
    for camera in ("front", "wrist"):
        scene.robot.show(camera, request_id, examples.png())
    assert scene.robot.answer_to(request_id).status == ActionChunk.OK
