# SPDX-License-Identifier: Apache-2.0
"""What latency may cost, proven in virtual time: the numbers that the workspace promises."""

import random
from typing import Any

import numpy as np
import pytest
from so101_action_queue.core.decisions import ChunkRequest
from so101_action_queue.core.request_rules import REQUEST_RULES, WINDOW
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.session_trace import SessionTrace
from so101_action_queue.record.virtual_session import Delay, VirtualLink, VirtualSession
from so101_node.log_lines import LogLevel
from so101_node.protocol import FloatArray, QueueState

JOINTS = ("pan", "lift")
RATE_BYTES_S = 20e6 / 8
OBSERVATION_BYTES, CHUNK_BYTES = 130_000, 2_000  # three 640x480 JPEG pictures; 50 rows of 6 joints
RETRANSMISSION_S = 0.1  # DDS sends a lost sample again after a heartbeat and a round trip; see config/fastdds_*.xml


def run(chosen: QueueSettings, link: VirtualLink, seconds: float = 120.0) -> tuple[VirtualSession, SessionTrace]:
    """Let a policy that agrees with itself move the arm for `seconds`."""

    def wave(request: ChunkRequest) -> FloatArray:
        steps = request.step + np.arange(chosen.actions_per_chunk)
        return np.repeat(0.5 * np.sin(steps / 30)[:, np.newaxis], 2, axis=1)

    session = VirtualSession(chosen, wave, link)
    session.run(0.5)
    session.start()
    return session, session.run(seconds)


def settings(**changes: Any) -> QueueSettings:
    return QueueSettings(**{"joint_names": JOINTS, "cameras": (), **changes})


def steady(seconds: float) -> VirtualLink:
    return VirtualLink(inference_s=lambda number: seconds)


@pytest.mark.parametrize("rule", list(REQUEST_RULES))
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 1.0])
def test_300_ms_of_policy_starve_no_tick_of_a_chunk_of_50(rule: str, share: float) -> None:
    _, trace = run(settings(request_policy=rule, chunk_size_threshold=share), steady(0.3))
    assert trace.counters.starved_ticks == 0
    assert trace.states.count(QueueState.RUNNING) > 3500


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize(("delay_s", "rows"), [(0.7, 50), (1.4, 100)])
def test_adaptive_starves_no_tick_while_two_delays_fit_into_a_chunk(delay_s: float, rows: int, share: float) -> None:
    chosen = settings(request_policy="adaptive", actions_per_chunk=rows, chunk_size_threshold=share)
    session, trace = run(chosen, steady(delay_s))
    assert trace.counters.starved_ticks == 0
    assert not any("more than half" in line.text for line in trace.lines)
    # The share matters only until the warm-up is measured.
    assert trace.counters.requests <= 120 * 30 / (rows - 30 * delay_s - 8)
    assert session.journal.core.cause == ""


@pytest.mark.parametrize(("delay_s", "rows"), [(1.0, 50), (2.0, 100)])
def test_beyond_that_adaptive_holds_in_between_and_says_so(delay_s: float, rows: int) -> None:
    chosen = settings(request_policy="adaptive", actions_per_chunk=rows, max_seam_rad=0.05)
    _, trace = run(chosen, steady(delay_s))
    assert 0.0 < trace.starved_ratio() < 0.6
    assert any(line.level is LogLevel.WARNING and "more than half of a chunk" in line.text for line in trace.lines)
    moves = np.abs(np.diff(np.array(trace.setpoints), axis=0))
    assert moves.max() <= 0.5 / 30 + 0.05 + 1e-6


def shaped(seed: int, one_way_s: float, loss: float) -> VirtualLink:
    """A lossy 20 Mbit/s line with jitter: every copy may be lost, and then comes again a retransmission later."""
    random_number = random.Random(seed)

    def way(size_bytes: int) -> Delay:
        def delay_s(number: int) -> float:
            delay = one_way_s + size_bytes / RATE_BYTES_S + random_number.uniform(0.0, 0.010)
            while random_number.random() < loss:
                delay += RETRANSMISSION_S
            return delay

        return delay_s

    return VirtualLink(
        uplink_s=way(OBSERVATION_BYTES),
        inference_s=lambda number: 0.05 + random_number.uniform(0.0, 0.02),
        downlink_s=way(CHUNK_BYTES),
    )


@pytest.mark.parametrize("seed", range(5))
def test_5_percent_loss_and_40_ms_starve_no_tick_under_adaptive(seed: int) -> None:
    _, trace = run(settings(request_policy="adaptive"), shaped(seed, 0.040, 0.05))
    assert trace.counters.starved_ticks == 0


@pytest.mark.parametrize("seed", range(5))
def test_5_percent_loss_and_100_ms_starve_one_tick_in_a_hundred_at_most(seed: int) -> None:
    _, trace = run(settings(request_policy="adaptive"), shaped(seed, 0.100, 0.05))
    assert trace.starved_ratio() <= 0.01


@pytest.mark.parametrize("seed", range(3))
def test_without_retransmission_the_second_copy_alone_keeps_starvation_below_one_percent(seed: int) -> None:
    random_number = random.Random(seed)

    def way(number: int) -> float | None:
        return None if random_number.random() < 0.05 else 0.040

    chosen = settings(request_policy="adaptive")
    _, trace = run(chosen, VirtualLink(way, lambda number: 0.06, way), 600.0)
    assert trace.counters.requests > 300
    assert trace.starved_ratio() <= 0.01


def test_a_warm_up_spike_is_forgotten_the_first_at_once_a_later_one_after_a_window_of_chunks() -> None:
    spikes = {1: 3.0, 2: 2.0, 3: 2.0}
    session, trace = run(
        settings(request_policy="adaptive"), VirtualLink(inference_s=lambda number: spikes.get(number, 0.1)), 10.0
    )
    assert session.journal.core.status(session.now_ns).round_trip_p95_s == pytest.approx(2.004, abs=0.01)
    while trace.counters.accepted < WINDOW + 3:
        session.run(5.0)
    starved = session.run(0.0).counters.starved_ticks
    trace = session.run(60.0)
    status = session.journal.core.status(session.now_ns)
    assert status.round_trip_p95_s == pytest.approx(0.104, abs=0.001)
    assert status.threshold * status.chunk_size == pytest.approx(7)  # 0.104 s are 4 steps, with the margin 7
    assert trace.counters.starved_ticks == starved


def test_with_a_lower_threshold_the_queue_runs_empty_more_often_not_less() -> None:
    """The usual advice is the opposite; docs/explanation/tuning_matrix.md says why it is wrong."""
    shares = [run(settings(chunk_size_threshold=share), steady(0.6))[1].starved_ratio() for share in (0.3, 0.5, 0.7)]
    assert shares[0] > 0.05
    assert shares[1:] == [0.0, 0.0]


def test_each_chunk_is_sent_twice_and_used_once() -> None:
    _, trace = run(settings(), steady(0.1), 30.0)
    assert trace.counters.accepted == trace.counters.requests
    assert trace.counters.duplicate == trace.counters.accepted
    assert trace.counters.stale == 0
