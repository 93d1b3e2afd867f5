# SPDX-License-Identifier: Apache-2.0
"""Several requests under way at once: pace, time-outs, errors, overtaking, and that the log still repeats them."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from so101_action_queue.core.decisions import ChunkRequest
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.decision_log import virtual_message
from so101_action_queue.record.replay import replay
from so101_action_queue.record.virtual_session import Delay, VirtualLink, VirtualSession
from so101_node.protocol import ChunkStatus, ChunkVerdict, FloatArray, QueueState

JOINTS = ("pan", "lift")
FAR_S = 0.6  # each way: 1.2 s there and back, 36 of a chunk's 50 rows
SPACING = 5


def settings(**changes: Any) -> QueueSettings:
    several: dict[str, Any] = {"max_requests_in_flight": 8, "request_spacing_steps": SPACING}
    return QueueSettings(**{"joint_names": JOINTS, "cameras": (), **several, **changes})


def wave(request: ChunkRequest) -> FloatArray:
    """A function of the step alone, so that it is seamless whichever chunk gives it."""
    steps = request.step + np.arange(50)
    return np.repeat(0.3 * np.sin(steps / 20)[:, np.newaxis], 2, axis=1)


def far(one_way_s: Delay | float = FAR_S, inference_s: Delay | float = 0.03) -> VirtualLink:
    def delay(value: Delay | float) -> Delay:
        return value if callable(value) else lambda request_id: value

    return VirtualLink(delay(one_way_s), delay(inference_s), delay(one_way_s))


def running(chosen: QueueSettings, link: VirtualLink, seconds: float = 10.0, policy: Any = wave) -> VirtualSession:
    session = VirtualSession(chosen, policy, link)
    session.run(0.5)
    session.start()
    session.run(seconds)
    return session


def gaps(session: VirtualSession) -> list[int]:
    """Ticks between requests."""
    return np.diff(session.trace.request_ticks).tolist()


def test_a_far_server_that_starves_one_request_at_a_time_keeps_up_with_several() -> None:
    alone = running(settings(max_requests_in_flight=1), far())
    several = running(settings(), far())
    assert alone.trace.starved_ratio() > 0.1
    assert several.trace.counters.starved_ticks == 0
    # Rows come from an observation of one round trip ago, not of one round trip and a chunk.
    ages = np.array(several.trace.action_ages_s[-150:])
    assert ages.max() < 2 * FAR_S + 0.03 + SPACING / 30 + 0.05
    assert np.nanmax(alone.trace.action_ages_s[-150:]) > ages.max() + 0.3


def test_requests_keep_their_spacing_and_their_number() -> None:
    session = running(settings(max_requests_in_flight=3, request_spacing_steps=7), far())
    assert min(gaps(session)[2:]) >= 7
    under_way = 0
    for _ in range(200):
        session.run(session.settings.period_ns / 1e9)
        status = session.journal.core.status(session.now_ns)
        under_way = max(under_way, status.outstanding)
        oldest = session.trace.requests[-status.outstanding] if status.outstanding else None
        assert status.outstanding_request_id == (oldest.request_id if oldest else 0)
    assert under_way == 3


def test_the_level_that_is_shown_is_the_whole_chunk_since_no_rule_counts() -> None:
    session = running(settings(request_policy="adaptive"), far())
    assert session.journal.core.status(session.now_ns).threshold == 1.0
    assert not any("more than half of a chunk" in line.text for line in session.trace.lines)


def test_ticks_without_rows_count_as_steps_do() -> None:
    session = running(settings(request_timeout_s=60.0), far(inference_s=lambda request_id: None), 0.1)
    session.run(3.0)
    assert session.trace.counters.starved_ticks == 0  # no chunk came yet: it waits
    assert set(session.trace.steps) == {0}
    assert gaps(session)[:6] == [SPACING] * 6


def test_the_first_request_goes_out_at_once() -> None:
    session = running(settings(request_spacing_steps=100), far(0.01), 0.2)
    assert session.trace.request_ticks[0] - session.trace.states.index(QueueState.WAITING) <= 2


def test_a_chunk_that_a_newer_one_overtook_is_stale_and_changes_nothing() -> None:
    session = running(settings(), far())
    first, second = session.trace.requests[-4:-2]
    assert session.deliver(session.chunk(second, wave(second))).verdict is ChunkVerdict.ACCEPTED
    rows = session.journal.core.rows_ahead()
    decision = session.deliver(session.chunk(first, wave(first) + 0.1))
    assert decision.verdict is ChunkVerdict.STALE
    assert f"{second.request_id} is in the queue already" in decision.reason
    assert np.array_equal(session.journal.core.rows_ahead(), rows)
    assert session.deliver(session.chunk(second, wave(second))).verdict is ChunkVerdict.DUPLICATE


def test_a_chunk_leaves_the_newer_requests_under_way() -> None:
    session = running(settings(), far())
    before = session.journal.core.status(session.now_ns).outstanding
    third = session.trace.requests[-before + 2]
    session.deliver(session.chunk(third, wave(third)))
    assert session.journal.core.status(session.now_ns).outstanding == before - 3


def test_lost_requests_and_chunks_starve_nobody() -> None:
    chance = random.Random(3)
    link = far(lambda request_id: None if chance.random() < 0.3 else FAR_S)  # both copies: 9 % each way
    several, alone = running(settings(), link, 60.0), running(settings(max_requests_in_flight=1), link, 60.0)
    assert several.trace.starved_ratio() < 0.04
    assert several.trace.counters.accepted > 250
    assert alone.trace.starved_ratio() > 0.2


def test_requests_that_nobody_answers_are_given_up_one_by_one_and_leave_their_places() -> None:
    session = running(settings(max_requests_in_flight=2), far(0.05))
    session.link = replace(session.link, downlink_s=lambda request_id: None)
    sent = len(session.trace.requests)
    trace = session.run(12.0)
    again = len(trace.requests) - sent
    assert 8 <= again <= 26  # two places, each free again after about a second
    assert trace.counters.timeouts >= again - 3


def test_errors_of_requests_under_way_together_make_it_patient_once() -> None:
    session = running(settings(), far())

    def refuse(request: ChunkRequest) -> None:
        session.deliver(session.chunk(request, wave(request)[:0], status=ChunkStatus.NOT_READY))

    for request in session.trace.requests[-8:]:
        refuse(request)
    sent = len(session.trace.requests)
    session.run(0.15)
    assert len(session.trace.requests) == sent
    session.run(0.1)  # 0.2 s, not 0.2 x 2^7
    assert len(session.trace.requests) == sent + 1


def test_a_server_that_only_refuses_is_asked_less_and_less_often() -> None:
    session = running(settings(), far(0.3))
    session.policy = lambda request: np.full((50, 2), np.nan)
    trace = session.run(3.0)
    sent = len(trace.requests)
    trace = session.run(20.0)
    assert len(trace.requests) - sent < 14
    session.policy = wave
    sent = len(session.trace.requests)
    assert session.run(5.0).states[-1] is QueueState.RUNNING
    assert len(session.trace.requests) - sent > 12


def test_a_slow_policy_drops_requests_for_newer_ones_and_the_queue_goes_on_asking() -> None:
    session = running(settings(max_requests_in_flight=4), far(0.01, 0.5), 20.0)
    answered = session.trace.counters
    assert answered.errors > 20  # SUPERSEDED
    assert answered.accepted > 35
    assert max(gaps(session)[3:]) <= SPACING + 1
    assert session.trace.counters.starved_ticks == 0


def test_a_lost_server_is_forgotten_with_all_requests_and_asked_at_once_when_it_is_back() -> None:
    session = running(settings(), far(0.2))
    session.server_speaks = False
    session.link = far(lambda request_id: None)
    session.run(3.0)
    assert session.journal.core.state is QueueState.HOLDING
    assert session.journal.core.status(session.now_ns).outstanding == 0
    session.link = far(0.2)
    session.server = replace(session.server, server_id=100)
    session.server_speaks = True
    sent = len(session.trace.requests)
    session.run(0.25)
    assert len(session.trace.requests) > sent
    assert session.run(2.0).states[-1] is QueueState.RUNNING


def test_a_changed_task_is_asked_for_though_the_number_is_reached() -> None:
    session = running(settings(max_requests_in_flight=2), far())
    while session.journal.core.status(session.now_ns).outstanding < 2:
        session.run(1 / 30)
    sent = len(session.trace.requests)
    session.journal.change(session.now_ns, replace(session.settings, task="another"))
    session.run(1.5 / 30)
    assert [request.task for request in session.trace.requests[sent:]] == ["another"]
    assert session.journal.core.status(session.now_ns).outstanding == 2


def test_the_number_may_change_on_the_way() -> None:
    session = running(settings(), far())
    session.journal.change(session.now_ns, settings(max_requests_in_flight=1))
    sent = len(session.trace.requests)
    trace = session.run(20.0)
    assert len(trace.requests) - sent < 20
    assert trace.states[-1] in (QueueState.RUNNING, QueueState.STARVED)
    session.journal.change(session.now_ns, settings())
    session.run(3.0)
    starved = session.trace.counters.starved_ticks
    assert session.run(10.0).counters.starved_ticks == starved


def test_a_continuation_of_rows_that_another_chunk_replaced_is_ramped() -> None:
    """Real-time chunking continues the leftover of its request; with several under way that is gone when it comes."""

    def restless(request: ChunkRequest) -> FloatArray:
        return np.full((50, 2), 0.08 if request.request_id % 2 else -0.08)

    chosen = settings(aggregate_fn_name="rtc", seam_ramp="after_hold", max_seam_rad=0.05)  # a ramp of four rows
    session = VirtualSession(chosen, restless, far(0.2))
    session.server = replace(session.server, supports_rtc=True)
    session.run(0.5)
    session.start()
    trace = session.run(6.0)
    moves = np.abs(np.diff(np.array(trace.setpoints), axis=0))
    assert trace.counters.accepted > 20
    assert 0.04 < moves.max() <= 0.05 + 1e-9


def test_a_log_with_several_requests_under_way_replays_bit_for_bit() -> None:
    chance = random.Random(1)

    def delay(request_id: int) -> float | None:
        return None if chance.random() < 0.2 else chance.uniform(0.0, 1.0)

    session = running(settings(max_requests_in_flight=4), far(delay), 20.0)
    messages = [virtual_message(entry, JOINTS) for entry in session.entries]
    result = replay(messages)
    assert (result.first_difference, result.decisions) == ("", len(messages))
    assert session.trace.counters.stale > 5
    assert session.trace.counters.duplicate > 5


@hypothesis_settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    number=st.integers(2, 8),
    spacing=st.sampled_from([1, 3, 5, 20]),
    longest_s=st.floats(0.0, 1.4),
    loss=st.floats(0.0, 0.5),
    alignment=st.sampled_from(["executed_steps", "elapsed_time"]),
)
def test_whatever_is_lost_doubled_or_overtaken_each_step_is_executed_once_and_no_request_is_too_many(
    seed: int, number: int, spacing: int, longest_s: float, loss: float, alignment: str
) -> None:
    chance = random.Random(seed)

    def delay(request_id: int) -> float | None:
        return None if chance.random() < loss else chance.uniform(0.0, longest_s)

    chosen = settings(max_requests_in_flight=number, request_spacing_steps=spacing, alignment=alignment)
    session = VirtualSession(chosen, wave, far(delay, lambda request_id: chance.uniform(0.0, 0.3)))
    session.run(0.5)
    session.start()
    accepted = 0
    for _ in range(240):
        session.run(chosen.period_ns / 1e9)
        core = session.journal.core
        assert core.status(session.now_ns).outstanding <= number
        newest = core.status(session.now_ns).accepted_request_id
        assert newest >= accepted  # never back to an older observation
        accepted = newest
    trace = session.trace
    assert trace.steps == sorted(trace.steps)
    assert min(gaps(session)[1:], default=spacing) >= spacing
    executed = np.array(trace.setpoints)
    assert np.abs(np.diff(executed, axis=0)).max() <= 0.3 / 20 + chosen.max_seam_rad + 1e-6
    session.link = far(0.05)
    session.run(8.0)
    assert set(session.trace.states[-60:]) == {QueueState.RUNNING}
