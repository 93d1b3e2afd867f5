# SPDX-License-Identifier: Apache-2.0
"""Frames that are too old, frozen, or of an age that makes no sense."""

from __future__ import annotations

import pytest
from so101_policy_server.core.camera_freshness import CameraFreshness, FrameError

MS = 1_000_000


@pytest.fixture
def freshness() -> CameraFreshness:
    return CameraFreshness(max_frame_age_s=0.2)


def test_a_frame_that_is_too_old_is_an_error_naming_camera_and_age(freshness, examples) -> None:
    with pytest.raises(FrameError, match=r"camera front: frame is 0\.534 s old, max_frame_age_s = 0\.2"):
        freshness.check(examples.frame("front", capture_age_s=0.534))


@pytest.mark.parametrize("age", [float("nan"), float("inf"), -0.1])
def test_an_age_that_makes_no_sense_is_an_error(freshness, examples, age: float) -> None:
    with pytest.raises(FrameError, match="camera front: capture_age"):
        freshness.check(examples.frame("front", capture_age_s=age))


def test_an_earlier_observation_step_may_be_older(freshness, examples) -> None:
    freshness.check(examples.frame("front", history_index=1, capture_age_s=0.5))


def repeat_frame(freshness: CameraFreshness, examples, request_id: int, frame_seq: int, now_ns: int) -> None:
    freshness.check(examples.frame("front", request_id, frame_seq=frame_seq, received_ns=now_ns))


def test_a_camera_that_repeats_its_frame_for_too_long_is_frozen(freshness, examples) -> None:
    repeat_frame(freshness, examples, 1, frame_seq=40, now_ns=0)
    repeat_frame(freshness, examples, 2, frame_seq=40, now_ns=150 * MS)  # two requests within one frame period are fine
    with pytest.raises(FrameError, match=r"camera front is frozen: frame 40 again after 0\.300 s"):
        repeat_frame(freshness, examples, 3, frame_seq=40, now_ns=300 * MS)
    repeat_frame(freshness, examples, 4, frame_seq=41, now_ns=400 * MS)


def test_a_camera_that_was_restarted_is_not_frozen(freshness, examples) -> None:
    repeat_frame(freshness, examples, 1, frame_seq=40, now_ns=0)
    repeat_frame(freshness, examples, 2, frame_seq=3, now_ns=5000 * MS)
