# SPDX-License-Identifier: Apache-2.0
"""The grid of deadlines, and the thread that keeps to it."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_node.threads import DeadlineGrid, FatalSlot, FixedRateThread, NodeError, Tick

PERIOD = 1000


def test_ticks_on_time_count_no_miss_and_keep_the_grid() -> None:
    grid = DeadlineGrid(0, PERIOD)
    for index in range(5):
        assert grid.deadline_ns == index * PERIOD
        tick = grid.begin(grid.deadline_ns + 3)
        assert (tick.index, tick.error_ns, tick.misses) == (index, 3, 0)


def test_a_late_tick_does_not_shift_the_ones_after_it() -> None:
    grid = DeadlineGrid(0, PERIOD)
    grid.begin(PERIOD - 1)
    assert grid.deadline_ns == PERIOD


def test_deadlines_gone_by_are_counted_and_never_made_up_for() -> None:
    grid = DeadlineGrid(0, PERIOD)
    tick = grid.begin(3 * PERIOD + 500)  # due at 0; those at 1000, 2000 and 3000 went by
    assert tick.misses == 3
    assert grid.deadline_ns == 4 * PERIOD


@given(st.lists(st.integers(0, 10 * PERIOD), min_size=1, max_size=50))
def test_every_deadline_is_either_served_or_counted_as_missed(delays: list[int]) -> None:
    grid = DeadlineGrid(0, PERIOD)
    now_ns = 0
    for delay in delays:
        now_ns = max(now_ns, grid.deadline_ns) + delay
        tick = grid.begin(now_ns)
        assert grid.deadline_ns > now_ns
    assert grid.deadline_ns == (len(delays) + tick.misses) * PERIOD


def test_rate_is_measured_over_the_last_second() -> None:
    grid = DeadlineGrid(0, 100_000_000)
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

    fatal = FatalSlot()
    thread = FixedRateThread("tick", 10_000_000, work, fatal)
    begin = time.monotonic()
    thread.start()
    assert done.wait(10.0)
    assert time.monotonic() - begin >= 0.19  # never faster than its rate
    thread.stop()
    count = len(ticks)
    time.sleep(0.05)
    assert len(ticks) == count
    assert not fatal.is_set


def test_an_exception_in_the_work_ends_the_thread_and_is_kept() -> None:
    def work(tick: Tick) -> None:
        raise ValueError("boom")

    fatal = FatalSlot("the arm holds")
    thread = FixedRateThread("tick", 1_000_000, work, fatal)
    thread.start()
    deadline = time.monotonic() + 5.0
    while not fatal.is_set and time.monotonic() < deadline:
        time.sleep(0.005)
    thread.stop()
    assert isinstance(fatal.cause, ValueError)
    with pytest.raises(NodeError, match=r"^internal error in thread tick: ValueError: boom; the arm holds$"):
        fatal.check()


@given(st.lists(st.tuples(st.integers(0, 5 * PERIOD), st.integers(0, 5 * PERIOD)), min_size=1, max_size=50))
def test_on_the_grid_only_no_tick_begins_while_a_later_deadline_is_past(delays: list[tuple[int, int]]) -> None:
    grid = DeadlineGrid(0, PERIOD)
    now_ns = 0
    for late_ns, work_ns in delays:
        due_ns = grid.deadline_ns
        assert due_ns % PERIOD == 0
        now_ns = max(now_ns, due_ns) + late_ns
        grid.begin(now_ns)
        now_ns += work_ns
        grid.leave_out_passed(now_ns)
        assert now_ns < grid.deadline_ns
        # The count of a sleep to "the next deadline after now", as a loop without a grid would keep it.
        assert grid.deadline_ns - due_ns == max(PERIOD, (now_ns - due_ns) // PERIOD * PERIOD + PERIOD)
    assert grid.deadline_ns == (len(delays) + grid.misses) * PERIOD


def test_work_that_is_done_ends_the_thread() -> None:
    ticks: list[Tick] = []

    def work(tick: Tick) -> bool:
        ticks.append(tick)
        return len(ticks) == 3

    thread = FixedRateThread("tick", 5_000_000, work, FatalSlot(), at_once=True, on_grid_only=True)
    thread.start()
    assert thread.join(10.0)
    assert [tick.index for tick in ticks] == [0, 1, 2]


def test_a_slow_rate_begins_at_once_and_ends_at_once() -> None:
    ticked = threading.Event()
    thread = FixedRateThread("beat", 60_000_000_000, lambda tick: ticked.set(), FatalSlot(), at_once=True)
    thread.start()
    assert ticked.wait(10.0)
    begin = time.monotonic()
    thread.stop()
    assert thread.join(0.0)
    assert time.monotonic() - begin < 30.0  # far from the next tick


def test_a_thread_that_never_began_can_be_stopped() -> None:
    FixedRateThread("beat", 1_000_000, lambda tick: None, FatalSlot()).stop()


def test_the_first_line_of_several_counts() -> None:
    fatal = FatalSlot()
    fatal.check()
    fatal.put("the first")
    fatal.put("what came of it")
    with pytest.raises(NodeError, match=r"^the first$"):
        fatal.check()
