# SPDX-License-Identifier: Apache-2.0
"""What the core takes in: frozen values, made by `translation` from messages. Angles in rad, times in s unless said."""

from dataclasses import dataclass

import numpy as np
from so101_node.protocol import Float32Array, FloatArray

from so101_action_queue.errors import LimitsError, expect_shape


@dataclass(frozen=True, slots=True)
class JointPositions:
    """Measured positions in the order of `QueueSettings.joint_names`, and their age when they were handed over."""

    positions: tuple[float, ...]
    age_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Lowest and highest command per joint, (joints,) float64, rad, in the order of `QueueSettings.joint_names`.

    Raises:
        ShapeError: `upper` has another length than `lower`.
    """

    lower: FloatArray
    upper: FloatArray

    def __post_init__(self) -> None:
        expect_shape("bounds, lower", self.lower.shape, ("joints",))
        expect_shape("bounds, upper", self.upper.shape, self.lower.shape)

    def clip(self, rows: FloatArray) -> FloatArray:
        """Return a copy of `rows` (..., joints) within the limits."""
        inside: FloatArray = np.minimum(np.maximum(rows, self.lower), self.upper)
        return inside


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

    def bounds(self, joint_names: tuple[str, ...]) -> Bounds:
        """Return the limits of `joint_names`, in that order.

        Raises:
            LimitsError: a joint is missing, an array has another length, or a limit makes no sense.
        """
        count = len(self.joint_names)
        for name in ("lower", "upper", "range_lower", "range_upper", "drive_mode"):
            if len(getattr(self, name)) != count:
                raise LimitsError(f"joint_limits: {name} has {len(getattr(self, name))} values for {count} joints")
        at = {name: index for index, name in enumerate(self.joint_names)}
        missing = [name for name in joint_names if name not in at]
        if missing:
            raise LimitsError(f"joint_limits: no limits for {', '.join(missing)}; the driver has {', '.join(at)}")
        order = [at[name] for name in joint_names]
        lower = np.array([self.lower[index] for index in order], dtype=np.float64)
        upper = np.array([self.upper[index] for index in order], dtype=np.float64)
        for index, name in enumerate(joint_names):
            if not lower[index] < upper[index]:  # also where one is not a number
                raise LimitsError(f"joint_limits: {name} from {lower[index]:g} to {upper[index]:g} rad leaves no range")
        return Bounds(lower, upper)


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
    """One heartbeat of a policy server.

    frame_sizes: height and width, pixels, of each camera's frames in the order of `cameras`, flat; 0, 0 = as captured.
    """

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
    fingerprint: str = ""
    frame_sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedChunk:
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
    positions: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class AlignedRows:
    """Rows of one accepted chunk as the policy gave them; row i is meant for step `first_step` + i."""

    first_step: int
    rows: FloatArray

    @property
    def end(self) -> int:
        """The step after the last row's."""
        return self.first_step + len(self.rows)
