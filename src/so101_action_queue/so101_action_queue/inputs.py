"""What the core takes in: frozen values, made by `translation` from messages. Angles in rad, times in s unless said."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class DriverState(IntEnum):
    """DriverStatus.state."""

    NO_BUS = 0
    RELEASED = 1
    HOLD = 2
    ENGAGED = 3
    LATCHED = 4


class ServerState(IntEnum):
    """PolicyStatus.state."""

    UNCONFIGURED = 0
    LOADING = 1
    READY = 2
    ERROR = 3


class AnswerStatus(IntEnum):
    """ActionChunk.status."""

    OK = 0
    NOT_READY = 1
    OBSERVATION_INCOMPLETE = 2
    SUPERSEDED = 3
    SPEC_REJECTED = 4
    BAD_REQUEST = 5
    POLICY_ERROR = 6


@dataclass(frozen=True, slots=True)
class Pose:
    """Measured joint positions in the order of `Settings.joint_names`, and their age when they were handed over."""

    positions: tuple[float, ...]
    age_s: float


@dataclass(frozen=True, slots=True)
class JointLimits:
    """What each joint may be told, and its calibrated range; every tuple in the order of `joint_names`."""

    driver_id: int
    joint_names: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    range_lower: tuple[float, ...]
    range_upper: tuple[float, ...]
    drive_mode: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DriverReport:
    """The driver's state; `goal` is what was really written last (NaN before the first), in order of `joint_names`."""

    driver_id: int
    state: int
    cause: str
    message: str
    joint_names: tuple[str, ...]
    goal: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ServerReport:
    """One heartbeat of a policy server."""

    server_id: int
    server_name: str
    spec_id: int
    state: int
    leaving: bool = False
    message: str = ""
    busy_session: int = 0
    horizon: int = 0
    supports_rtc: bool = False
    n_obs_steps: int = 1
    cameras: tuple[str, ...] = ()
    cause: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One ActionChunk. `positions` is flat, row-major, of whatever length and content the network delivered."""

    session: int
    request_id: int
    spec_id: int
    step: int
    server_id: int
    server_name: str
    status: int
    message: str
    retry_after_s: float
    period_s: float
    joint_names: tuple[str, ...]
    rows: int
    positions: npt.NDArray[np.float32]
