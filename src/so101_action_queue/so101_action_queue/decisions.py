"""What the core gives back: frozen values. Angles in rad, times in s unless said."""

import math
from dataclasses import dataclass, field
from enum import IntEnum


class QueueState(IntEnum):
    """QueueStatus.state."""

    IDLE = 0
    WAITING = 1
    RUNNING = 2
    STARVED = 3
    HOLDING = 4
    STOPPED = 5


class Verdict(IntEnum):
    """QueueDecision.verdict: what became of a chunk."""

    NOT_A_CHUNK = 0
    ACCEPTED = 1
    ERROR_ANSWER = 2
    REJECTED_SHAPE = 3
    REJECTED_NOT_FINITE = 4
    REJECTED_IMPLAUSIBLE = 5
    REJECTED_FOREIGN = 6
    STALE = 7
    DUPLICATE = 8


class Level(IntEnum):
    """Severity of a notice."""

    INFO = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Notice:
    """One line for the log."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class ChunkDecision:
    """What became of one answer. `seam` is the change of velocity at the seam before ramping, rad per tick."""

    verdict: Verdict
    reason: str = ""
    round_trip_s: float = math.nan
    rows_trimmed: int = 0
    values_clamped: int = 0
    rows_ramped: int = 0
    seam: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """One ObservationRequest: a snapshot of step, pose and leftover taken in one tick.

    positions: history x joints, row-major, newest last. leftover: rows x joints, row-major, from `step` on.
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


@dataclass(frozen=True, slots=True)
class TickDecision:
    """What one control tick commands. `setpoint` is None while nothing may be commanded."""

    setpoint: tuple[float, ...] | None
    question: Question | None = None
    fatal: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether an operator's wish was followed, and the reason to show."""

    done: bool
    reason: str


@dataclass(slots=True)
class Counters:
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
    late_continuations: int = 0  # rtc: answers that took more steps than the policy was told; ramped


@dataclass(frozen=True, slots=True)
class Status:
    """The queue after an input; the fields of QueueStatus that the core knows."""

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
    counters: Counters = field(default_factory=Counters)
