# SPDX-License-Identifier: Apache-2.0
"""Whether a request waits for the next frame."""

import pytest
from so101_camera.core.frame_phase import INTERVALS, NO_WAIT, FramePhase, FrameWait

PERIOD_NS = 33_333_333
LAST_NS = INTERVALS * PERIOD_NS
MS = 1_000_000


def phase(within_ns: int, frames: int = INTERVALS + 1) -> FramePhase:
    result = FramePhase(within_ns)
    for number in range(frames):
        result.add(number * PERIOD_NS)
    return result


@pytest.mark.parametrize(
    ("since_frame_ms", "waits_ms"),
    [(0, 0), (15, 0), (23, 0), (24, 12.67), (33, 3.67), (36, 0.67), (37, 0), (300, 0)],
)
def test_a_request_waits_where_the_next_frame_is_due_soon_or_a_little_late(
    since_frame_ms: int, waits_ms: float
) -> None:
    assert phase(10 * MS).wait(LAST_NS + since_frame_ms * MS).longest_ns == pytest.approx(waits_ms * MS, abs=0.01 * MS)


def test_no_request_waits_longer_than_half_a_period() -> None:
    waits_ns = [phase(100 * MS).wait(LAST_NS + since_ms * MS).longest_ns for since_ms in range(60)]
    assert 0.45 * PERIOD_NS < max(waits_ns) <= 0.5 * PERIOD_NS


def test_zero_waits_for_none_even_where_one_is_due_this_moment() -> None:
    assert phase(0).wait(LAST_NS + PERIOD_NS) == NO_WAIT


def test_before_the_period_is_known_nothing_waits() -> None:
    young = phase(10 * MS, frames=INTERVALS)
    assert young.wait((INTERVALS - 1) * PERIOD_NS + 30 * MS, 30 * MS) == NO_WAIT
    assert young.period_ns is None
    assert FramePhase(10 * MS).wait(0) == NO_WAIT


def test_two_dropped_frames_do_not_change_the_period() -> None:
    camera = FramePhase(10 * MS)
    for number in (0, 1, 2, 4, 5, 6, 8, 9, 10, 11):
        camera.add(number * PERIOD_NS)
    assert camera.wait(11 * PERIOD_NS + 30 * MS).frames == 1
    assert camera.period_ns == PERIOD_NS


@pytest.mark.parametrize(
    ("since_frame_ms", "granted_ms", "expected"),
    [
        (5, 27, NO_WAIT),  # due in 28.3 ms
        (5, 28, FrameWait(1, round(28.333333e6 + 0.1 * PERIOD_NS))),
        (33, 1, FrameWait(1, round(0.333333e6 + 0.1 * PERIOD_NS))),
        (36, 1, FrameWait(1, round(-2.666667e6 + 0.1 * PERIOD_NS))),  # late by less than a tenth
        (37, 34, NO_WAIT),  # it has dropped that frame, or stands still
        (500, 34, NO_WAIT),
        (30, 70, FrameWait(3, round(70e6 + 0.1 * PERIOD_NS))),  # the last of those due by then
    ],
)
def test_a_request_may_say_itself_how_long_it_can_wait(
    since_frame_ms: int, granted_ms: int, expected: FrameWait
) -> None:
    found = phase(0).wait(LAST_NS + since_frame_ms * MS, granted_ms * MS)
    assert found.frames == expected.frames
    assert found.longest_ns == pytest.approx(expected.longest_ns, abs=0.01 * MS)


def test_a_camera_whose_frames_come_irregularly_has_no_period_and_nothing_waits_for_it() -> None:
    camera = FramePhase(10 * MS)
    at_ns = 0
    for number in range(30):
        at_ns += PERIOD_NS if number % 3 else 2 * PERIOD_NS
        camera.add(at_ns)
    assert camera.period_ns is None
    assert camera.wait(at_ns + 30 * MS, 34 * MS) == NO_WAIT


@pytest.mark.parametrize("jitter_ms", [0, 1, 3])
def test_a_period_with_jitter_is_a_period(jitter_ms: int) -> None:
    camera = FramePhase(0)
    for number in range(40):
        camera.add(number * PERIOD_NS + (-jitter_ms if number % 2 else jitter_ms) * MS // 2)
    assert camera.period_ns == pytest.approx(PERIOD_NS, abs=(jitter_ms + 0.1) * MS)
