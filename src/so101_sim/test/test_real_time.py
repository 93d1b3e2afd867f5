# SPDX-License-Identifier: Apache-2.0
from hypothesis import given
from hypothesis import strategies as st
from so101_sim.arm.real_time import RealTimePacer

STEP_NS, LAG_NS = 2_000_000, 100_000_000


def test_steps_follow_the_clock() -> None:
    pacer = RealTimePacer(STEP_NS, LAG_NS, now_ns=500)
    assert pacer.due(500) == 0
    assert pacer.due(500 + STEP_NS - 1) == 0
    assert pacer.due(500 + STEP_NS) == 1
    assert pacer.due(500 + 4 * STEP_NS) == 3


def test_a_pause_that_is_too_long_is_given_up_and_counted() -> None:
    pacer = RealTimePacer(STEP_NS, LAG_NS, now_ns=0)
    assert pacer.due(5_000_000_000) == 1
    assert (pacer.slips, pacer.slipped_ns) == (1, 5_000_000_000 - STEP_NS)
    assert pacer.due(5_000_000_000 + STEP_NS) == 1


def test_the_longest_pause_that_is_caught_up_with_is_caught_up_with() -> None:
    pacer = RealTimePacer(STEP_NS, LAG_NS, now_ns=0)
    assert pacer.due(LAG_NS) == LAG_NS // STEP_NS
    assert pacer.slips == 0


@given(st.lists(st.integers(0, LAG_NS), max_size=50))
def test_no_time_is_lost_or_gained_without_a_slip(pauses: list[int]) -> None:
    pacer = RealTimePacer(STEP_NS, LAG_NS - STEP_NS, now_ns=0)
    now_ns = steps = 0
    for pause in pauses:
        now_ns += min(pause, LAG_NS - 2 * STEP_NS)
        steps += pacer.due(now_ns)
    assert pacer.slips == 0
    assert 0 <= now_ns - steps * STEP_NS < STEP_NS


def test_the_next_batch_is_due_a_batch_after_what_was_done() -> None:
    pacer = RealTimePacer(STEP_NS, LAG_NS, now_ns=0)
    pacer.due(3 * STEP_NS + 7)
    assert pacer.next_ns(4 * STEP_NS) == 7 * STEP_NS
