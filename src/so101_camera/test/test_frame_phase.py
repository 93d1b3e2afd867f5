# SPDX-License-Identifier: Apache-2.0
"""Whether a request waits for the next frame."""

import pytest
from so101_camera.core.frame_phase import INTERVALS, FramePhase

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
    assert phase(10 * MS).wait_ns(LAST_NS + since_frame_ms * MS) == pytest.approx(waits_ms * MS, abs=0.01 * MS)


def test_no_request_waits_longer_than_half_a_period() -> None:
    waits_ns = [phase(100 * MS).wait_ns(LAST_NS + since_ms * MS) for since_ms in range(60)]
    assert 0.45 * PERIOD_NS < max(waits_ns) <= 0.5 * PERIOD_NS


def test_zero_waits_for_none_even_where_one_is_due_this_moment() -> None:
    assert phase(0).wait_ns(LAST_NS + PERIOD_NS) == 0


def test_before_the_period_is_known_nothing_waits() -> None:
    young = phase(10 * MS, frames=INTERVALS)
    assert young.wait_ns((INTERVALS - 1) * PERIOD_NS + 30 * MS) == 0
    assert FramePhase(10 * MS).wait_ns(0) == 0


def test_two_dropped_frames_do_not_change_the_period() -> None:
    camera = FramePhase(10 * MS)
    for number in (0, 1, 2, 4, 5, 6, 8, 9, 10, 11):
        camera.add(number * PERIOD_NS)
    assert camera.wait_ns(11 * PERIOD_NS + 30 * MS) > 0
