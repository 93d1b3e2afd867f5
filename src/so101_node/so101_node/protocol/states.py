# SPDX-License-Identifier: Apache-2.0
"""States and verdicts as the messages number them. A number, once published, keeps its meaning."""

from enum import IntEnum


class QueueState(IntEnum):
    """QueueStatus.state."""

    IDLE = 0
    WAITING = 1
    RUNNING = 2
    STARVED = 3
    HOLDING = 4
    STOPPED = 5


class DriverState(IntEnum):
    """DriverStatus.state."""

    NO_BUS = 0
    RELEASED = 1
    HOLD = 2
    ENGAGED = 3
    LATCHED = 4


class PolicyState(IntEnum):
    """PolicyStatus.state."""

    UNCONFIGURED = 0
    LOADING = 1
    READY = 2
    ERROR = 3


class ChunkStatus(IntEnum):
    """ActionChunk.status: rows, or why there are none."""

    OK = 0
    NOT_READY = 1
    OBSERVATION_INCOMPLETE = 2
    SUPERSEDED = 3
    SPEC_REJECTED = 4
    BAD_REQUEST = 5
    POLICY_ERROR = 6


class ChunkVerdict(IntEnum):
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


class DecisionInput(IntEnum):
    """QueueDecision.input: what the queue decided about."""

    CONFIGURE = 0
    TICK = 1
    CHUNK = 2
    POLICY_STATUS = 3
    DRIVER_STATUS = 4
    JOINT_LIMITS = 5
    START = 6
    STOP = 7
    PAUSE = 8
    TASK = 9


def name_of(kind: type[IntEnum], number: int) -> str:
    """Return the name of a number in a message, or "?" of one that another version sent."""
    return kind(number).name if number in list(kind) else "?"
