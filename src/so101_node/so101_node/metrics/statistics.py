# SPDX-License-Identifier: Apache-2.0
"""What one run amounted to, computed from what was seen on its topics. Free of ROS; no clock is read.

A *session* is one start of the action queue; an episode of the demo is one session. Ticks and counters count while an
episode is running, or always where nobody announces episodes (a real arm).
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from so101_node.metrics.quantile import percentile


@dataclass(frozen=True, slots=True)
class TickSample:
    """One QueueStatus, as far as the statistics need it. Counters count since the session began."""

    session: int
    tick: int
    tick_ns: int
    commanding: bool
    requests: int
    accepted: int
    rejected: int
    stale: int
    duplicate: int
    starved_ticks: int
    deadline_misses: int


@dataclass(frozen=True, slots=True)
class AcceptedChunk:
    """One accepted chunk: `round_trip` runs from the question asked to the chunk in the queue. All times in s.

    frame_wait: the part of it in which cameras waited on purpose for a newer frame. frame_age: of the oldest frame
    when the last one was published; 0 where there is none.
    """

    round_trip: float
    inference: float
    server_total: float
    period: float
    frame_wait: float = 0.0
    frame_age: float = 0.0

    @property
    def added(self) -> float:
        """What is neither the policy's own time nor waited on purpose."""
        return self.round_trip - self.inference - self.frame_wait


@dataclass(slots=True)
class _Session:
    first_tick: int
    first_tick_ns: int
    last: TickSample


@dataclass(slots=True)
class RunStatistics:
    """Collects samples in the order they arrived and sums them up in `report`."""

    _sessions: dict[int, _Session] = field(default_factory=dict)
    _periods_s: array[float] = field(default_factory=lambda: array("d"))
    _chunks: list[AcceptedChunk] = field(default_factory=list)
    _durations_s: list[float] = field(default_factory=list)
    _successes: int = 0
    _payload_bytes: int = 0
    _task: str = ""
    _episode_running: bool = True

    @property
    def episodes(self) -> int:
        """Episodes that ended in success or failure."""
        return len(self._durations_s)

    def add_tick(self, sample: TickSample) -> None:
        """Take one tick. Only neighbours (tick numbers one apart) give a period: a lost sample makes no false one."""
        if not self._episode_running or not sample.commanding:
            return
        session = self._sessions.get(sample.session)
        if session is None:
            self._sessions[sample.session] = _Session(sample.tick, sample.tick_ns, sample)
            return
        if sample.tick == session.last.tick + 1:
            self._periods_s.append((sample.tick_ns - session.last.tick_ns) * 1e-9)
        if sample.tick > session.last.tick:
            session.last = sample

    def add_chunk(self, chunk: AcceptedChunk) -> None:
        """Take one accepted chunk."""
        self._chunks.append(chunk)

    def add_payload(self, size: int) -> None:
        """Take one serialized message robot -> server, repeats too; bytes."""
        self._payload_bytes += size

    def start_episode(self, task: str) -> None:
        """An episode begins."""
        self._task = task
        self._episode_running = True

    def end_episode(self, duration_s: float, *, success: bool) -> None:
        """An episode ended by success or by its time running out."""
        self._episode_running = False
        self._durations_s.append(duration_s)
        self._successes += success

    def abort_episode(self) -> None:
        """An episode ended that does not count; its ticks do, since they ran."""
        self._episode_running = False

    def report(self, cpu: Mapping[str, float]) -> dict[str, Any]:
        """Return the report of the demo's --report. A metric without any sample is None.

        Args:
            cpu: cores used, by node.
        """
        chunks = self._chunks
        last = [session.last for session in self._sessions.values()]
        accepted = sum(sample.accepted for sample in last)
        added_s = [chunk.added for chunk in chunks]
        ages_s = [chunk.frame_age for chunk in chunks if chunk.frame_age > 0]
        inference_s = [chunk.inference for chunk in chunks]
        wire_s = [(chunk.round_trip - chunk.server_total) / 2 for chunk in chunks]
        return {
            "task": self._task,
            "episodes": self.episodes,
            "successes": self._successes,
            "mean_duration_s": _rounded(float(np.mean(self._durations_s)) if self._durations_s else None),
            "ticks": sum(s.last.tick - s.first_tick + 1 for s in self._sessions.values()),
            "starved_ticks": sum(sample.starved_ticks for sample in last),
            "deadline_misses": sum(sample.deadline_misses for sample in last),
            "tick": self._tick_report(),
            "chunks": {
                "accepted": accepted,
                "rejected": sum(sample.rejected for sample in last),
                "stale": sum(sample.stale for sample in last),
                "duplicate": sum(sample.duplicate for sample in last),
            },
            "observations": sum(sample.requests for sample in last),
            "added_latency_ms": _milliseconds(added_s),
            "frame_wait_ms": _milliseconds([chunk.frame_wait for chunk in chunks]),
            "observation_age_ms": _milliseconds(ages_s),
            "bytes_per_observation": round(self._payload_bytes / accepted) if accepted else None,
            "one_way_ms_estimate": _rounded(percentile([s * 1e3 for s in wire_s], 50)),
            "inference_ms": _milliseconds(inference_s),
            "cpu": {node: round(cores, 3) for node, cores in cpu.items()},
        }

    def _tick_report(self) -> dict[str, float | None]:
        steps = sum(s.last.tick - s.first_tick for s in self._sessions.values())
        elapsed_s = sum(s.last.tick_ns - s.first_tick_ns for s in self._sessions.values()) * 1e-9
        periods_s = np.frombuffer(self._periods_s, dtype=np.float64)
        if not len(periods_s) or elapsed_s <= 0:
            return {"hz": None, "std_ms": None, "p99_ms": None, "max_ms": None}
        # The rate that chunks were admitted at is the queue's own; before any, the usual period stands in for it.
        nominal_s = self._chunks[-1].period if self._chunks else float(np.median(periods_s))
        error_ms = np.abs(periods_s - nominal_s) * 1e3
        return {
            "hz": round(steps / elapsed_s, 4),
            "std_ms": _rounded(float(np.std(periods_s)) * 1e3),
            "p99_ms": _rounded(percentile(error_ms, 99)),
            "max_ms": _rounded(float(error_ms.max())),
        }


def _milliseconds(values_s: Sequence[float]) -> dict[str, float | None]:
    values_ms = [value * 1e3 for value in values_s]
    return {"p50": _rounded(percentile(values_ms, 50)), "p99": _rounded(percentile(values_ms, 99))}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
