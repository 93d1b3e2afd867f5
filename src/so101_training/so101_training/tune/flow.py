# SPDX-License-Identifier: Apache-2.0
"""Many virtual seconds of the queue's own core with a rehearsed policy behind a network with jitter."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.core.aggregation import AGGREGATIONS
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.session_trace import SessionTrace
from so101_action_queue.record.virtual_session import VirtualLink, VirtualSession
from so101_node.metrics.quantile import percentile
from so101_node.protocol import QueueState

from so101_training.tune.matrix import POLICY_S, Flow, TuneCell
from so101_training.tune.rehearsal import RehearsedPolicy

JITTER = 0.1  # of each time, one standard deviation
QUIET_NETWORK_S = 0.002  # one way


def link_of(delay_s: float, seed: int, policy_s: float = POLICY_S) -> VirtualLink:
    """A link whose chunks come `delay_s` after the policy's own time: half of it on the way there, half back."""
    source = random.Random(seed)

    def about(seconds: float) -> float:
        return seconds * math.exp(source.gauss(0.0, JITTER))

    one_way_s = QUIET_NETWORK_S + delay_s / 2
    return VirtualLink(lambda _: about(one_way_s), lambda _: about(policy_s), lambda _: about(one_way_s))


def run_flow(
    cell: TuneCell, way: NDArray[np.float64], seconds: float, seed: int = 0, settings: QueueSettings | None = None
) -> Flow:
    """Let the core command for `seconds` of virtual time. `settings`: the queue's, but for what the cell says."""
    chosen = replace(settings or QueueSettings(), actions_per_chunk=cell.rows, chunk_size_threshold=cell.threshold)
    policy = RehearsedPolicy(way, cell.rows, seed)
    session = VirtualSession(chosen, policy, link_of(cell.delay_s, seed), tuple(way[-1].tolist()))
    session.start()
    return flow_of(session.run(seconds), 1.0 / chosen.fps, seconds)


def flow_of(trace: SessionTrace, period_s: float, seconds: float) -> Flow:
    """Return the metrics of a run."""
    moving = sum(state in (QueueState.RUNNING, QueueState.STARVED, QueueState.HOLDING) for state in trace.states)
    jerk = np.abs(np.diff(np.array(trace.setpoints), n=3, axis=0)) / period_s**3
    # The first chunk meets a resting arm; every later one is a seam between two chunks.
    seams = [max(chunk.seam) for chunk in trace.chunks if chunk.seam][1:]
    ages = [age for age in trace.action_ages_s if not math.isnan(age)]
    trips = [chunk.round_trip_s for chunk in trace.chunks if chunk.seam]
    return Flow(
        starved_ratio=trace.counters.starved_ticks / moving if moving else 1.0,
        jerk_p99=percentile(jerk, 99) or 0.0,
        seam_p99_rad=percentile(seams, 99) or 0.0,
        action_age_s=float(np.mean(ages)) if ages else math.nan,
        requests_per_s=trace.counters.requests / seconds,
        round_trip_s=float(np.median(trips)) if trips else math.nan,
    )


def compare_aggregations(way: NDArray[np.float64], seconds: float) -> dict[str, Flow]:
    """Return the flow of every way to combine chunks, at the default chunk and threshold and 100 ms added.

    rtc is left out: there the policy itself continues the old rows, which the rehearsed one cannot.
    """
    cell = TuneCell(50, 0.5, 0.1)
    names = [name for name, aggregation in AGGREGATIONS.items() if not aggregation.sends_leftover]
    return {name: run_flow(cell, way, seconds, settings=QueueSettings(aggregate_fn_name=name)) for name in names}
