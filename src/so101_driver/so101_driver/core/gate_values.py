# SPDX-License-Identifier: Apache-2.0
"""Values that go into and come out of the safety gate."""

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from so101_node.protocol import BoolArray, DriverState, FloatArray

from so101_driver.core.fault_monitor import FaultLimits
from so101_driver.core.motion_limits import MotionLimits


class ServoOrder(Enum):
    """What the caller has to do with the servos, besides writing goals; and how it reports, once, in the same tick."""

    PREPARE = "verify the settings, seed the goals, switch torque on; report with prepared or refused"
    TORQUE_OFF = "switch torque off; report with released or refused"
    LOWER_TORQUE = "lower the torque limit of the joints in `joints`; nothing to report"
    HOLD_HERE = "stop the servos of the joints in `jumped` where they stand; report with let_go those without torque"
    CLOSE_PORT = "close the port and look for it again; nothing to report: the gate is in NO_BUS already"


@dataclass(frozen=True, slots=True)
class GateConfig:
    """Everything that may be tuned. Arrays are (6,), JOINT_NAMES order."""

    limits: MotionLimits
    park_positions: FloatArray  # rad
    faults: FaultLimits = field(default_factory=FaultLimits)
    period_s: float = 1.0 / 60.0
    interpolate: bool = True
    engage_tolerance_rad: float = 0.2
    command_timeout_s: float = 0.1
    implausible_rad: float = 1.0
    hold_deceleration_rad_s2: float = 40.0  # what an STS3215 itself manages at acceleration 254
    emergency_error_rad: float = 0.1  # held goal to measured position, after an emergency stop
    park_speed_rad_s: float = 1.0
    park_tolerance_rad: float = 0.1
    rests_when_parked: bool = False
    release_anywhere: bool = False
    hold_limit_s: float = 0.0  # 0: none

    def __post_init__(self) -> None:
        """Raises ValueError for park_positions of another shape than the limits, or beyond them."""
        limits, park = self.limits, self.park_positions
        if park.shape != limits.lower.shape:
            raise ValueError(f"park_positions has shape {park.shape}, the limits have {limits.lower.shape}")
        if not np.all((limits.lower <= park) & (park <= limits.upper)):
            raise ValueError(f"park_positions {park.tolist()} must lie within the limits")


@dataclass(frozen=True, slots=True)
class GateReply:
    """Answer to a service call: whether it is being done, and a line for people."""

    accepted: bool
    message: str


@dataclass(frozen=True, slots=True)
class GateOutput:
    """What to do in this tick: goals to write, (6,), rad, or None; orders, and the joints that they concern."""

    goal: FloatArray | None = None
    orders: tuple[ServoOrder, ...] = ()
    joints: tuple[int, ...] = ()  # of LOWER_TORQUE
    jumped: tuple[int, ...] = ()  # of HOLD_HERE


@dataclass(frozen=True, slots=True)
class GateStatus:
    """Snapshot for DriverStatus."""

    state: DriverState
    cause: str
    message: str
    parked: bool
    torque: BoolArray
    goal: FloatArray
    accepted: int
    rejected: int
    limited: int
