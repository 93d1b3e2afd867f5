# SPDX-License-Identifier: Apache-2.0
"""The rate that a camera delivers, against the one asked and against what a policy server accepts."""

import pytest
from so101_camera.core.frame_rate import FrameRate

S = 1_000_000_000


def counted(asked: float, per_s: list[int]) -> FrameRate:
    """A camera that gave so many frames in each second."""
    rate = FrameRate(asked)
    total = 0
    rate.add(0, 0)
    for second, frames in enumerate(per_s, 1):
        total += frames
        rate.add(second * S, total)
    return rate


def test_half_the_rate_asked_is_slow_with_both_numbers() -> None:
    rate = counted(30.0, [15] * 6)
    assert rate.is_slow
    assert rate.words() == "15.0 frames/s, 30 asked"
    assert not rate.is_old  # 0.067 s


@pytest.mark.parametrize("per_s", [[30] * 6, [29, 28, 30, 27, 30, 30], [0, 12, 30, 30, 30, 30, 30]])
def test_the_rate_asked_nearly_and_a_late_start_are_not_slow(per_s: list[int]) -> None:
    assert not counted(30.0, per_s).is_slow


def test_one_bad_second_and_the_first_seconds_say_nothing() -> None:
    assert not counted(30.0, [30, 30, 30, 10, 30, 30]).is_slow
    assert not counted(30.0, [15, 15]).is_slow


def test_a_camera_of_4_hz_is_too_slow_for_a_server_as_it_comes_even_where_4_were_asked() -> None:
    rate = counted(4.0, [4] * 6)
    assert not rate.is_slow
    assert rate.is_old
    assert rate.age_words() == (
        "at 4.0 frames/s a frame is up to 0.25 s old, and a policy server refuses frames older than max_frame_age_s "
        "(0.2 s unless set): set it to 0.38 or more"
    )


def test_a_camera_that_stops_is_silent_after_a_second_and_neither_slow_nor_old() -> None:
    rate = counted(30.0, [30, 30, 30, 30, 30, 0])
    assert rate.is_silent
    assert not rate.is_slow
    assert not rate.is_old
    rate.add(7 * S, 180)
    assert not rate.is_silent


def test_a_camera_of_1_hz_is_not_silent_between_two_frames() -> None:
    assert not counted(1.0, [1, 1, 0, 1, 0]).is_silent
    assert counted(1.0, [1, 1, 0, 0, 0]).is_silent


def test_a_camera_that_never_gave_a_frame_is_silent() -> None:
    assert counted(30.0, []).is_silent
    assert counted(1.0, [0]).is_silent


def test_a_camera_whose_first_frames_are_counted_is_not_silent() -> None:
    rate = FrameRate(30.0)
    rate.add(S, 12)
    assert not rate.is_silent
    assert not rate.is_slow
