# SPDX-License-Identifier: Apache-2.0
"""Where the time of one chunk went, from the capture of its pictures to its first row executed.

No clock of two hosts is compared: the round trip and the wait in the queue are differences of the robot's monotonic
clock, the server's stages are durations it measured on its own, a frame's age is one that its camera measured. What the
round trip leaves over belongs to the network in both directions (and to handing over between threads and DDS at both
ends); half of it is an estimate of one direction, no more.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from so101_node.metrics.quantile import WINDOW, quantile

STAGES = (
    "frame_age",
    "network",
    "mailbox_wait",
    "wait_frames",
    "decode",
    "preprocess",
    "inference",
    "postprocess",
    "server_other",
    "queue",
)
"""Parts of the way in the order of time; `network` is both directions, counted once."""


class ServerTimes(Protocol):
    """The timing fields of so101_msgs/ActionChunk, s; the message itself fits."""

    mailbox_wait: float
    wait_frames: float
    decode: float
    preprocess: float
    inference: float
    postprocess: float
    server_total: float


@dataclass(frozen=True, slots=True)
class LatencyBreakdown:
    """The parts of one accepted chunk's way, s; NaN where a part is not known.

    frame_age: capture of the oldest frame -> its publication, on the camera's clock. network: both directions.
    server_other: what the server's stages leave of server_total. queue: chunk in the queue -> first row executed.
    """

    frame_age: float
    network: float
    mailbox_wait: float
    wait_frames: float
    decode: float
    preprocess: float
    inference: float
    postprocess: float
    server_other: float
    queue: float

    @classmethod
    def of(
        cls, round_trip_s: float, server: ServerTimes, *, frame_age_s: float = math.nan, queue_s: float = math.nan
    ) -> "LatencyBreakdown":
        """Split a round trip (request sent -> chunk in the queue, robot's clock, s) by what the server reported."""
        stages = (
            server.mailbox_wait,
            server.wait_frames,
            server.decode,
            server.preprocess,
            server.inference,
            server.postprocess,
        )
        # Clamped: the two differences are of sums measured apart, and rounding must not show as a negative time.
        return cls(
            frame_age_s,
            max(0.0, round_trip_s - server.server_total),
            *stages,
            max(0.0, server.server_total - sum(stages)),
            queue_s,
        )

    @property
    def one_way_estimate(self) -> float:
        """Half of `network`, s: right only if both directions take equally long, which nothing here can tell."""
        return self.network / 2

    @property
    def round_trip(self) -> float:
        """Question asked -> chunk in the queue, s."""
        return float(sum(getattr(self, stage) for stage in STAGES if stage not in ("frame_age", "queue")))

    @property
    def total(self) -> float:
        """Capture of the oldest picture -> first row executed, s, of the parts that are known."""
        return sum(seconds for seconds in self.stages().values() if not math.isnan(seconds))

    def stages(self) -> dict[str, float]:
        """Each part by name, in the order of STAGES, s."""
        return {stage: getattr(self, stage) for stage in STAGES}


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Percentiles of one part over a window, s; NaN where it was never known."""

    p50: float
    p95: float


class LatencyWindow:
    """The newest breakdowns and the percentiles of each part over them."""

    def __init__(self, size: int = WINDOW) -> None:
        self._window: deque[LatencyBreakdown] = deque(maxlen=size)

    def __len__(self) -> int:
        return len(self._window)

    def add(self, breakdown: LatencyBreakdown) -> None:
        """Take in one chunk's breakdown."""
        self._window.append(breakdown)

    @property
    def last(self) -> LatencyBreakdown | None:
        """The newest breakdown, or None before the first."""
        return self._window[-1] if self._window else None

    def percentiles(self) -> Mapping[str, StageTimes]:
        """Percentiles of each part, in the order of STAGES."""
        result = {}
        for stage in STAGES:
            known = sorted(v for v in (getattr(entry, stage) for entry in self._window) if not math.isnan(v))
            result[stage] = StageTimes(quantile(known, 0.50), quantile(known, 0.95))
        return result


@dataclass(slots=True)
class _Open:
    session: int
    now_ns: int
    step: int
    breakdown: LatencyBreakdown


class ChunkClock:
    """Puts the parts of each chunk together as its pictures, the chunk and the ticks after it are seen.

    Times are the robot's monotonic clock, ns, as in QueueDecision.now_ns. A breakdown is complete when the first tick
    after the chunk executed a row; a chunk that was never executed from (the queue was stopped) is left out.
    """

    REMEMBERED = 32
    """Requests whose pictures are kept in mind while their chunk is on its way."""

    def __init__(self) -> None:
        self._frame_age_s: dict[tuple[int, int], float] = {}
        self._open: _Open | None = None

    def frame(self, session: int, request_id: int, capture_age_s: float) -> None:
        """A picture that answers a request; the oldest of a request counts."""
        key = (session, request_id)
        self._frame_age_s[key] = max(self._frame_age_s.get(key, 0.0), capture_age_s)
        while len(self._frame_age_s) > self.REMEMBERED:
            del self._frame_age_s[next(iter(self._frame_age_s))]

    def chunk(
        self, session: int, request_id: int, now_ns: int, step: int, round_trip_s: float, server: ServerTimes
    ) -> None:
        """An accepted chunk went into the queue, whose next row to execute is `step`."""
        age_s = self._frame_age_s.pop((session, request_id), math.nan)
        breakdown = LatencyBreakdown.of(round_trip_s, server, frame_age_s=age_s)
        self._open = _Open(session, now_ns, step, breakdown)

    def tick(self, session: int, now_ns: int, step: int) -> LatencyBreakdown | None:
        """A control tick, after which `step` is next; returns the breakdown that it completes, if any."""
        if self._open is None:
            return None
        if session != self._open.session:
            self._open = None
            return None
        if step <= self._open.step:
            return None
        queue_s = (now_ns - self._open.now_ns) * 1e-9
        complete = replace(self._open.breakdown, queue=queue_s)
        self._open = None
        return complete
