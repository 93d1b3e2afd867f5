# SPDX-License-Identifier: Apache-2.0
"""The frames of the last observation steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_camera.core.frame import Frame
from so101_camera.core.history import FrameHistory

MS = 1_000_000


def frame(seq: int, capture_ms: float) -> Frame:
    return Frame(seq, round(capture_ms * MS), jpeg=b"x")


def test_before_the_first_frame_nothing_is_selected() -> None:
    assert FrameHistory().select(3, 33 * MS) == []


def test_one_step_is_the_newest_frame() -> None:
    history = FrameHistory()
    for i in range(5):
        history.add(frame(i, 33 * i))
    assert [f.seq for f in history.select(1, 33 * MS)] == [4]


def test_earlier_steps_are_the_frames_nearest_to_their_time() -> None:
    history = FrameHistory()
    history.select(3, 40 * MS)
    for i in range(12):
        history.add(frame(i, 10 * i))  # a 100 Hz camera, a 25 Hz policy
    assert [f.seq for f in history.select(3, 40 * MS)] == [11, 7, 3]


def test_where_history_does_not_reach_back_the_oldest_frame_stands_in() -> None:
    history = FrameHistory()
    history.select(3, 33 * MS)
    history.add(frame(1, 0))
    history.add(frame(2, 33))
    assert [f.seq for f in history.select(3, 33 * MS)] == [2, 1, 1]


def test_only_the_newest_frame_is_kept_while_nobody_asks_for_more() -> None:
    history = FrameHistory()
    for i in range(100):
        history.add(frame(i, 33 * i))
    assert [f.seq for f in history.select(2, 33 * MS)] == [99, 99]


@pytest.mark.parametrize(("seq", "capture_ms"), [(1, 40), (0, 40), (2, 10)])
def test_a_frame_that_is_not_newer_is_refused(seq: int, capture_ms: float) -> None:
    history = FrameHistory()
    history.add(frame(1, 33))
    with pytest.raises(ValueError, match="not newer"):
        history.add(frame(seq, capture_ms))


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60), st.integers(1, 5), st.integers(1, 100))
def test_selection_equals_that_from_an_endless_history(gaps_ms: list[int], steps: int, period_ms: int) -> None:
    history = FrameHistory()
    history.select(steps, period_ms * MS)
    frames = []
    now = 0
    for seq, gap in enumerate(gaps_ms):
        now += gap
        frames.append(frame(seq, now))
        history.add(frames[-1])
    selected = history.select(steps, period_ms * MS)
    for i, chosen in enumerate(selected):
        wanted = frames[-1].capture_ns - i * period_ms * MS
        assert abs(chosen.capture_ns - wanted) == min(abs(f.capture_ns - wanted) for f in frames)
