"""Frames and requests in every order; what is missing, old, frozen or unwanted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_policy_server.frame_matcher import FrameError, FrameMatcher
from so101_policy_server.image_decode import MAX_IMAGE_BYTES

from so101_policy_server import frame_matcher

MS = 1_000_000


@pytest.fixture
def matcher() -> FrameMatcher:
    return FrameMatcher(timeout_s=1.0, max_frame_age_s=0.2)


def test_frames_that_follow_their_request_complete_it(matcher, examples) -> None:
    matcher.expect(examples.key(), examples.needs("front", "wrist"), 1, 0)
    for camera, complete in (("wrist", False), ("front", True)):
        frame = examples.frame(camera)
        assert matcher.match(frame).camera == camera
        assert matcher.decoded(frame, examples.picture(), 5) is complete
    images, _ = matcher.collect(examples.key())
    assert list(images) == ["observation.images.front", "observation.images.wrist"]


def test_frames_that_come_before_their_request_wait_for_it(matcher, examples) -> None:
    frame = examples.frame("front")
    assert matcher.match(frame) is None
    assert matcher.expect(examples.key(), examples.needs("front"), 1, 0) == [frame]
    assert matcher.match(frame).key == "observation.images.front"


def test_frames_of_another_request_session_or_robot_are_not_mixed_in(matcher, examples) -> None:
    matcher.expect(examples.key(), examples.needs("front"), 1, 0)
    assert matcher.match(examples.frame("front", 2)) is None
    assert matcher.match(examples.frame("front", session=8)) is None
    assert matcher.match(examples.frame("front", robot="/other")) is None
    assert matcher.match(examples.frame("front")) is not None


def test_a_second_copy_of_a_frame_and_a_camera_nobody_asked_for_are_left_out(matcher, examples) -> None:
    matcher.expect(examples.key(), examples.needs("front"), 1, 0)
    assert matcher.match(examples.frame("front")) is not None
    assert matcher.match(examples.frame("front")) is None
    assert matcher.match(examples.frame("top")) is None
    assert matcher.match(examples.frame("front", history_index=1)) is None


def test_the_pictures_of_several_steps_come_newest_last(matcher, examples) -> None:
    matcher.expect(examples.key(), examples.needs("front"), 3, 0)
    for index in (1, 0, 2):
        frame = examples.frame("front", history_index=index)
        matcher.match(frame)
        complete = matcher.decoded(frame, np.full((1, 1, 3), index, np.uint8), 0)
    assert complete
    images, _ = matcher.collect(examples.key())
    assert [picture[0, 0, 0] for picture in images["observation.images.front"]] == [2, 1, 0]


def test_missing_frames_are_named_after_the_timeout_and_not_before(matcher, examples) -> None:
    matcher.expect(examples.key(), examples.needs("front", "wrist", "top"), 1, 0)
    matcher.match(examples.frame("wrist"))
    assert matcher.overdue(999 * MS) == []
    ((key, message),) = matcher.overdue(1000 * MS)
    assert key == examples.key()
    assert message == "no frame from camera front, top within obs_queue_timeout = 1 s"


def test_a_frame_that_is_too_old_is_an_error_naming_camera_and_age(matcher, examples) -> None:
    matcher.expect(examples.key(), examples.needs("front"), 1, 0)
    with pytest.raises(FrameError, match=r"camera front: frame is 0\.534 s old, max_frame_age_s = 0\.2"):
        matcher.match(examples.frame("front", capture_age_s=0.534))


@pytest.mark.parametrize("age", [float("nan"), float("inf"), -0.1])
def test_an_age_that_makes_no_sense_is_an_error(matcher, examples, age: float) -> None:
    matcher.expect(examples.key(), examples.needs("front"), 1, 0)
    with pytest.raises(FrameError, match="camera front: capture_age"):
        matcher.match(examples.frame("front", capture_age_s=age))


def test_an_earlier_observation_step_may_be_older(matcher, examples) -> None:
    matcher.expect(examples.key(), examples.needs("front"), 2, 0)
    assert matcher.match(examples.frame("front", history_index=1, capture_age_s=0.5)) is not None


def repeat_frame(matcher: FrameMatcher, examples, request_id: int, frame_seq: int, now_ns: int) -> None:
    matcher.expect(examples.key(request_id), examples.needs("front"), 1, now_ns)
    matcher.match(examples.frame("front", request_id, frame_seq=frame_seq, received_ns=now_ns))


def test_a_camera_that_repeats_its_frame_for_too_long_is_frozen(matcher, examples) -> None:
    repeat_frame(matcher, examples, 1, frame_seq=40, now_ns=0)
    repeat_frame(matcher, examples, 2, frame_seq=40, now_ns=150 * MS)  # two requests within one frame period are fine
    with pytest.raises(FrameError, match=r"camera front is frozen: frame 40 again after 0\.300 s"):
        repeat_frame(matcher, examples, 3, frame_seq=40, now_ns=300 * MS)
    repeat_frame(matcher, examples, 4, frame_seq=41, now_ns=400 * MS)


def test_a_camera_that_was_restarted_is_not_frozen(matcher, examples) -> None:
    repeat_frame(matcher, examples, 1, frame_seq=40, now_ns=0)
    repeat_frame(matcher, examples, 2, frame_seq=3, now_ns=5000 * MS)


def test_a_forgotten_request_takes_nothing_more(matcher, examples) -> None:
    frame = examples.frame("front")
    matcher.expect(examples.key(), examples.needs("front"), 1, 0)
    matcher.match(frame)
    matcher.forget(examples.key())
    assert not matcher.decoded(frame, examples.picture(), 0)
    assert matcher.overdue(10_000 * MS) == []


def test_a_policy_without_cameras_is_complete_at_once(matcher, examples) -> None:
    matcher.expect(examples.key(), (), 1, 0)
    assert matcher.is_complete(examples.key())
    assert matcher.collect(examples.key())[0] == {}


def test_frames_without_request_take_bounded_memory_and_go_after_a_while(matcher, examples) -> None:
    for request_id in range(1, 500):
        matcher.match(examples.frame("front", request_id))
    assert len(matcher._early) == frame_matcher.EARLY_FRAMES_KEPT
    matcher.match(examples.frame("front", 1000, data=np.zeros(MAX_IMAGE_BYTES + 1, np.uint8)))
    assert (examples.key(1000), "front", 0) not in matcher._early
    matcher.drop_old_early_frames(1000 * MS)
    assert not matcher._early


@given(order=st.permutations(["request", "front", "wrist", "front", "wrist"]))
def test_in_every_order_of_arrival_each_camera_is_decoded_once(order, examples) -> None:
    matcher = FrameMatcher(timeout_s=1.0, max_frame_age_s=0.2)
    decoded = []
    for event in order:
        if event == "request":
            frames = matcher.expect(examples.key(), examples.needs("front", "wrist"), 1, 0)
        else:
            frames = [examples.frame(event)]
        for frame in frames:
            if matcher.match(frame) is not None:
                matcher.decoded(frame, examples.picture(), 0)
                decoded.append(frame.camera)
    assert sorted(decoded) == ["front", "wrist"]
    assert matcher.is_complete(examples.key())
