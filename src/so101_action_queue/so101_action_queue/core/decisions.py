# SPDX-License-Identifier: Apache-2.0
"""What the core gives back: frozen values. Angles in rad, times in s unless said."""

import math
from dataclasses import dataclass, field

from so101_node.protocol import ChunkVerdict, FloatArray, QueueState


@dataclass(frozen=True, slots=True)
class ChunkDecision:
    """What became of one chunk. `seam` is the change of velocity at the seam before ramping, rad per tick."""

    verdict: ChunkVerdict
    reason: str = ""
    round_trip_s: float = math.nan
    rows_trimmed: int = 0
    values_clamped: int = 0
    rows_ramped: int = 0
    seam: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """One ObservationRequest: a snapshot of step, joint positions and leftover taken in one tick.

    positions: history x joints, row-major, newest last. leftover: rows x joints, row-major, from `step` on. server_id:
    who shall answer; 0 = every server. frame_sizes: height and width, pixels, for each camera of the spec, flat; 0, 0 =
    as captured; empty = all as captured.
    """

    session: int
    request_id: int
    spec_id: int
    step: int
    must_go: bool
    task: str
    history: int
    joint_names: tuple[str, ...]
    positions: tuple[float, ...]
    positions_age_s: float
    expected_delay_steps: int = 0
    leftover_rows: int = 0
    leftover: tuple[float, ...] = ()
    server_id: int = 0
    frame_sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """What the queue keeps of a request: when it was sent, and where the queue stood.

    follows: id of the request whose chunk was accepted last by then; 0 before the first. server_id: who shall answer; 0
    = the bound server. is_hedge: it went to a second server because the bound one was late.
    """

    request_id: int
    sent_ns: int
    step: int
    executed: int
    expected_delay_steps: int
    follows: int = 0
    server_id: int = 0
    is_hedge: bool = False


@dataclass(frozen=True, slots=True)
class TickDecision:
    """What one control tick commands. `setpoint` is None while nothing may be commanded."""

    setpoint: tuple[float, ...] | None
    request: ChunkRequest | None = None
    fatal: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PlanInForce:
    """What the queue follows in one tick, for whoever corrects it: copies, rad.

    setpoint: (joints,) commanded in this tick. rows_ahead: (rows, joints) for the ticks after it. request_id and step:
    of the request behind the newest accepted chunk; 0 and 0 before the first. age_steps: steps from that request's to
    the one of this tick. executes: the setpoint is a row executed in this tick; else it is held.
    """

    setpoint: FloatArray
    rows_ahead: FloatArray
    request_id: int
    step: int
    age_steps: int
    executes: bool


@dataclass(frozen=True, slots=True)
class ServiceResult:
    """Whether an operator's call was followed, and the reason to show."""

    done: bool
    reason: str


@dataclass(slots=True)
class QueueCounters:
    """Counts since the session began; the fields of QueueStatus of the same names, and one for diagnostics alone."""

    requests: int = 0
    accepted: int = 0
    rejected_shape: int = 0
    rejected_not_finite: int = 0
    rejected_implausible: int = 0
    rejected_foreign: int = 0
    errors: int = 0
    timeouts: int = 0
    stale: int = 0
    duplicate: int = 0
    expired: int = 0
    rows_trimmed: int = 0
    values_clamped: int = 0
    starved_ticks: int = 0
    hedged: int = 0  # requests sent to a second server
    late_continuations: int = 0  # rtc: chunks that took more steps than the policy was told; ramped


@dataclass(frozen=True, slots=True)
class CoreStatus:
    """The queue after an input; the fields of QueueStatus that the core knows.

    outstanding: requests under way; `outstanding_request_id` is the oldest of them.
    """

    state: QueueState
    cause: str
    cause_name: str
    session: int
    spec_id: int
    server_id: int
    step: int
    length: int
    chunk_size: int
    threshold: float
    outstanding_request_id: int
    outstanding_age_s: float
    accepted_request_id: int
    round_trip_last_s: float
    round_trip_p50_s: float
    round_trip_p95_s: float
    action_age_s: float
    counters: QueueCounters = field(default_factory=QueueCounters)
    outstanding: int = 0
