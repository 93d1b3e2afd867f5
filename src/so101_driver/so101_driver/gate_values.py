"""Values that go into and come out of the safety gate."""

from dataclasses import dataclass, field
from enum import Enum, IntEnum

from so101_driver.arm import BoolArray
from so101_driver.calibration import FloatArray
from so101_driver.fault_monitor import FaultLimits
from so101_driver.motion_limits import MotionLimits


class State(IntEnum):
    """DriverStatus.state."""

    NO_BUS = 0
    RELEASED = 1
    HOLD = 2
    ENGAGED = 3
    LATCHED = 4


class Action(Enum):
    """What the caller has to do with the servos, besides writing goals."""

    PREPARE = "verify the settings, seed the goals, switch torque on; then call prepared or refused"
    TORQUE_OFF = "switch torque off; then call released"
    LOWER_TORQUE = "lower the torque limit of the joints in `joints`"
    HOLD_HERE = "stop the servos of the joints in `jumped` where they stand; then call let_go for those without torque"
    CLOSE_PORT = "close the port and look for it again"


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
    emergency_error_rad: float = 0.1  # of the held goal from the pose, after an emergency stop or of a limp joint
    park_speed_rad_s: float = 1.0
    park_tolerance_rad: float = 0.1
    rests_when_parked: bool = False
    release_anywhere: bool = False
    hold_limit_s: float = 0.0  # 0: none


@dataclass(frozen=True, slots=True)
class Outcome:
    """Answer to a request: whether it is being done, and a line for people."""

    accepted: bool
    message: str


@dataclass(frozen=True, slots=True)
class GateOutput:
    """What to do in this tick: goals to write, (6,), rad, or None; servo actions, and the joints that they concern."""

    goal: FloatArray | None = None
    actions: tuple[Action, ...] = ()
    joints: tuple[int, ...] = ()  # of LOWER_TORQUE
    jumped: tuple[int, ...] = ()  # of HOLD_HERE


@dataclass(frozen=True, slots=True)
class GateStatus:
    """Snapshot for DriverStatus."""

    state: State
    cause: str
    message: str
    parked: bool
    torque: BoolArray
    goal: FloatArray
    accepted: int
    rejected: int
    limited: int
