# SPDX-License-Identifier: Apache-2.0
"""The core as a whole, told as scenarios. A VirtualSession supplies clock, driver and server; there is no sleep."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from so101_action_queue.core.decisions import ChunkRequest
from so101_action_queue.core.inputs import DriverReport, JointPositions
from so101_action_queue.core.queue_core import ActionQueue
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.virtual_session import SESSION, VirtualLink, VirtualSession
from so101_node.log_lines import LogLevel
from so101_node.protocol import ChunkStatus, ChunkVerdict, DriverState, FloatArray, PolicyState, QueueState

JOINTS = ("pan", "lift")
PERIOD = 1 / 30


def settings(**changes: Any) -> QueueSettings:
    return QueueSettings(**{"joint_names": JOINTS, "cameras": (), **changes})


def ramp_policy(request: ChunkRequest) -> FloatArray:
    """Say 0.01 rad x step for both joints: every row of every chunk agrees on where the arm should be at a step."""
    steps = request.step + np.arange(50)
    return np.repeat(0.01 * steps[:, np.newaxis] % 1.5, 2, axis=1)


def still_policy(request: ChunkRequest) -> FloatArray:
    return np.zeros((50, 2))


def running(
    chosen: QueueSettings | None = None, link: VirtualLink | None = None, policy: Any = still_policy
) -> VirtualSession:
    """A session 2 s after its start."""
    session = VirtualSession(chosen or settings(), policy, link)
    session.run(0.5)
    session.start()
    session.run(2.0)
    return session


def never(request_id: int) -> float | None:
    return None


def lines(session: VirtualSession, level: LogLevel = LogLevel.INFO) -> list[str]:
    return [line.text for line in session.trace.lines if line.level >= level]


# -- start -------------------------------------------------------------------------------------------------------------


def test_nothing_is_commanded_and_nothing_requested_before_start() -> None:
    session = VirtualSession(settings(), still_policy)
    trace = session.run(3.0)
    assert set(trace.states) == {QueueState.IDLE}
    assert trace.setpoints == []
    assert trace.requests == []


def test_start_holds_the_drivers_goal_at_once_and_never_zeros() -> None:
    session = VirtualSession(settings(), still_policy, VirtualLink(inference_s=never), home=(0.7, -0.3))
    session.run(0.5)
    session.start()
    trace = session.run(1.0)
    assert set(trace.setpoints) == {(0.7, -0.3)}
    assert len(trace.setpoints) == trace.states.count(QueueState.WAITING) == 30


def test_a_goal_beyond_the_limits_is_held_at_the_limit() -> None:
    session = VirtualSession(settings(), still_policy, VirtualLink(inference_s=never), home=(0.7, -3.0))
    session.run(0.5)
    session.start()
    assert session.run(0.5).setpoints[-1] == (0.7, -2.0)


def test_start_is_refused_with_the_reason_until_limits_driver_and_server_are_there() -> None:
    reference = VirtualSession(settings(), still_policy)
    core = ActionQueue(0, settings())
    assert "joint_limits" in core.start(0, 1).reason
    core.set_limits(0, replace(reference.limits, upper=(2.0, -3.0)))
    assert "lift from -2 to -3" in core.start(0, 1).reason
    core.set_limits(0, reference.limits)
    assert "driver_status" in core.start(0, 1).reason
    core.hear_driver(0, reference.driver)
    assert "no policy server" in core.start(0, 1).reason
    core.hear_server(0, reference.server)
    assert core.waits_for(0) == ""  # it has not begun
    assert core.start(0, 1).done
    assert core.state is QueueState.WAITING
    assert core.waits_for(0) == ""  # the server is READY, and chunks can come
    core.hear_server(1, replace(reference.server, state=PolicyState.LOADING, message="reading weights"))
    assert core.waits_for(1).endswith("is LOADING: reading weights")


def test_start_is_refused_when_the_only_server_left_long_ago() -> None:
    session = VirtualSession(settings(), still_policy)
    session.run(0.5)
    core, now_ns = session.journal.core, session.now_ns + 60_000_000_000
    core.hear_driver(now_ns, session.driver)
    assert core.start(now_ns, 1).reason == "no policy server heard"


def test_start_again_while_started_changes_nothing() -> None:
    session = running()
    result = session.journal.start(session.now_ns, 99)
    assert (result.done, result.reason) == (True, "already started")
    assert session.journal.core.session == SESSION


def test_the_first_request_waits_for_the_driver_to_engage() -> None:
    session = VirtualSession(settings(), still_policy)
    session.run(0.5)
    session.driver = replace(session.driver, cause="WAITS")  # a HOLD that our driver does not leave
    session.start()
    trace = session.run(0.9)
    assert trace.requests == []
    assert session.journal.core.cause == "waiting for the driver to engage"
    session.driver = replace(session.driver, cause="")
    assert len(session.run(0.3).requests) == 1


def test_a_driver_that_does_not_engage_stops_the_queue_after_a_second() -> None:
    session = VirtualSession(settings(), still_policy)
    session.run(0.5)
    session.driver = replace(session.driver, cause="TOO_FAR", message="move the arm")
    session.start()
    session.run(1.3)
    assert session.journal.core.state is QueueState.STOPPED
    assert "did not engage within 1 s: it is HOLD (TOO_FAR): move the arm" in session.journal.core.cause
    count = len(session.trace.setpoints)
    assert len(session.run(1.0).setpoints) == count


# -- connecting --------------------------------------------------------------------------------------------------------


def test_no_server_in_time_is_fatal_with_one_line_and_no_command() -> None:
    core = ActionQueue(0, settings(connect_timeout_s=10.0, servers=("gpu",)))
    positions = JointPositions((0.0, 0.0), 0.0)
    assert core.tick(9_999_999_999, positions).fatal == ""
    decision = core.tick(10_000_000_000, positions)
    assert decision.fatal.startswith("Failed to connect to policy server: no heartbeat of the names gpu")
    assert "\n" not in decision.fatal
    assert decision.setpoint is None


def test_a_connect_timeout_of_zero_waits_forever() -> None:
    core = ActionQueue(0, settings(connect_timeout_s=0.0))
    assert core.tick(10**15, None).fatal == ""


def test_a_server_that_loads_for_long_is_connected() -> None:
    session = VirtualSession(settings(connect_timeout_s=1.0), still_policy)
    session.server = replace(session.server, state=PolicyState.LOADING)
    session.run(5.0)
    assert session.journal.core.tick(session.now_ns, None).fatal == ""
    session.start()
    session.run(1.0)
    assert session.journal.core.state is QueueState.WAITING
    assert session.journal.core.cause == "server virtual is LOADING"
    assert session.trace.requests == []
    session.server = replace(session.server, state=PolicyState.READY)
    assert len(session.run(0.25).requests) == 1


def test_connecting_says_so_in_lerobots_words() -> None:
    session = VirtualSession(settings(), still_policy)
    session.run(0.5)
    assert any(line.startswith("Connected to policy server") for line in lines(session))


# -- alignment ---------------------------------------------------------------------------------------------------------


def test_row_i_of_a_chunk_requested_at_step_s_is_executed_at_step_s_plus_i() -> None:
    session = running(
        policy=ramp_policy, chosen=settings(max_seam_rad=3.2), link=VirtualLink(inference_s=lambda number: 0.3)
    )
    trace = session.run(4.0)
    assert trace.counters.rows_trimmed > 10
    executed = [round(pan / 0.01) for pan, _ in trace.setpoints]
    begin = executed.index(1) - 1
    moved = executed[begin : begin + 120]
    assert moved == list(range(120))


def test_an_idle_arm_executes_row_nought() -> None:
    def row_numbers(request: ChunkRequest) -> FloatArray:
        return np.repeat(0.001 * np.arange(50)[:, np.newaxis] + 0.5, 2, axis=1)

    session = VirtualSession(settings(max_seam_rad=3.2), row_numbers, VirtualLink(inference_s=lambda number: 0.5))
    session.run(0.5)
    session.start()
    trace = session.run(1.0)
    first = next(setpoint for setpoint in trace.setpoints if setpoint != (0.0, 0.0))
    assert first == pytest.approx((0.5, 0.5))


def test_elapsed_time_skips_the_rows_whose_time_is_past() -> None:
    def row_numbers(request: ChunkRequest) -> FloatArray:
        return np.repeat(0.01 * np.arange(50)[:, np.newaxis] + 0.5, 2, axis=1)

    session = VirtualSession(
        settings(alignment="elapsed_time", max_seam_rad=3.2), row_numbers, VirtualLink(inference_s=lambda number: 0.496)
    )
    session.run(0.5)
    session.start()
    trace = session.run(1.0)
    first = next(setpoint for setpoint in trace.setpoints if setpoint != (0.0, 0.0))
    # Asked in tick 0, answered 0.500 s later: tick 15 comes just then and is past; row 0 was meant for tick 1.
    assert first == pytest.approx((0.64, 0.64), abs=0.011)


def test_elapsed_time_counts_a_late_tick_and_the_next_one_in_time_as_two_periods() -> None:
    session = running(settings(alignment="elapsed_time"), policy=ramp_policy)
    core, period_ns, began = session.journal.core, settings().period_ns, session.journal.core.step
    for late in (0.6, 0.0, 0.7, 0.0, 0.0, 2.0, 0.0):  # the last but one passes over two deadlines
        session.now_ns += period_ns
        core.tick(session.now_ns + round(late * period_ns), JointPositions((0.0, 0.0), 0.0))
        session.now_ns += int(late) * period_ns
    assert core.step - began == 9


def test_a_chunk_shorter_than_the_round_trip_is_realigned_counted_and_named() -> None:
    session = running(settings(alignment="elapsed_time"), VirtualLink(inference_s=lambda number: 2.5))
    trace = session.run(6.0)
    assert trace.counters.expired >= 2
    assert trace.counters.accepted == trace.counters.expired
    assert trace.states.count(QueueState.RUNNING) >= 70  # 50 rows of the first chunk and 25 of the second
    assert "chunk shorter than round trip: 50 rows" in session.journal.core.cause


# -- asking ------------------------------------------------------------------------------------------------------------


def test_requests_are_sent_at_half_a_chunk_with_one_outstanding() -> None:
    trace = running().trace
    first, *later = trace.requests
    assert first.must_go
    assert first.request_id == 1
    assert not any(request.must_go for request in later)
    asked_at = [trace.lengths[tick] for tick in trace.request_ticks[1:]]
    assert asked_at == [25] * len(asked_at)
    assert trace.counters.timeouts == 0


def test_an_empty_queue_sets_must_go() -> None:
    session = running(link=VirtualLink(inference_s=lambda number: 0.1 if number < 2 else 4.0))
    trace = session.run(3.0)
    assert trace.states[-1] is QueueState.STARVED
    assert [request.must_go for request in trace.requests[:2]] == [True, False]
    assert all(request.must_go for request in trace.requests[2:])


def test_joint_positions_too_old_or_missing_are_not_requested_with() -> None:
    session = running(link=VirtualLink(inference_s=never))
    core = session.journal.core
    for positions, cause in ((None, "no joint_states"), (JointPositions((0.0, 0.0), 0.11), "older than 0.1 s")):
        for _ in range(60):
            session.now_ns += 33_333_333
            session.driver = replace(session.driver)
            session.journal.hear_driver(session.now_ns, session.driver)
            session.journal.hear_server(session.now_ns, session.server)
            assert core.tick(session.now_ns, positions).request is None
        assert core.state is QueueState.WAITING
        assert cause in core.cause
    session.now_ns += 33_333_333
    assert core.tick(session.now_ns, JointPositions((0.0, 0.0), 0.1)).request is not None


def test_a_request_carries_one_snapshot_of_step_positions_and_history() -> None:
    session = VirtualSession(settings(), ramp_policy, home=(0.2, 0.1))
    session.server = replace(session.server, n_obs_steps=3)
    session.run(0.5)
    session.start()
    trace = session.run(3.0)
    first, later = trace.requests[0], trace.requests[2]
    assert (first.history, first.joint_names) == (3, JOINTS)
    assert first.positions == (0.2, 0.1) * 3
    tick = trace.request_ticks[2]
    assert later.step == trace.steps[tick]
    positions = np.array(later.positions).reshape(3, 2)
    # The arm follows without lag: the joint positions read in tick k is the command of tick k - 1.
    begin = len(trace.states) - len(trace.setpoints)
    np.testing.assert_array_equal(positions, np.array(trace.setpoints[tick - begin - 3 : tick - begin]))


def test_a_changed_task_asks_at_once_and_is_carried() -> None:
    session = running()
    spec_id = session.spec_id
    count = len(session.trace.requests)
    session.journal.change(session.now_ns, replace(session.settings, task="put it back"))
    trace = session.run(0.034)
    assert len(trace.requests) == count + 1
    assert trace.requests[-1].task == "put it back"
    assert session.spec_id == spec_id


def test_frames_are_requested_at_the_size_of_the_policy_that_took_up_the_spec() -> None:
    session = running(settings(cameras=("top",), frame_size="policy"))
    assert session.trace.requests[-1].frame_sizes == ()
    session.server = replace(session.server, horizon=50, cameras=("top",), frame_sizes=(96, 128))
    assert session.run(3.0).requests[-1].frame_sizes == (96, 128)
    session.journal.change(session.now_ns, replace(session.settings, frame_size="camera"))
    assert session.run(3.0).requests[-1].frame_sizes == ()


def test_another_policy_is_named_while_rows_are_executed_and_no_tick_starves() -> None:
    session = running()
    spec_id = session.spec_id
    named = replace(session.settings, pretrained_name_or_path="/models/place")
    session.journal.change(session.now_ns, named)
    assert session.spec_id != spec_id
    session.server = replace(session.server, spec_id=session.spec_id)  # its next heartbeat, up to 0.2 s later
    trace = session.run(5.0)
    assert trace.requests[-1].spec_id == session.spec_id
    assert trace.counters.starved_ticks == 0
    assert session.journal.core.state is QueueState.RUNNING


def test_adaptive_asks_later_than_threshold_and_still_never_starves() -> None:
    trips = {}
    for rule in ("threshold", "adaptive"):
        session = running(settings(request_policy=rule), VirtualLink(inference_s=lambda number: 0.2))
        trips[rule] = session.run(30.0)
    assert trips["adaptive"].counters.starved_ticks == 0
    assert trips["adaptive"].counters.requests < 0.75 * trips["threshold"].counters.requests
    # What is shown is the level in force: 0.204 s are 7 steps, with the margin 10 of 50 rows.
    assert session.journal.core.status(session.now_ns).threshold == 0.2


def test_adaptive_warns_when_the_round_trip_takes_more_than_half_a_chunk() -> None:
    session = running(settings(request_policy="adaptive"), VirtualLink(inference_s=lambda number: 1.2))
    trace = session.run(10.0)
    assert any("more than half of a chunk" in line for line in lines(session, LogLevel.WARNING))
    gaps = np.diff(trace.request_ticks[2:])  # the first chunk is warm-up, the second the first to be measured
    assert set(gaps.tolist()) <= {37, 38}  # 1.204 s are 36.1 ticks: asked in the first tick after each chunk


# -- livelocks ---------------------------------------------------------------------------------------------------------


def test_livelock_of_a_short_timeout_every_request_overtaken_and_still_the_arm_moves() -> None:
    """A timeout below the round trip: each chunk comes after its request was asked again."""
    session = running(settings(request_timeout_s=0.05), VirtualLink(inference_s=lambda number: 0.5))
    trace = session.run(10.0)
    assert trace.counters.timeouts > 5
    assert trace.counters.starved_ticks == 0
    assert trace.counters.accepted >= 10


def test_livelock_of_a_slow_policy_longer_than_timeout_and_chunk_still_moves_in_pieces() -> None:
    session = running(settings(request_timeout_s=0.2), VirtualLink(inference_s=lambda number: 2.5))
    trace = session.run(20.0)
    assert trace.counters.accepted >= 6
    assert trace.states.count(QueueState.RUNNING) >= 200


@pytest.mark.parametrize("lost", ["uplink_s", "inference_s", "downlink_s"])
def test_livelock_of_a_lost_chunk_the_request_is_repeated(lost: str) -> None:
    def every_fourth_is_lost(number: int) -> float | None:
        return None if number % 3 == 0 else 0.05

    if lost == "inference_s":  # an inference that never returns would block the server for good; it says ERROR, not OK
        link = VirtualLink(inference_s=lambda number: None if number == 3 else 0.05)
    else:
        link = VirtualLink(**{lost: every_fourth_is_lost})
    session = running(settings(request_timeout_s=0.5), link)
    session.run(3.0)
    if lost == "inference_s":
        session._working = None  # the server was restarted
    trace = session.run(20.0)
    assert trace.counters.timeouts >= 1
    assert trace.states[-60:].count(QueueState.RUNNING) == 60


def test_a_server_that_says_it_works_on_ours_is_not_requested_again_meanwhile() -> None:
    session = running(
        settings(request_timeout_s=0.5), VirtualLink(inference_s=lambda number: 0.1 if number < 3 else 3.0)
    )
    trace = session.run(4.0)
    assert trace.counters.timeouts == 0


def test_a_server_busy_with_ours_forever_is_requested_again_in_the_end() -> None:
    session = running(settings(busy_timeout_s=3.0), VirtualLink(inference_s=never))
    assert session.run(6.0).counters.timeouts >= 1


def test_a_changed_task_whose_request_fails_is_requested_again_though_many_rows_are_left() -> None:
    session = running(settings(chunk_size_threshold=0.1))
    inner = session.chunk

    def chunk(request: ChunkRequest, rows: FloatArray, **more: Any) -> Any:
        session.chunk = inner  # type: ignore[method-assign]
        return inner(request, rows[:0], **{"status": ChunkStatus.OBSERVATION_INCOMPLETE, **more})

    asked = len(session.trace.requests)
    session.chunk = chunk  # type: ignore[method-assign]
    session.journal.change(session.now_ns, replace(session.journal.core.settings, task="another"))
    trace = session.run(0.5)
    assert [request.task for request in trace.requests[asked:]] == ["another"] * 2
    assert (np.diff(trace.request_ticks[asked:]) * PERIOD < 0.5).all()


# -- chunks that are no chunks ----------------------------------------------------------------------------------------


def failing(status: ChunkStatus, **changes: Any) -> VirtualSession:
    """A session whose every chunk is turned into an error."""
    session = VirtualSession(settings(), still_policy)
    inner = session.chunk

    def chunk(request: ChunkRequest, rows: FloatArray, **more: Any) -> Any:
        return inner(request, rows[:0], **{"status": status, **changes, **more})

    session.chunk = chunk  # type: ignore[method-assign]
    session.run(0.5)
    session.start()
    return session


def test_errors_are_shown_and_requested_again_with_growing_patience() -> None:
    session = failing(ChunkStatus.POLICY_ERROR, message="CUDA out of memory")
    trace = session.run(10.0)
    assert trace.counters.errors >= trace.counters.requests - 1 >= 5
    gaps = np.diff(trace.request_ticks)
    assert gaps[0] < gaps[1] < gaps[2] < gaps[3]
    assert gaps[-1] * PERIOD < 2.3
    assert session.journal.core.cause == "POLICY_ERROR: CUDA out of memory"
    assert any(line.startswith("Error receiving actions:") and "CUDA" in line for line in lines(session))


def test_an_arm_without_rows_whose_newest_chunk_was_an_error_holds_while_the_next_request_is_out_too() -> None:
    session = running()
    chunk = session.chunk
    session.chunk = (
        lambda request, rows, **more: chunk(  # type: ignore[method-assign]
            request, rows[:0], **{"status": ChunkStatus.OBSERVATION_INCOMPLETE, **more}
        )
    )
    states = session.run(5.0).states[-90:]
    assert states == 90 * [QueueState.HOLDING]


def test_the_servers_wish_for_patience_is_followed() -> None:
    trace = failing(ChunkStatus.OBSERVATION_INCOMPLETE, retry_after_s=0.5).run(5.0)
    gaps = np.diff(trace.request_ticks) * PERIOD
    assert np.all((gaps > 0.55) & (gaps < 0.7))  # 0.1 s of inference and 0.5 s of patience


def test_the_second_copy_of_an_error_counts_as_a_duplicate_and_delays_nothing() -> None:
    session = running(link=VirtualLink(inference_s=never))
    request = session.trace.requests[-1]
    error = session.chunk(request, np.empty((0, 2)), status=ChunkStatus.POLICY_ERROR)
    assert session.deliver(error).verdict is ChunkVerdict.ERROR_ANSWER
    assert session.deliver(error).verdict is ChunkVerdict.DUPLICATE
    counters = session.run(0.0).counters
    assert (counters.errors, counters.duplicate) == (1, 1)


def test_three_invalid_chunks_in_a_row_make_the_arm_hold_and_a_good_one_lets_it_go_on() -> None:
    bad = {"on": False}

    def sometimes_bad(request: ChunkRequest) -> FloatArray:
        return np.full((50, 2), math.nan) if bad["on"] else np.zeros((50, 2))

    session = running(settings(chunk_size_threshold=1.0, request_timeout_s=5.0), policy=sometimes_bad)
    bad["on"] = True
    trace = session.run(1.4)
    held = next(index for index, state in enumerate(trace.states[60:], 60) if state is QueueState.HOLDING)
    assert trace.lengths[held - 1] > 1  # rows were left, and thrown away
    assert "3 invalid chunks in a row" in session.journal.core.cause
    assert trace.counters.rejected_not_finite == 3
    bad["on"] = False
    assert session.run(3.0).states[-1] is QueueState.RUNNING
    assert session.journal.core.cause == ""


def test_a_foreign_server_is_not_obeyed_and_raises_an_alarm() -> None:
    session = running()
    request = session.trace.requests[-1]
    decision = session.deliver(session.chunk(request, np.ones((50, 2)), server_id=123, server_name="intruder"))
    assert decision.verdict is ChunkVerdict.REJECTED_FOREIGN
    session.run(1.0)
    assert any("from server intruder" in line for line in lines(session, LogLevel.WARNING))
    assert set(session.trace.setpoints) == {(0.0, 0.0)}


def test_values_slightly_beyond_the_limits_are_clamped_counted_and_executed() -> None:
    session = running(policy=lambda request: np.full((50, 2), 2.1), chosen=settings(max_seam_rad=3.2))
    assert session.trace.setpoints[-1] == (2.0, 2.0)
    assert session.trace.counters.values_clamped == 100 * session.trace.counters.accepted


# -- starvation, seams -------------------------------------------------------------------------------------------------


def test_a_starved_arm_holds_its_setpoint_every_tick_and_goes_on_where_it_stopped_by_a_ramp() -> None:
    slow = VirtualLink(inference_s=lambda number: 0.1 if number < 3 else 3.0)
    session = running(settings(max_seam_rad=0.02), slow, ramp_policy)
    trace = session.run(6.0)
    assert trace.counters.starved_ticks == trace.states.count(QueueState.STARVED) > 30
    assert len(trace.setpoints) == len(trace.states) - trace.states.count(QueueState.IDLE)
    assert any("action queue empty, holding" in line for line in lines(session, LogLevel.WARNING))
    moves = np.abs(np.diff(np.array(trace.setpoints), axis=0))
    assert moves.max() <= 0.01 + 0.02 + 1e-6  # the plan's own 0.01 rad per tick and the seam


def test_resting_far_from_the_plan_is_ramped_from_the_first_chunk_on() -> None:
    session = VirtualSession(settings(max_seam_rad=0.05), still_policy, home=(1.0, 0.0))
    session.run(0.5)
    session.start()
    trace = session.run(3.0)
    pan = np.array(trace.setpoints)[:, 0]
    assert pan[-1] == 0.0
    np.testing.assert_allclose(np.unique(np.diff(pan).round(9)), [-0.05, 0.0], atol=1e-9)
    accepted = [chunk for chunk in trace.chunks if chunk.verdict is ChunkVerdict.ACCEPTED]
    assert accepted[0].seam == pytest.approx((1.0, 0.0))
    assert accepted[0].rows_ramped == 19


def test_a_chunk_too_old_is_not_executed() -> None:
    session = running(settings(max_action_age_s=1.0), VirtualLink(inference_s=lambda number: 1.5))
    trace = session.run(5.0)
    assert QueueState.RUNNING not in trace.states
    assert trace.counters.expired >= 3
    assert "max_action_age_s" in session.journal.core.cause


def test_real_time_chunking_sends_the_rows_not_yet_executed() -> None:
    session = VirtualSession(settings(aggregate_fn_name="rtc"), ramp_policy)
    session.server = replace(session.server, supports_rtc=True)
    session.run(0.5)
    session.start()
    trace = session.run(5.0)
    assert trace.requests[0].leftover_rows == 0
    assert trace.requests[0].expected_delay_steps == 0
    request = trace.requests[3]
    assert request.leftover_rows == 25
    assert request.expected_delay_steps == 4  # 0.104 s at 30 Hz
    leftover = np.array(request.leftover).reshape(25, 2)
    np.testing.assert_allclose(leftover[:, 0], 0.01 * (request.step + np.arange(25)) % 1.5, atol=1e-6)


def test_real_time_chunking_begins_with_row_nought_of_the_first_chunk() -> None:
    def row_numbers(request: ChunkRequest) -> FloatArray:
        return np.repeat(0.001 * np.arange(50)[:, np.newaxis] + 0.5, 2, axis=1)

    chosen = settings(aggregate_fn_name="rtc", max_seam_rad=3.2)
    session = VirtualSession(chosen, row_numbers, VirtualLink(inference_s=lambda number: 0.7))  # LeRobot: row 21
    session.server = replace(session.server, supports_rtc=True)
    session.run(0.5)
    session.start()
    trace = session.run(1.0)
    first = next(setpoint for setpoint in trace.setpoints if setpoint != (0.0, 0.0))
    assert first == pytest.approx((0.5, 0.5))
    assert trace.counters.rows_trimmed == 0


@pytest.mark.parametrize("seam_ramp", ["always", "after_hold"])
def test_a_continuation_later_than_the_policy_was_told_is_counted_said_and_ramped(seam_ramp: str) -> None:
    def step_at_the_spike(request: ChunkRequest) -> FloatArray:
        return np.full((50, 2), 0.6 if request.request_id >= 6 else 0.0)

    spike = VirtualLink(inference_s=lambda number: 0.5 if number == 6 else 0.1)
    chosen = settings(aggregate_fn_name="rtc", max_seam_rad=0.02, seam_ramp=seam_ramp)
    session = VirtualSession(chosen, step_at_the_spike, spike)
    session.server = replace(session.server, supports_rtc=True)
    session.run(0.5)
    session.start()
    trace = session.run(8.0)
    assert trace.counters.late_continuations == 1
    assert trace.counters.starved_ticks == 0
    assert any("took 15 steps, the policy was told 4" in line for line in lines(session))
    moves = np.abs(np.diff(np.array(trace.setpoints), axis=0))
    assert moves.max() == pytest.approx(0.02)
    assert trace.setpoints[-1] == pytest.approx((0.6, 0.6))


def test_no_more_delay_is_told_than_there_are_rows() -> None:
    """The first round trip is all that is known of a server: 2 s would be 60 steps, of 25 rows that are left."""
    link = VirtualLink(inference_s=lambda number: 2.0 if number == 1 else 0.1)
    session = VirtualSession(settings(aggregate_fn_name="rtc"), still_policy, link)
    session.server = replace(session.server, supports_rtc=True)
    session.run(0.5)
    session.start()
    trace = session.run(6.0)
    told = [(request.expected_delay_steps, request.leftover_rows) for request in trace.requests]
    assert told[:4] == [(0, 0), (25, 25), (4, 25), (4, 25)]


def test_real_time_chunking_with_a_policy_that_cannot_is_refused_by_name() -> None:
    session = running(settings(aggregate_fn_name="rtc"))
    assert session.trace.requests == []
    assert "aggregate_fn_name rtc" in session.journal.core.cause


# -- losing the server -------------------------------------------------------------------------------------------------


def test_a_lost_server_is_noticed_within_a_second_played_out_held_and_resumed() -> None:
    session = running(policy=ramp_policy)
    session.server_speaks = False
    session.link = VirtualLink(uplink_s=never)
    at = len(session.trace.states)
    trace = session.run(4.0)
    assert trace.states[at] is QueueState.RUNNING
    assert trace.states[-1] is QueueState.HOLDING
    assert session.journal.core.cause == "server lost: no heartbeat for 0.9 s"
    assert any(line.startswith("Error receiving actions: server lost") for line in lines(session, LogLevel.ERROR))
    assert session.journal.core.status(session.now_ns).outstanding_request_id == 0  # nobody will chunk it
    held = trace.setpoints[-1]
    session.server_speaks = True
    session.link = VirtualLink()
    trace = session.run(2.0)
    assert trace.states[-1] is QueueState.RUNNING
    after = [setpoint for setpoint in trace.setpoints[-60:] if setpoint != held]
    assert after[0] == pytest.approx((held[0] + 0.01,) * 2, abs=1e-6)  # on where it stopped


def test_a_slow_chunk_is_no_lost_server() -> None:
    session = running(link=VirtualLink(inference_s=lambda number: 0.1 if number < 2 else 8.0))
    session.run(6.0)
    assert session.journal.core.state is QueueState.STARVED
    assert not any("lost" in line for line in lines(session))


def test_on_server_lost_stop_clears_at_once_and_stays_stopped() -> None:
    session = running(settings(on_server_lost="stop"), policy=ramp_policy)
    session.server_speaks = False
    session.link = VirtualLink(uplink_s=never)
    trace = session.run(1.2)
    assert trace.states[-1] is QueueState.STOPPED
    assert trace.lengths[-1] == 0
    commanded = len(trace.setpoints)
    session.server_speaks = True
    session.link = VirtualLink()
    trace = session.run(3.0)
    assert trace.states[-1] is QueueState.STOPPED
    assert len(trace.setpoints) == commanded
    assert "`start` needed" in session.journal.core.cause


def with_a_restarted_server() -> VirtualSession:
    """The server was away for 3 s and is just back, with another server_id; no link to it yet."""
    session = running()
    session.server_speaks = False
    session.link = VirtualLink(uplink_s=never)
    session.run(3.0)
    session.server = replace(session.server, server_id=100)
    session.server_speaks = True
    return session


def test_a_restarted_server_is_bound_and_requested_from_without_any_help() -> None:
    session = with_a_restarted_server()
    session.link = VirtualLink()
    trace = session.run(0.5)
    assert trace.states[-1] is QueueState.RUNNING
    assert session.journal.core.status(session.now_ns).server_id == 100


def test_the_first_request_to_a_restarted_server_may_be_lost_and_is_requested_again_soon() -> None:
    session = with_a_restarted_server()
    lost = session.trace.requests[-1].request_id + 1
    session.link = VirtualLink(uplink_s=lambda number: None if number == lost else 0.002)
    trace = session.run(0.5)
    assert [request.request_id for request in trace.requests[-2:]] == [lost, lost + 1]
    assert session.journal.core.status(session.now_ns).accepted_request_id == lost + 1


def test_an_error_state_of_the_server_is_held_through_and_requested_again_when_ready() -> None:
    session = running()
    session.server = replace(session.server, state=PolicyState.ERROR, message="model file missing")
    session.link = VirtualLink(uplink_s=never)
    session.run(4.0)
    assert session.journal.core.state is QueueState.HOLDING
    assert session.journal.core.cause == "server virtual is ERROR: model file missing"
    count = len(session.trace.requests)
    session.server = replace(session.server, state=PolicyState.READY)
    session.link = VirtualLink()
    trace = session.run(0.5)
    assert len(trace.requests) == count + 1
    assert trace.states[-1] is QueueState.RUNNING


# -- stop, pause, driver -----------------------------------------------------------------------------------------------


def test_stop_commands_nothing_more_and_leaves_late_chunks_out() -> None:
    session = running(link=VirtualLink(inference_s=lambda number: 0.1 if number < 2 else 3.0))
    result = session.journal.stop(session.now_ns)
    assert (result.done, result.reason) == (True, "stop requested")
    commanded = len(session.trace.setpoints)
    trace = session.run(3.0)
    assert len(trace.setpoints) == commanded
    assert trace.states[-1] is QueueState.STOPPED
    assert (trace.counters.stale, trace.counters.rejected_foreign) == (2, 0)  # both copies of the chunk


def test_pause_holds_and_start_goes_on_in_a_new_session() -> None:
    session = running(policy=ramp_policy)
    assert session.journal.pause(session.now_ns).done
    trace = session.run(2.0)
    assert trace.states[-1] is QueueState.HOLDING
    assert session.journal.core.cause == "paused"
    assert len(set(trace.setpoints[-55:])) == 1
    assert session.journal.start(session.now_ns, 99).done
    trace = session.run(1.0)
    assert trace.states[-1] is QueueState.RUNNING
    assert session.journal.core.session == 99


def test_stop_and_pause_without_a_session_say_so() -> None:
    session = VirtualSession(settings(), still_policy)
    assert session.journal.stop(session.now_ns).done
    assert not session.journal.pause(session.now_ns).done


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"state": DriverState.LATCHED, "cause": "STALL"}, "LATCHED (STALL)"),
        ({"state": DriverState.HOLD, "cause": "BUS_NOISE"}, "HOLD (BUS_NOISE)"),
        ({"state": DriverState.NO_BUS}, "NO_BUS"),
        ({"driver_id": 8}, "restarted"),
    ],
)
def test_a_driver_that_lets_go_stops_the_queue_until_start(change: dict[str, Any], named: str) -> None:
    session = running()
    good = session.driver
    session.driver = replace(good, **change)
    trace = session.run(0.2)
    assert trace.states[-1] is QueueState.STOPPED
    assert named in session.journal.core.cause
    assert "`start` needed" in session.journal.core.cause
    session.driver = good
    assert session.run(1.0).states[-1] is QueueState.STOPPED
    session.driver = replace(good, state=DriverState.HOLD, cause="")
    session.run(0.2)
    assert session.journal.start(session.now_ns, 99).done
    assert session.run(1.0).states[-1] is QueueState.RUNNING


def test_late_commands_are_a_pause_from_the_drivers_goal_and_no_end() -> None:
    session = running(policy=lambda request: np.full((50, 2), 0.2))
    session.driver = replace(session.driver, state=DriverState.HOLD, cause="COMMAND_TIMEOUT", goal=(0.25, 0.15))
    session.driver_engages_again = False
    session.trace.setpoints.clear()
    assert session.run(0.3).states[-1] is QueueState.HOLDING
    core = session.journal.core
    assert core.cause_name == "COMMANDS_LATE"
    assert session.trace.setpoints[-1] == (0.25, 0.15)
    before = len(session.trace.setpoints)
    session.driver_engages_again = True
    assert session.run(1.5).states[-1] is QueueState.RUNNING
    steps = np.diff(np.array(session.trace.setpoints[before - 1 :]), axis=0)
    assert np.abs(steps).max() <= settings().max_seam_rad + 1e-9
    assert core is session.journal.core  # the same session


def test_a_driver_that_does_not_engage_again_stops_the_queue() -> None:
    session = running()
    session.driver_engages_again = False
    session.driver = replace(session.driver, state=DriverState.HOLD, cause="COMMAND_TIMEOUT")
    assert session.run(1.5).states[-1] is QueueState.STOPPED
    assert "did not engage within 1 s" in session.journal.core.cause


@pytest.mark.parametrize("on_server_lost", ["hold", "stop"])
def test_a_queue_that_was_held_up_for_a_short_time_goes_on_by_itself(on_server_lost: str) -> None:
    session = running(chosen=settings(on_server_lost=on_server_lost))
    session.hold_up(1.6)  # longer than server_lost_s and driver_lost_s
    session.run(2.0)
    assert session.trace.states[-1] is QueueState.RUNNING, session.journal.core.cause
    assert not any("lost" in line.text for line in session.trace.lines)


def test_a_queue_that_was_held_up_for_long_stops_and_says_for_how_long() -> None:
    session = running()
    session.hold_up(600.0)
    commanded = len(session.trace.setpoints)
    assert session.run(0.1).states[-1] is QueueState.STOPPED
    assert session.journal.core.cause_name == "HELD_UP"
    assert session.journal.core.cause.startswith("the queue itself was held up for 600.0 s (resume_within_s 2)")
    assert len(session.trace.setpoints) == commanded


def test_without_resume_within_s_any_late_command_needs_start() -> None:
    session = running(chosen=settings(resume_within_s=0.0))
    session.run(1.0)
    session.driver_engages_again = False
    session.driver = replace(session.driver, state=DriverState.HOLD, cause="COMMAND_TIMEOUT")
    assert session.run(0.3).states[-1] is QueueState.STOPPED
    assert session.journal.core.cause_name == "DRIVER_NOT_ENGAGED"


def test_a_silent_driver_stops_the_queue() -> None:
    session = running()
    session.driver_speaks = False
    assert session.run(1.3).states[-1] is QueueState.STOPPED
    assert "driver lost" in session.journal.core.cause


def test_limits_that_make_no_sense_stop_a_running_queue() -> None:
    session = running()
    session.journal.set_limits(session.now_ns, replace(session.limits, lower=(9.0, 9.0)))
    session.run(0.1)
    assert session.journal.core.state is QueueState.STOPPED
    assert "pan from 9 to 2" in session.journal.core.cause


def test_narrower_limits_bind_the_rows_that_are_ahead_already() -> None:
    session = running(policy=lambda request: np.full((50, 2), 1.0), chosen=settings(max_seam_rad=3.2))
    assert session.trace.setpoints[-1] == (1.0, 1.0)
    session.journal.set_limits(session.now_ns, replace(session.limits, upper=(0.5, 0.5)))
    assert session.run(0.1).setpoints[-1] == (0.5, 0.5)


def test_a_short_horizon_is_said() -> None:
    session = VirtualSession(settings(), still_policy)
    session.server = replace(session.server, horizon=20)
    session.run(0.5)
    session.start()
    session.run(0.5)
    assert any("predicts 20 rows at most" in line for line in lines(session, LogLevel.WARNING))


# -- long runs ---------------------------------------------------------------------------------------------------------


def test_status_tells_the_state_of_a_healthy_run() -> None:
    session = running(link=VirtualLink(inference_s=lambda number: 0.1))
    session.run(10.0)
    status = session.journal.core.status(session.now_ns)
    assert (status.state, status.cause) == (QueueState.RUNNING, "")
    assert status.round_trip_p50_s == pytest.approx(0.104, abs=1e-3)
    assert status.chunk_size == 50
    assert 0 < status.action_age_s < 1.7
    assert status.counters.starved_ticks == 0
    assert status.counters.accepted >= status.counters.requests - 1
    assert session.trace.starved_ratio() == 0.0


def test_an_unknown_driver_state_is_not_followed() -> None:
    session = running()
    session.driver = DriverReport(7, 42, "", "", JOINTS, session.goal)
    assert session.run(0.2).states[-1] is QueueState.STOPPED
    assert "state 42" in session.journal.core.cause
