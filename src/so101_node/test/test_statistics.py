# SPDX-License-Identifier: Apache-2.0
"""The report's arithmetic on numbers solved by hand."""

import dataclasses

import pytest
from so101_node.metrics.quantile import percentile
from so101_node.metrics.statistics import AcceptedChunk, RunStatistics, TickSample

TICK = TickSample(
    session=7, tick=0, tick_ns=0, commanding=True, requests=0, accepted=0, rejected=0, stale=0, duplicate=0,
    starved_ticks=0, deadline_misses=0,
)  # fmt: skip


def ticks(statistics: RunStatistics, times_ms: list[float], first: int = 0, **changes: int) -> None:
    for number, time_ms in enumerate(times_ms, start=first):
        sample = dataclasses.replace(TICK, tick=number, tick_ns=round(time_ms * 1e6), **changes)
        statistics.add_tick(sample)


def test_percentile_is_linear_between_neighbours():
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.5
    assert percentile([10.0, 20.0], 99) == pytest.approx(19.9)
    assert percentile([], 50) is None


def test_a_run_without_samples_reports_none_and_zero_but_every_key():
    report = RunStatistics().report({})
    assert list(report) == [
        "task", "episodes", "successes", "mean_duration_s", "ticks", "starved_ticks", "deadline_misses", "tick",
        "chunks", "observations", "added_latency_ms", "frame_wait_ms", "observation_age_ms", "bytes_per_observation",
        "one_way_ms_estimate", "inference_ms", "cpu",
    ]  # fmt: skip
    assert report["tick"] == {"hz": None, "std_ms": None, "p99_ms": None, "max_ms": None}
    assert report["chunks"] == {"accepted": 0, "rejected": 0, "stale": 0, "duplicate": 0}
    assert report["bytes_per_observation"] is None


def test_tick_figures_of_five_ticks_solved_by_hand():
    statistics = RunStatistics()
    statistics.add_chunk(AcceptedChunk(round_trip=0.1, inference=0.06, server_total=0.08, period=0.040))
    ticks(statistics, [0.0, 40.0, 82.0, 120.0, 160.0])  # periods 40, 42, 38, 40 ms at a nominal 40 ms
    tick = statistics.report({})["tick"]
    assert tick["hz"] == 25.0  # 4 periods in 0.160 s
    assert tick["std_ms"] == pytest.approx(1.414, abs=1e-3)  # sqrt((0 + 4 + 4 + 0) / 4)
    assert tick["p99_ms"] == 2.0  # errors 0, 2, 2, 0: rank 2.97 of 3 lies between two twos
    assert tick["max_ms"] == 2.0


def test_a_lost_sample_makes_no_period_of_double_length_and_no_drift():
    statistics = RunStatistics()
    ticks(statistics, [0.0, 40.0])
    ticks(statistics, [120.0, 160.0], first=3)  # tick 2 never arrived
    report = statistics.report({})
    assert report["ticks"] == 5
    assert report["tick"]["hz"] == 25.0
    assert report["tick"]["max_ms"] == 0.0


def test_the_pause_between_two_sessions_is_nobodys_period():
    statistics = RunStatistics()
    ticks(statistics, [0.0, 40.0, 80.0])
    ticks(statistics, [9000.0, 9040.0], first=300, session=8)
    report = statistics.report({})
    assert report["ticks"] == 5
    assert report["tick"] == {"hz": 25.0, "std_ms": 0.0, "p99_ms": 0.0, "max_ms": 0.0}


def test_counters_are_summed_over_sessions_from_the_last_sample_of_each():
    statistics = RunStatistics()
    first = {"requests": 3, "accepted": 2, "rejected": 1, "stale": 1, "duplicate": 2}
    ticks(statistics, [0.0, 40.0], session=1)
    ticks(statistics, [80.0], first=2, session=1, starved_ticks=4, deadline_misses=1, **first)
    ticks(statistics, [500.0], first=12, session=2, requests=5, accepted=5, duplicate=5)
    report = statistics.report({})
    assert report["chunks"] == {"accepted": 7, "rejected": 1, "stale": 1, "duplicate": 7}
    assert (report["observations"], report["starved_ticks"], report["deadline_misses"]) == (8, 4, 1)


def test_ticks_that_command_nothing_do_not_count():
    statistics = RunStatistics()
    ticks(statistics, [0.0, 40.0, 80.0], commanding=False)
    assert statistics.report({})["ticks"] == 0


def test_what_happens_after_an_episodes_end_does_not_count_until_the_next_begins():
    statistics = RunStatistics()
    statistics.start_episode("static")
    ticks(statistics, [0.0, 40.0])
    statistics.end_episode(5.0, success=True)
    ticks(statistics, [80.0, 120.0], first=2, starved_ticks=2)
    statistics.start_episode("static")
    ticks(statistics, [500.0], first=12, session=8, starved_ticks=1)
    report = statistics.report({})
    assert (report["ticks"], report["starved_ticks"]) == (3, 1)


def test_latencies_solved_by_hand():
    statistics = RunStatistics()
    for round_trip, inference, server_total in ((0.100, 0.090, 0.094), (0.130, 0.110, 0.120)):
        statistics.add_chunk(AcceptedChunk(round_trip, inference, server_total, period=1 / 30))
    report = statistics.report({})
    assert report["added_latency_ms"] == {"p50": 15.0, "p99": 19.9}  # 10 and 20 ms
    assert report["inference_ms"] == {"p50": 100.0, "p99": 109.8}  # 90 and 110 ms
    assert report["one_way_ms_estimate"] == 4.0  # halves of 6 and 10 ms: 3 and 5


def test_what_cameras_waited_for_on_purpose_is_told_apart_from_the_added_latency():
    statistics = RunStatistics()
    for wait, age in ((0.0, 0.030), (0.020, 0.004), (0.010, 0.0)):  # the last policy reads no camera
        statistics.add_chunk(AcceptedChunk(0.110 + wait, 0.100, 0.105 + wait, 1 / 30, wait, age))
    report = statistics.report({})
    assert report["added_latency_ms"] == {"p50": 10.0, "p99": 10.0}
    assert report["frame_wait_ms"] == {"p50": 10.0, "p99": 19.8}
    assert report["observation_age_ms"] == {"p50": 17.0, "p99": 29.74}


def test_every_payload_byte_is_shared_among_the_accepted_chunks():
    statistics = RunStatistics()
    for size in (1000, 1000, 40_000, 30_001):  # a request, its repeat, two frames
        statistics.add_payload(size)
    ticks(statistics, [0.0], accepted=3)
    assert statistics.report({})["bytes_per_observation"] == 24_000  # 72001 / 3, rounded


def test_only_episodes_that_count_are_counted_and_averaged():
    statistics = RunStatistics()
    for duration_s, success in ((4.0, True), (6.0, True), (20.0, False)):
        statistics.start_episode("static")
        statistics.end_episode(duration_s, success=success)
    statistics.start_episode("static")
    statistics.abort_episode()
    report = statistics.report({"action_queue": 0.12345})
    assert (report["task"], report["episodes"], report["successes"]) == ("static", 3, 2)
    assert report["mean_duration_s"] == 10.0
    assert report["cpu"] == {"action_queue": 0.123}
