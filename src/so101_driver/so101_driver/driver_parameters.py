"""Parameters of the node so101_driver."""

import math
from dataclasses import dataclass

from so101_node.parameters import ParameterError, parameter

from so101_driver.arm import JOINTS
from so101_driver.calibration import FULL_TURN_JOINTS, JOINT_NAMES
from so101_driver.servo_settings import Gains
from so101_node import precedence

# Folded above the table with the gripper a little open, the pose in which episodes begin: rad from the middle of the
# ranges. Without torque an arm sinks from here, so `rests_when_parked` is false for it.
_HOME = [0.0, -1.2, 1.1, 1.0, 0.0, -0.585]

# The servo reaches 5-6 rad/s without load and accelerates at 39 rad/s^2. Goals need more room than that: the fastest
# demonstrated motion, the gripper's, asks for 5.8 rad/s, and a change of 0.05 rad between two commands for 180 rad/s^2.
_MAX_SPEED = [6.0, 6.0, 6.0, 6.0, 6.0, 8.0]
_MAX_ACCELERATION = [300.0, 300.0, 300.0, 300.0, 300.0, 500.0]


@dataclass(frozen=True, slots=True)
class DriverParameters:
    """One field per parameter; lists are in the order of JOINT_NAMES."""

    port: str = parameter("/dev/ttyACM0", "serial port of the arm")
    robot_id: str = parameter("", "id given to lerobot-calibrate; names the calibration file")
    calibration_dir: str = parameter("", "folder of <robot_id>.json; empty: LeRobot's own place")
    full_turn_joints: list[str] = parameter(
        list(FULL_TURN_JOINTS),
        "joints that turn without stops; of the others a calibrated range of a whole turn is refused",
        choices=JOINT_NAMES,
    )
    position_p_coefficient: int = parameter(
        16,
        "P gain of the servos, as LeRobot's; more holds stiffer and can oscillate. Verified at start; configure_servos "
        "writes it",
        lower=1,
        upper=254,
    )
    position_i_coefficient: int = parameter(
        0, "I gain of the servos, likewise; it removes sag and can wind up against an obstacle", lower=0, upper=254
    )
    position_d_coefficient: int = parameter(
        32, "D gain of the servos, likewise; it damps, and a high one makes noise", lower=0, upper=254
    )
    interpolate: bool = parameter(True, "60 Hz goals between 30 Hz commands; false: newest command at once, as LeRobot")
    shadow: bool = parameter(False, "read everything, write nothing to the servos")
    release_on_exit: bool = parameter(False, "switch torque off when the driver ends; a raised arm falls")
    release_anywhere: bool = parameter(False, "~/release wherever the arm stands; a raised arm falls: support it")
    rests_when_parked: bool = parameter(
        False, "the arm lies safely at park_positions without torque, so ~/release is allowed there"
    )
    hold_limit_s: float = parameter(
        0.0,
        "holding this long without a command the arm parks slowly, and with rests_when_parked its torque goes off, s; "
        "0: it holds without a limit",
        lower=0.0,
        upper=604800.0,
    )
    park_positions: list[float] = parameter(
        _HOME, "pose of ~/park, rad; from the default one the arm sinks without torque", lower=-math.pi, upper=math.pi
    )
    park_speed_rad_s: float = parameter(
        1.0, "fastest joint while parking, rad/s; at most the slowest of max_joint_speed_rad_s", lower=0.05, upper=3.0
    )
    park_tolerance_rad: float = parameter(
        0.1, "how near to park_positions counts as parked, rad", lower=0.01, upper=0.5
    )
    engage_tolerance_rad: float = parameter(0.2, "commands engage only this near the pose, rad", lower=0.01, upper=1.0)
    command_timeout_s: float = parameter(
        0.1,
        "silence of joint_command before HOLD, s; 2.5 periods of the commands (at most 0.25 s) where that is longer",
        lower=0.04,
        upper=2.0,
    )
    implausible_rad: float = parameter(1.0, "commands this far beyond a limit are ignored, rad", lower=0.0, upper=6.3)
    max_joint_speed_rad_s: list[float] = parameter(_MAX_SPEED, "speed limit of goals, rad/s", lower=0.05, upper=20.0)
    max_joint_acceleration_rad_s2: list[float] = parameter(
        _MAX_ACCELERATION, "acceleration limit of goals, rad/s^2", lower=1.0, upper=5000.0
    )
    hold_deceleration_rad_s2: float = parameter(40.0, "braking into HOLD, rad/s^2", lower=1.0, upper=1000.0)
    limit_margin_rad: float = parameter(
        0.0, "kept free at both ends of the calibrated range by commands, rad", lower=0.0, upper=0.5
    )
    stall_current_a: float = parameter(1.3, "current that counts as pressing, A", lower=0.1, upper=5.0)
    stall_error_rad: float = parameter(
        0.2, "distance goal - position that counts as pressing, rad", lower=0.02, upper=3.0
    )
    stall_time_s: float = parameter(0.5, "pressing this long is a stall and latches, s", lower=0.05, upper=10.0)
    max_temperature_c: float = parameter(
        65.0, "latches above, deg C; the servo itself stops at 70", lower=30.0, upper=80.0
    )
    warn_temperature_c: float = parameter(
        55.0, "a warning in /diagnostics and the log from here on, deg C", lower=30.0, upper=80.0
    )
    min_voltage_v: float = parameter(4.0, "latches below, V", lower=0.0, upper=14.0)
    gripper_overload_latches: bool = parameter(False, "latch when the gripper reports overload; holding can do that")
    reply_timeout_s: float = parameter(
        0.005, "silence before a servo counts as not answering, s", lower=0.001, upper=0.1
    )
    tick_priority: int = precedence.tick_priority()
    thread_priority: int = precedence.thread_priority()
    niceness: int = precedence.niceness(-10)

    def validate(self) -> None:
        """Rules across fields."""
        for name in ("park_positions", "max_joint_speed_rad_s", "max_joint_acceleration_rad_s2"):
            values = getattr(self, name)
            if len(values) != JOINTS:
                raise ParameterError(f"{name} = {values}: expected {JOINTS} numbers, for {', '.join(JOINT_NAMES)}")
        if self.release_on_exit and self.shadow:
            raise ParameterError("release_on_exit = true: contradicts shadow = true, which writes nothing")


def gains_of(p: DriverParameters) -> Gains:
    """The gains that the servos should have."""
    return Gains(p.position_p_coefficient, p.position_i_coefficient, p.position_d_coefficient)
