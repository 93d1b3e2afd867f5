# SPDX-License-Identifier: Apache-2.0
"""Where a chunk's time went, put together from durations only."""

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_node.metrics.latency import STAGES, ChunkClock, LatencyBreakdown, LatencyWindow


@dataclass
class Times:
    mailbox_wait: float = 0.001
    wait_frames: float = 0.004
    decode: float = 0.003
    preprocess: float = 0.002
    inference: float = 0.045
    postprocess: float = 0.001
    server_total: float = 0.060


def test_what_the_server_does_not_account_for_is_network_and_its_half_the_estimate() -> None:
    breakdown = LatencyBreakdown.of(0.080, Times())
    assert breakdown.network == pytest.approx(0.020)
    assert breakdown.one_way_estimate == pytest.approx(0.010)
    assert breakdown.server_other == pytest.approx(0.004)
    assert math.isnan(breakdown.frame_age) and math.isnan(breakdown.queue)


@given(
    st.lists(st.floats(0, 1), min_size=6, max_size=6),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_the_parts_add_up_to_the_round_trip_and_no_part_is_negative(
    stages: list[float], other: float, network: float, age: float, queue: float
) -> None:
    total = math.fsum(stages) + other
    breakdown = LatencyBreakdown.of(total + network, Times(*[*stages, total]), frame_age_s=age, queue_s=queue)
    assert breakdown.round_trip == pytest.approx(total + network)
    assert breakdown.total == pytest.approx(total + network + age + queue)
    assert all(seconds >= 0 for seconds in breakdown.stages().values())


def test_a_round_trip_that_is_shorter_than_the_server_says_is_no_negative_network() -> None:
    assert LatencyBreakdown.of(0.0599, Times()).network == 0.0


def test_a_chunk_is_complete_with_the_first_row_executed_after_it() -> None:
    clock = ChunkClock()
    clock.frame(7, 3, 0.011)
    clock.frame(7, 3, 0.025)
    clock.frame(7, 3, 0.002)
    clock.chunk(7, 3, 1_000_000_000, 41, 0.080, Times())
    assert clock.tick(7, 1_010_000_000, 41) is None  # held: nothing executed
    complete = clock.tick(7, 1_030_000_000, 42)
    assert complete is not None
    assert complete.queue == pytest.approx(0.030)
    assert complete.frame_age == 0.025
    assert clock.tick(7, 1_060_000_000, 43) is None


def test_a_chunk_of_a_session_that_ended_is_left_out() -> None:
    clock = ChunkClock()
    clock.chunk(7, 3, 0, 41, 0.080, Times())
    assert clock.tick(8, 10, 42) is None
    assert clock.tick(7, 20, 42) is None


def test_pictures_of_requests_never_answered_do_not_pile_up() -> None:
    clock = ChunkClock()
    for request_id in range(10_000):
        clock.frame(1, request_id, 0.01)
    assert len(clock._frame_age_s) == ChunkClock.REMEMBERED


def test_percentiles_are_of_the_newest_chunks_and_skip_what_is_not_known() -> None:
    window = LatencyWindow(size=4)
    assert window.last is None
    assert all(math.isnan(times.p50) for times in window.percentiles().values())
    for index in range(6):
        age = math.nan if index == 5 else index * 0.001
        window.add(LatencyBreakdown.of(0.060 + 0.001 * index, Times(), frame_age_s=age))
    percentiles = window.percentiles()
    assert tuple(percentiles) == STAGES
    assert percentiles["network"].p50 == pytest.approx(0.003)
    assert percentiles["network"].p95 == pytest.approx(0.005)
    assert percentiles["frame_age"].p95 == pytest.approx(0.004)
    assert window.last is not None and math.isnan(window.last.frame_age)
