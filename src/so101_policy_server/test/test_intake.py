# SPDX-License-Identifier: Apache-2.0
"""From request and frames to a complete observation, or to exactly one explicit answer."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_node.protocol import ChunkStatus
from so101_policy_server.core.intake import DecodeFrame, Intake
from so101_policy_server.core.request import ServedChunk

MS = 1_000_000


@pytest.fixture
def intake() -> Intake:
    return Intake(obs_queue_timeout_s=1.0, max_frame_age_s=0.2)


def answers(effects) -> list[tuple[int, ChunkStatus, str]]:
    return [(e.request.key.request_id, e.status, e.message) for e in effects if isinstance(e, ServedChunk)]


def test_a_complete_observation_is_handed_out_with_its_times(intake, examples) -> None:
    request = examples.request(received_ns=100 * MS)
    assert intake.request(request, examples.needs("front", "wrist"), 100 * MS) == []
    for camera, received in (("front", 110), ("wrist", 115)):
        (effect,) = intake.frame(examples.frame(camera, received_ns=received * MS))
        assert isinstance(effect, DecodeFrame)
        assert intake.take(116 * MS) == []
        intake.decoded(effect.frame, examples.picture(), 120 * MS)
    (complete,) = intake.take(150 * MS)
    assert complete.request is request
    assert complete.timing.wait_frames == pytest.approx(0.015)
    assert complete.timing.decode == pytest.approx(0.005)
    assert complete.timing.mailbox_wait == pytest.approx(0.030)


@pytest.mark.parametrize("ages", [(0.05, 0.01), (0.01, 0.05)])
def test_an_observation_is_as_old_as_its_oldest_frame(intake, examples, ages) -> None:
    intake.request(examples.request(), examples.needs("front", "wrist"), 0)
    for camera, age in zip(("front", "wrist"), ages, strict=True):
        (effect,) = intake.frame(examples.frame(camera, capture_age_s=age))
        intake.decoded(effect.frame, examples.picture(), 0)
    assert intake.take(0)[0].timing.frame_age == 0.05


def test_an_observation_without_frames_has_no_age(intake, examples) -> None:
    intake.request(examples.request(), (), 0)
    assert math.isnan(intake.take(0)[0].timing.frame_age)


def test_frames_that_came_first_are_decoded_when_the_request_comes(intake, examples) -> None:
    frame = examples.frame("front", received_ns=90 * MS)
    assert intake.frame(frame) == []
    (effect,) = intake.request(examples.request(received_ns=100 * MS), examples.needs("front"), 100 * MS)
    assert effect.frame is frame
    intake.decoded(frame, examples.picture(), 104 * MS)
    timing = intake.take(104 * MS)[0].timing
    assert (timing.wait_frames, timing.decode, timing.mailbox_wait) == pytest.approx((0.0, 0.004, 0.0))


def test_a_newer_request_supersedes_one_that_still_waits_when_it_has_its_frames(intake, examples) -> None:
    intake.request(examples.request(1), examples.needs("front"), 0)
    assert intake.request(examples.request(2), examples.needs("front"), 0) == []
    (effect,) = intake.frame(examples.frame("front", 2))
    effects = intake.decoded(effect.frame, examples.picture(), 0)
    assert answers(effects) == [(1, ChunkStatus.SUPERSEDED, "request 1 gave way to request 2")]
    assert intake.frame(examples.frame("front", 1)) == []


def test_a_request_that_is_already_taken_is_not_superseded(intake, examples) -> None:
    intake.request(examples.request(1), (), 0)
    assert intake.take(0)
    assert intake.request(examples.request(2), (), 0) == []


def test_copies_of_a_request_have_no_effect(intake, examples) -> None:
    intake.request(examples.request(1), examples.needs("front"), 0)
    assert intake.request(examples.request(1), examples.needs("front"), 0) == []


def test_a_request_overtaken_on_its_way_is_answered_superseded(intake, examples) -> None:
    intake.request(examples.request(5), examples.needs("front"), 0)
    effects = intake.request(examples.request(4), examples.needs("front"), 0)
    assert answers(effects) == [(4, ChunkStatus.SUPERSEDED, "request 4 gave way to a newer request")]


def test_missing_frames_give_the_request_up_once(intake, examples) -> None:
    intake.request(examples.request(1), examples.needs("front"), 0)
    effects = intake.tick(1000 * MS)
    assert answers(effects) == [
        (1, ChunkStatus.OBSERVATION_INCOMPLETE, "no frame from camera front within obs_queue_timeout = 1 s")
    ]
    assert intake.tick(2000 * MS) == []


def test_a_bad_frame_gives_the_request_up_at_once(intake, examples) -> None:
    intake.request(examples.request(1), examples.needs("front", "wrist"), 0)
    ((_, status, message),) = answers(intake.frame(examples.frame("wrist", capture_age_s=3.0)))
    assert status is ChunkStatus.OBSERVATION_INCOMPLETE
    assert message.startswith("camera wrist: frame is 3.000 s old")
    assert intake.tick(5000 * MS) == []


def test_a_bad_frame_that_came_early_gives_the_request_up_when_it_comes(intake, examples) -> None:
    intake.frame(examples.frame("wrist", capture_age_s=3.0))
    effects = intake.request(examples.request(1), examples.needs("front", "wrist"), 0)
    assert [status for _, status, _ in answers(effects)] == [ChunkStatus.OBSERVATION_INCOMPLETE]


def test_giving_up_is_limited_to_one_robot_where_asked(intake, examples) -> None:
    intake.request(examples.request(1, robot="/left"), examples.needs("front"), 0)
    intake.request(examples.request(1, robot="/right"), examples.needs("front"), 0)
    assert len(answers(intake.give_up(ChunkStatus.NOT_READY, "changed", 0.2, robot="/left"))) == 1
    (answer,) = intake.give_up(ChunkStatus.NOT_READY, "leaving", 0.5)
    assert (answer.request.key.session.robot, answer.retry_after_s) == ("/right", 0.5)


def test_frames_of_another_request_session_or_robot_are_not_mixed_in(intake, examples) -> None:
    intake.request(examples.request(), examples.needs("front"), 0)
    assert intake.frame(examples.frame("front", 2)) == []
    assert intake.frame(examples.frame("front", session=8)) == []
    assert intake.frame(examples.frame("front", robot="/other")) == []
    assert len(intake.frame(examples.frame("front"))) == 1


def test_a_request_that_has_left_takes_nothing_more(intake, examples) -> None:
    intake.request(examples.request(), examples.needs("front"), 0)
    (effect,) = intake.frame(examples.frame("front"))
    intake.refuse(examples.key(), "unreadable")
    intake.decoded(effect.frame, examples.picture(), 0)
    assert intake.take(0) == []
    assert intake.tick(10_000 * MS) == []


@given(order=st.permutations(["request", "front", "wrist", "front", "wrist"]))
def test_in_every_order_of_arrival_each_camera_is_decoded_once(order, examples) -> None:
    intake = Intake(obs_queue_timeout_s=1.0, max_frame_age_s=0.2)
    decoded = []
    for event in order:
        if event == "request":
            effects = intake.request(examples.request(), examples.needs("front", "wrist"), 0)
        else:
            effects = intake.frame(examples.frame(event))
        for effect in effects:
            assert isinstance(effect, DecodeFrame)
            intake.decoded(effect.frame, examples.picture(), 0)
            decoded.append(effect.frame.camera)
    assert sorted(decoded) == ["front", "wrist"]
    assert intake.take(0)
