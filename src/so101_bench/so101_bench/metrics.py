# SPDX-License-Identifier: Apache-2.0
"""From what was observed of a side to its metrics; the report has the same keys for both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from so101_node.metrics.quantile import percentile
from so101_node.metrics.statistics import AcceptedChunk, RunStatistics

from so101_bench.trace import Trace, TraceTick

FPS = 30.0
PERIOD_S = 1 / FPS
# Targets of the report's goals.
FPS_SLACK = 0.5
ONE_WAY_TARGET_MS = 50.0
INFERENCE_TARGET_MS = 100.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """What came after a disturbance. Times in s.

    Attributes:
        back_s: disturbance -> what was disturbed was back: the new server ready, the wire healed; None = it never was.
        acting_s: back -> the first action of a chunk that was accepted afterwards; None = not while we waited.
        waited_s: how long we waited after it was back.
    """

    back_s: float | None
    acting_s: float | None
    waited_s: float

    def as_dict(self) -> dict[str, float | None]:
        """For the report."""
        return {"back_s": _round(self.back_s), "acting_s": _round(self.acting_s), "waited_s": _round(self.waited_s)}


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a side: what was seen, the stretch that counts, and the cores used in it by process."""

    trace: Trace
    begin_ns: int
    end_ns: int
    cores: Mapping[str, float]
    restart: Recovery | None = None
    cut: Recovery | None = None


def side_report(turns: Sequence[Turn], server: str) -> dict[str, Any]:
    """Return the metrics of one side over all its turns.

    Args:
        turns: at least one.
        server: the process in `cores` that is not on the robot's computer.
    """
    statistics = RunStatistics()
    statistics.start_episode("bench")
    blocked_s: list[float] = []
    oldest_s: dict[tuple[int, int], float] = {}
    to_chunk_s: list[float] = []
    to_action_s: list[float] = []
    stages_s: dict[str, list[float]] = {}
    sizes: list[int] = []
    acting = 0
    for index, turn in enumerate(turns):
        ticks = _within(turn)
        acting += sum(tick.acting for tick in ticks)
        for sample in _rebased(ticks, session=index + 1):
            statistics.add_tick(sample)
        for chunk in turn.trace.chunks:
            if turn.begin_ns <= chunk.at_ns <= turn.end_ns:
                round_trip_s = (chunk.at_ns - chunk.sent_ns) * 1e-9
                statistics.add_chunk(
                    AcceptedChunk(
                        round_trip_s,
                        chunk.inference_s,
                        chunk.server_total_s,
                        PERIOD_S,
                        chunk.frame_wait_s,
                        chunk.frame_age_s,
                    )
                )
                to_chunk_s.append(round_trip_s)
                for name, stage_s in chunk.stages_s.items():
                    stages_s.setdefault(name, []).append(stage_s)
                action_ns = _first_action_ns(ticks, chunk.at_ns)
                if action_ns is not None:
                    to_action_s.append((action_ns - chunk.sent_ns) * 1e-9)
        for sent in turn.trace.sent:
            if turn.begin_ns <= sent.at_ns <= turn.end_ns:
                statistics.add_payload(sent.size)
                sizes.append(sent.size)
                if sent.blocked_s is not None:
                    blocked_s.append(sent.blocked_s)
        for frame in turn.trace.frame_ages:
            if turn.begin_ns <= frame.at_ns <= turn.end_ns:
                request = (frame.session, frame.request_id)
                oldest_s[request] = max(frame.age_s, oldest_s.get(request, 0.0))
    seconds = sum(turn.end_ns - turn.begin_ns for turn in turns) * 1e-9
    cores = {name: sum(turn.cores.get(name, 0.0) for turn in turns) / len(turns) for name in turns[-1].cores}
    report = statistics.report(cores)
    requests, accepted = report["observations"], report["chunks"]["accepted"]
    report |= {
        "seconds": _round(seconds),
        "fps": _round(acting / seconds),
        "observations_used": accepted,
        "observations_per_chunk": _round(_requests_per_chunk(turns)),
        "bytes_per_observation_sent": round(sum(sizes) / requests) if requests else None,
        "stages_ms": {name: _spread(values_s) for name, values_s in stages_s.items()},
        "frame_age_ms": _spread(list(oldest_s.values())),
        "observation_to_chunk_ms": _spread(to_chunk_s),
        "observation_to_action_ms": _spread(to_action_s),
        "send_blocks_ms": {"p50": _ms(percentile(blocked_s, 50)), "max": _ms(max(blocked_s, default=None))},
        "cpu_robot": _round(sum(used for name, used in cores.items() if name != server)),
        "restart": turns[-1].restart.as_dict() if turns[-1].restart else None,
        "cut": turns[-1].cut.as_dict() if turns[-1].cut else None,
    }
    report["targets"] = {
        "fps_30": bool(report["fps"] >= FPS - FPS_SLACK),
        "one_way_below_50_ms": _below(report["one_way_ms_estimate"], ONE_WAY_TARGET_MS),
        "inference_below_100_ms": _below(report["inference_ms"]["p50"], INFERENCE_TARGET_MS),
    }
    return report


def ratio(ours: Mapping[str, Any], lerobot: Mapping[str, Any]) -> dict[str, Any]:
    """Return ours / LeRobot's for every metric that both have; None where that is no number."""
    found: dict[str, Any] = {}
    for key, value in ours.items():
        other = lerobot.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            found[key] = ratio(value, other)
        elif _is_number(value) and _is_number(other):
            found[key] = round(value / other, 4) if other else None
    return found


def recovery(trace: Trace, disturbed_ns: int, back_ns: int | None, until_ns: int) -> Recovery:
    """Return what the trace shows after a disturbance; `back_ns` None = what was disturbed never came back."""
    if back_ns is None:
        return Recovery(None, None, (until_ns - disturbed_ns) * 1e-9)
    chunk_ns = next((chunk.at_ns for chunk in trace.chunks if chunk.at_ns >= back_ns), None)
    acting_ns = None
    if chunk_ns is not None:
        acting_ns = _first_action_ns(trace.ticks, chunk_ns)
    acting_s = None if acting_ns is None else (acting_ns - back_ns) * 1e-9
    return Recovery((back_ns - disturbed_ns) * 1e-9, acting_s, (until_ns - back_ns) * 1e-9)


def _requests_per_chunk(turns: Sequence[Turn]) -> float | None:
    """Requests from the first chunk of each turn to its last, over the chunks between: none is still under way."""
    requests = used = 0
    for turn in turns:
        samples = [tick.sample for tick in _within(turn)]
        arrivals = [after for before, after in pairwise(samples) if after.accepted > before.accepted]
        if len(arrivals) > 1:
            requests += arrivals[-1].requests - arrivals[0].requests
            used += arrivals[-1].accepted - arrivals[0].accepted
    return requests / used if used else None


def _first_action_ns(ticks: Sequence[TraceTick], from_ns: int) -> int | None:
    times = (tick.sample.tick_ns for tick in ticks if tick.acting and tick.sample.tick_ns >= from_ns)
    return next(times, None)


def _within(turn: Turn) -> list[TraceTick]:
    return [tick for tick in turn.trace.ticks if turn.begin_ns <= tick.sample.tick_ns <= turn.end_ns]


def _rebased(ticks: Sequence[TraceTick], session: int) -> list[Any]:
    """The samples with counters that begin at the first one, in a session of their own."""
    if not ticks:
        return []
    zero = ticks[0].sample
    counters = ("requests", "accepted", "rejected", "stale", "duplicate", "starved_ticks", "deadline_misses")
    return [
        replace(
            tick.sample,
            session=session,
            **{name: getattr(tick.sample, name) - getattr(zero, name) for name in counters},
        )
        for tick in ticks
    ]


def _spread(values_s: Sequence[float]) -> dict[str, float | None]:
    return {"p50": _ms(percentile(values_s, 50)), "p99": _ms(percentile(values_s, 99))}


def _below(value: float | None, bound: float) -> bool | None:
    return None if value is None else value < bound


def _ms(value_s: float | None) -> float | None:
    return None if value_s is None else round(value_s * 1e3, 3)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
