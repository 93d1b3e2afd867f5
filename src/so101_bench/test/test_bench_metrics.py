# SPDX-License-Identifier: Apache-2.0
"""Metrics, ratios and goals from traces made by hand."""

import json

import pytest
from so101_bench.goals import baseline_complaints, baseline_report, goals
from so101_bench.metrics import Recovery, Turn, ratio, recovery, side_report
from so101_bench.trace import Chunk, FrameAge, Sent, Trace, TraceTick
from so101_bench.two_hosts.wire import NO_WIRE, Wire
from so101_node.metrics.statistics import RunStatistics, TickSample

MS = 1_000_000
PERIOD_NS = 33_333_333


def tick(number: int, at_ns: int, *, acting: bool = True, **counters: int) -> TraceTick:
    names = ("requests", "accepted", "rejected", "stale", "duplicate", "starved_ticks", "deadline_misses")
    values = {name: counters.get(name, 0) for name in names}
    return TraceTick(TickSample(session=7, tick=number, tick_ns=at_ns, commanding=True, **values), acting)


def turn(*, policy_ms: float = 100.0, added_ms: float = 20.0, size: int = 1000, observations: int = 1) -> Turn:
    """Ten seconds: 300 ticks on the grid, a chunk each second, `observations` observations for each."""
    trace = Trace()
    for number in range(300):
        chunks = number // 30
        counters = {"requests": 100 + chunks * observations, "accepted": 50 + chunks, "starved_ticks": 3}
        trace.ticks.append(tick(number, number * PERIOD_NS, **counters))
    for second in range(1, 10):
        sent_ns = second * 1000 * MS - 200 * MS
        total_ms = policy_ms + added_ms
        trace.chunks.append(Chunk(sent_ns + round(total_ms * MS), sent_ns, policy_ms / 1e3, (total_ms - 6) / 1e3))
        trace.sent += [Sent(sent_ns, size, 0.002)] * observations
    return Turn(trace, 0, 10_000 * MS, {"robot": 0.5, "policy_server": 0.25})


def test_the_report_has_every_key_of_the_design() -> None:
    report = side_report([turn()], "policy_server")
    assert set(RunStatistics().report({})) <= set(report)
    json.dumps(report, allow_nan=False)


def test_metrics_count_from_the_begin_of_the_stretch() -> None:
    report = side_report([turn(observations=3)], "policy_server")
    assert report["observations"] == 27
    assert report["chunks"]["accepted"] == 9
    assert report["observations_per_chunk"] == 3.0
    assert report["starved_ticks"] == 0  # all three were before the stretch
    assert report["bytes_per_observation"] == 3000
    assert report["bytes_per_observation_sent"] == 1000


def test_a_request_still_under_way_at_the_end_is_not_held_against_a_side() -> None:
    whole = turn()
    ticks = [*whole.trace.ticks]
    last = ticks[-1].sample
    ticks[-1] = tick(last.tick, last.tick_ns, requests=last.requests + 1, accepted=last.accepted)
    open_request = Turn(Trace(ticks, whole.trace.sent, whole.trace.chunks), whole.begin_ns, whole.end_ns, whole.cores)
    report = side_report([open_request], "policy_server")
    assert (report["observations"], report["observations_used"]) == (10, 9)
    assert report["observations_per_chunk"] == 1.0


def test_added_latency_is_the_round_trip_less_the_policys_own_time() -> None:
    report = side_report([turn(policy_ms=100, added_ms=20)], "policy_server")
    assert report["added_latency_ms"]["p50"] == pytest.approx(20, abs=0.01)
    assert report["observation_to_chunk_ms"]["p50"] == pytest.approx(120, abs=0.01)
    assert report["one_way_ms_estimate"] == pytest.approx(3, abs=0.01)
    # The chunk comes at 920 ms; the next tick is number 28, at 933.3 ms.
    assert 120 <= report["observation_to_action_ms"]["p50"] <= 120 + 33.4


def test_the_age_of_an_observation_is_that_of_its_oldest_frame() -> None:
    seen = turn()
    seen.trace.frame_ages = [FrameAge(900 * MS, 7, 1, 0.005), FrameAge(901 * MS, 7, 1, 0.015)]
    assert side_report([seen], "policy_server")["frame_age_ms"]["p50"] == pytest.approx(15.0)


def test_two_turns_are_one_metric_and_the_gap_between_them_none() -> None:
    one, two = side_report([turn()], "policy_server"), side_report([turn(), turn()], "policy_server")
    assert two["ticks"] == 2 * one["ticks"]
    assert two["tick"]["max_ms"] == pytest.approx(0, abs=0.01)
    assert two["seconds"] == 20.0


def test_what_lies_outside_the_stretch_does_not_count() -> None:
    whole = turn()
    half = Turn(whole.trace, 0, 5_000 * MS, whole.cores)
    assert side_report([half], "policy_server")["ticks"] == 151
    assert side_report([half], "policy_server")["chunks"]["accepted"] == 5


def test_the_servers_cores_are_not_the_robots() -> None:
    assert side_report([turn()], "policy_server")["cpu_robot"] == 0.5


def test_a_side_without_a_single_chunk_has_metrics_of_none() -> None:
    report = side_report([Turn(Trace(), 0, 1000 * MS, {})], "policy_server")
    assert report["added_latency_ms"] == {"p50": None, "p99": None}
    assert report["bytes_per_observation"] is None
    assert report["targets"] == {"fps_30": False, "one_way_below_50_ms": None, "inference_below_100_ms": None}


def test_the_targets_are_judged() -> None:
    assert side_report([turn(policy_ms=99)], "policy_server")["targets"]["inference_below_100_ms"] is True
    assert side_report([turn(policy_ms=101)], "policy_server")["targets"]["inference_below_100_ms"] is False
    assert side_report([turn()], "policy_server")["targets"]["fps_30"] is True


def test_ratios_follow_the_reports_shape_and_leave_out_what_is_no_number() -> None:
    ours = {"a": 1, "b": {"c": 3.0, "d": None}, "e": True, "f": 2}
    lerobot = {"a": 4, "b": {"c": 2.0, "d": 1.0}, "e": False, "f": 0}
    assert ratio(ours, lerobot) == {"a": 0.25, "b": {"c": 1.5}, "f": None}


def test_recovery_runs_to_the_first_action_of_a_chunk_that_came_afterwards() -> None:
    trace = Trace()
    trace.chunks = [Chunk(90 * MS, 0, 0.0, 0.0), Chunk(700 * MS, 600 * MS, 0.0, 0.0)]
    trace.ticks = [tick(1, 500 * MS), tick(2, 710 * MS, acting=False), tick(3, 743 * MS)]
    found = recovery(trace, disturbed_ns=100 * MS, back_ns=600 * MS, until_ns=2000 * MS)
    assert found.back_s == pytest.approx(0.5)
    assert found.acting_s == pytest.approx(0.143)


def test_who_never_acts_again_has_no_time_but_the_time_we_waited() -> None:
    found = recovery(Trace(), disturbed_ns=0, back_ns=100 * MS, until_ns=15_100 * MS)
    assert (found.acting_s, found.waited_s) == (None, pytest.approx(15.0))


def met(name: str, lerobot: Turn, ours: Turn, wire: Wire = NO_WIRE) -> bool | None:
    reports = side_report([lerobot], "policy_server"), side_report([ours], "policy_server")
    return next(goal.ok for goal in goals(*reports, wire) if name in goal.name)


def test_goals_compare_with_lerobot_in_the_same_run() -> None:
    slow, fast = turn(added_ms=40), turn(added_ms=9)
    assert met("added latency p50", slow, fast) is True
    assert met("added latency p50", fast, slow) is False
    assert met("added latency p50", slow, fast, Wire(rate_mbit=100)) is False  # an eighth there
    assert met("bytes per observation", turn(size=1000, observations=5), turn(size=200)) is True
    assert met("observations sent per chunk", slow, turn(observations=2)) is False


def test_a_robot_that_never_acts_again_fails_its_goal_and_the_report_is_still_json() -> None:
    before = turn()
    lost = Turn(before.trace, before.begin_ns, before.end_ns, before.cores, Recovery(3.0, None, 15.0))
    reports = side_report([lost], "policy_server"), side_report([lost], "policy_server")
    goal = next(goal for goal in goals(*reports, NO_WIRE) if "READY" in goal.name)
    assert goal.ok is False
    assert json.loads(json.dumps(goal.as_dict(), allow_nan=False))["measured"] is None


def test_lerobots_metrics_are_compared_with_those_recorded() -> None:
    like = side_report([turn(added_ms=31)], "policy_server")
    report = baseline_report(like, NO_WIRE, 0.1)
    assert report is not None and report["observation_to_chunk_ms"]["within_30_pct"]
    complaints = baseline_complaints(report)
    assert len(complaints) == 1 and "send_blocks_ms" in complaints[0]  # 2 ms here, 14 recorded
    assert baseline_report(like, Wire(delay_ms=20), 0.1) is None
