# SPDX-License-Identifier: Apache-2.0
"""Frames of one request in every order; what is missing or not wanted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from so101_policy_server.core.pending_observation import PendingObservation

MS = 1_000_000


@pytest.fixture
def pending(examples):
    """Makes a request wait for the newest frame of these cameras, or for `history` steps."""

    def make(*cameras: str, history: int = 1) -> PendingObservation:
        request = examples.request(positions=np.zeros((history, 6)))
        return PendingObservation(request, examples.needs(*cameras), 0)

    return make


def arrive(observation: PendingObservation, frame) -> str | None:
    """The camera that a frame is decoded for, None where it is left out."""
    need = observation.need_of(frame)
    if need is None:
        return None
    observation.arrived(frame)
    return need.camera


def test_frames_that_follow_their_request_complete_it(pending, examples) -> None:
    observation = pending("front", "wrist")
    for camera, complete in (("wrist", False), ("front", True)):
        frame = examples.frame(camera)
        assert arrive(observation, frame) == camera
        observation.decoded(frame, examples.picture(), 5)
        assert (observation.complete_since_ns == 5) is complete
    assert list(observation.complete(5).images) == ["observation.images.front", "observation.images.wrist"]


def test_a_second_copy_of_a_frame_and_a_camera_nobody_asked_for_are_left_out(pending, examples) -> None:
    observation = pending("front")
    assert arrive(observation, examples.frame("front")) == "front"
    assert arrive(observation, examples.frame("front")) is None
    assert arrive(observation, examples.frame("top")) is None
    assert arrive(observation, examples.frame("front", history_index=1)) is None


def test_the_frames_of_several_steps_come_newest_last(pending, examples) -> None:
    observation = pending("front", history=3)
    for index in (1, 0, 2):
        frame = examples.frame("front", history_index=index)
        arrive(observation, frame)
        observation.decoded(frame, np.full((1, 1, 3), index, np.uint8), 0)
    assert observation.complete_since_ns == 0
    steps = observation.complete(0).images["observation.images.front"]
    assert [pixels[0, 0, 0] for pixels in steps] == [2, 1, 0]


def test_missing_frames_are_named_after_the_timeout_and_not_before(pending, examples) -> None:
    observation = pending("front", "wrist", "top")
    arrive(observation, examples.frame("wrist"))
    assert observation.missing(999 * MS, 1.0) == ""
    assert observation.missing(1000 * MS, 1.0) == "no frame from camera front, top within obs_queue_timeout = 1 s"


def test_a_policy_without_cameras_is_complete_at_once(pending) -> None:
    observation = pending()
    assert observation.complete_since_ns == 0
    assert observation.complete(0).images == {}


def test_the_age_of_an_observation_counts_what_its_first_frames_waited_for_the_last(pending, examples) -> None:
    observation = pending("front", "top", "wrist")
    # Sent at once, 20 ms old; after 12 ms, just taken; after 25 ms, 1 ms old: then the first is 45 ms old.
    for camera, age_s, waited_s in (("front", 0.020, 0.0), ("top", 0.0, 0.012), ("wrist", 0.001, 0.025)):
        frame = examples.frame(camera, capture_age_s=age_s, waited_s=waited_s)
        arrive(observation, frame)
        observation.decoded(frame, examples.picture(), 5)
    timing = observation.complete(5).timing
    assert timing.observation_age == pytest.approx(0.045)
    assert timing.frame_wait == 0.025
    assert timing.frame_age == 0.020


@pytest.mark.parametrize("waited_s", [math.nan, math.inf, -1.0])
def test_a_wait_that_is_no_time_counts_as_none(pending, examples, waited_s: float) -> None:
    observation = pending("front")
    frame = examples.frame("front", capture_age_s=0.01, waited_s=waited_s)
    arrive(observation, frame)
    observation.decoded(frame, examples.picture(), 5)
    timing = observation.complete(5).timing
    assert (timing.observation_age, timing.frame_wait) == (0.01, 0.0)


@pytest.mark.parametrize(
    ("planned_ms", "waited_ms", "counts_ms"),
    [
        (20, 18, 20),  # the request took 2 ms to the camera
        (20, 23, 20),  # the frame was late
        (20, 10, 10),  # the camera that was to be waited for sent what it had
        (20, 0, 0),  # so did all
        (0, 8, 8),  # by the camera's own parameter
    ],
)
def test_what_counts_as_waited_on_purpose_is_what_was_planned_and_came_so(
    examples, planned_ms: int, waited_ms: int, counts_ms: int
) -> None:
    request = examples.request(frame_wait_ns=planned_ms * MS)
    observation = PendingObservation(request, examples.needs("front"), 0)
    frame = examples.frame("front", waited_s=waited_ms / 1e3)
    arrive(observation, frame)
    observation.decoded(frame, examples.picture(), 5)
    assert observation.complete(5).timing.frame_wait == pytest.approx(counts_ms / 1e3)
