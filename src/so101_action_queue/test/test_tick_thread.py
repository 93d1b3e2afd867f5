"""The grid of deadlines, and the thread that keeps to it."""

import threading
import time

from hypothesis import given
from hypothesis import strategies as st
from so101_action_queue.tick_thread import SessionMisses, Tick, TickGrid, TickThread

PERIOD = 1000


def test_ticks_on_time_count_no_miss_and_keep_the_grid() -> None:
    grid = TickGrid(0, PERIOD)
    for index in range(5):
        assert grid.deadline_ns == index * PERIOD
        tick = grid.begin(grid.deadline_ns + 3)
        assert (tick.index, tick.error_ns, tick.misses) == (index, 3, 0)


def test_a_late_tick_does_not_shift_the_ones_after_it() -> None:
    grid = TickGrid(0, PERIOD)
    grid.begin(PERIOD - 1)
    assert grid.deadline_ns == PERIOD


def test_misses_before_a_session_are_not_its_own() -> None:
    misses = SessionMisses()

    def seen(session: int, missed: int) -> int:
        return misses.since_begin(session, Tick(0, 0, 0, missed, 30.0)).misses

    assert [seen(0, 7), seen(5, 20), seen(5, 20), seen(5, 23), seen(6, 23), seen(6, 24)] == [7, 0, 0, 3, 0, 1]


def test_deadlines_gone_by_are_counted_and_never_made_up_for() -> None:
    grid = TickGrid(0, PERIOD)
    tick = grid.begin(3 * PERIOD + 500)  # due at 0; those at 1000, 2000 and 3000 went by
    assert tick.misses == 3
    assert grid.deadline_ns == 4 * PERIOD


@given(st.lists(st.integers(0, 10 * PERIOD), min_size=1, max_size=50))
def test_every_deadline_is_either_served_or_counted_as_missed(delays: list[int]) -> None:
    grid = TickGrid(0, PERIOD)
    now_ns = 0
    for delay in delays:
        now_ns = max(now_ns, grid.deadline_ns) + delay
        tick = grid.begin(now_ns)
        assert grid.deadline_ns > now_ns
    assert grid.deadline_ns == (len(delays) + tick.misses) * PERIOD


def test_rate_is_measured_over_the_last_second() -> None:
    grid = TickGrid(0, 100_000_000)
    for _ in range(30):
        tick = grid.begin(grid.deadline_ns)
    assert tick.hz == 10.0


def test_the_thread_ticks_at_its_rate_and_stops() -> None:
    ticks: list[Tick] = []
    done = threading.Event()

    def work(tick: Tick) -> None:
        ticks.append(tick)
        if len(ticks) == 20:
            done.set()

    thread = TickThread(10_000_000, work)
    begin = time.monotonic()
    thread.start()
    assert done.wait(10.0)
    assert time.monotonic() - begin >= 0.19  # never faster than its rate
    thread.stop()
    count = len(ticks)
    time.sleep(0.05)
    assert len(ticks) == count
    assert thread.error is None


def test_an_exception_in_the_work_ends_the_thread_and_is_kept() -> None:
    def work(tick: Tick) -> None:
        raise ValueError("boom")

    thread = TickThread(1_000_000, work)
    thread.start()
    deadline = time.monotonic() + 5.0
    while thread.error is None and time.monotonic() < deadline:
        time.sleep(0.005)
    thread.stop()
    assert isinstance(thread.error, ValueError)
