# SPDX-License-Identifier: Apache-2.0
"""Parameters of the node so101_driver."""

import math
from dataclasses import dataclass

from so101_node.parameters import ParameterError, parameter, precedence
from so101_node.protocol import HOME_POSITIONS, JOINT_NAMES

from so101_driver.core.arm import JOINTS
from so101_driver.core.calibration import FULL_TURN_JOINTS
from so101_driver.core.servo_settings import Gains

# The servo reaches 5-6 rad/s without load and accelerates at 39 rad/s^2. Goals need more room than that: the fastest
# demonstrated motion, the gripper's, asks for 5.8 rad/s, and a change of 0.05 rad between two commands for 180 rad/s^2.
_MAX_SPEED = [6.0, 6.0, 6.0, 6.0, 6.0, 8.0]
_MAX_ACCELERATION = [300.0, 300.0, 300.0, 300.0, 300.0, 500.0]


@dataclass(frozen=True, slots=True)
class DriverParameters:
    """One field per parameter; lists are in the order of JOINT_NAMES."""

    port: str = parameter("/dev/ttyACM0", "serial port of the arm")
    wait_for_port_s: float = parameter(
        0.0,
        "how long a driver that starts by itself waits for a port that is not there yet, s; 0 = it ends at once, for "
        "its respawn",
        lower=0.0,
        upper=3600.0,
    )
    robot_id: str = parameter("", "id given to lerobot-calibrate; names the calibration file")
    calibration_dir: str = parameter("", "folder that holds <robot_id>.json; empty: LeRobot's default folder")
    full_turn_joints: list[str] = parameter(
        list(FULL_TURN_JOINTS),
        "joints without mechanical stops; a calibrated range of a whole turn is refused for every other joint",
        choices=JOINT_NAMES,
    )
    position_p_coefficient: int = parameter(
        16,
        "P gain of the servos; the default is LeRobot's. A higher gain holds stiffer and can oscillate. Verified at "
        "start; written by configure_servos",
        lower=1,
        upper=254,
    )
    position_i_coefficient: int = parameter(
        0,
        "I gain of the servos; the default is LeRobot's. It removes sag and can wind up against an obstacle",
        lower=0,
        upper=254,
    )
    position_d_coefficient: int = parameter(
        32,
        "D gain of the servos; the default is LeRobot's. It damps; a high gain makes noise",
        lower=0,
        upper=254,
    )
    interpolate: bool = parameter(
        True, "interpolate 30 Hz commands to 60 Hz goals; false: write the newest command at once, as LeRobot does"
    )
    shadow: bool = parameter(False, "read the servos, never write to them")
    release_on_exit: bool = parameter(False, "switch torque off when the driver exits; a raised arm falls")
    release_anywhere: bool = parameter(False, "allow ~/release wherever the arm stands; a raised arm falls: support it")
    rests_when_parked: bool = parameter(
        False, "the arm rests safely at park_positions without torque: allow ~/release there"
    )
    hold_limit_s: float = parameter(
        0.0,
        "after holding this long without a command the arm parks slowly, and if rests_when_parked its torque is "
        "switched off, s; 0: no limit",
        lower=0.0,
        upper=604800.0,
    )
    park_positions: list[float] = parameter(
        list(HOME_POSITIONS),  # without torque an arm sinks from here: rests_when_parked is false
        "joint positions of ~/park, rad, within the calibrated ranges; without torque the arm sinks from the default",
        lower=-math.pi,
        upper=math.pi,
    )
    park_speed_rad_s: float = parameter(
        1.0,
        "speed of the fastest joint while parking, rad/s; never above the lowest of max_joint_speed_rad_s",
        lower=0.05,
        upper=3.0,
    )
    park_tolerance_rad: float = parameter(
        0.1,
        "largest distance of a joint from park_positions at which the arm counts as parked, rad",
        lower=0.01,
        upper=0.5,
    )
    engage_tolerance_rad: float = parameter(
        0.2,
        "largest distance of a command from the measured joint positions, or from the goal, at which it engages, rad",
        lower=0.01,
        upper=1.0,
    )
    command_timeout_s: float = parameter(
        0.1,
        "time without joint_command after which the arm holds, s; 2.5 command periods (at most 0.25 s) if longer",
        lower=0.04,
        upper=2.0,
    )
    implausible_rad: float = parameter(
        1.0, "a command this far beyond a position limit is rejected instead of clamped, rad", lower=0.0, upper=6.3
    )
    max_joint_speed_rad_s: list[float] = parameter(_MAX_SPEED, "speed limit of goals, rad/s", lower=0.05, upper=20.0)
    max_joint_acceleration_rad_s2: list[float] = parameter(
        _MAX_ACCELERATION, "acceleration limit of goals, rad/s^2", lower=1.0, upper=5000.0
    )
    hold_deceleration_rad_s2: float = parameter(
        40.0,
        "deceleration of goals on entering HOLD, rad/s^2; never above max_joint_acceleration_rad_s2",
        lower=1.0,
        upper=1000.0,
    )
    limit_margin_rad: float = parameter(
        0.0, "margin at both ends of the calibrated range that commands cannot enter, rad", lower=0.0, upper=0.5
    )
    stall_current_a: float = parameter(
        1.3, "stall: current above which a joint may be blocked, A", lower=0.1, upper=5.0
    )
    stall_error_rad: float = parameter(
        0.2, "stall: distance between goal and position above which a joint may be blocked, rad", lower=0.02, upper=3.0
    )
    stall_time_s: float = parameter(
        0.5, "stall: time above both limits after which the driver latches, s", lower=0.05, upper=10.0
    )
    max_temperature_c: float = parameter(
        65.0,
        "temperature above which the driver latches, deg C; the servo cuts its own torque at 70",
        lower=30.0,
        upper=80.0,
    )
    warn_temperature_c: float = parameter(
        55.0,
        "temperature from which the driver warns in /diagnostics and the log, deg C; at most max_temperature_c",
        lower=30.0,
        upper=80.0,
    )
    min_voltage_v: float = parameter(4.0, "supply voltage below which the driver latches, V", lower=0.0, upper=14.0)
    gripper_overload_latches: bool = parameter(
        False, "latch when the gripper reports overload, which holding an object can cause"
    )
    reply_timeout_s: float = parameter(
        0.005,
        "time without a reply after which a servo counts as silent, s; below command_timeout_s",
        lower=0.001,
        upper=0.1,
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
        if self.warn_temperature_c > self.max_temperature_c:
            raise ParameterError(
                f"warn_temperature_c = {self.warn_temperature_c:g}: must be at most max_temperature_c "
                f"({self.max_temperature_c:g}), above which the driver latches"
            )
        if self.reply_timeout_s >= self.command_timeout_s:
            raise ParameterError(
                f"reply_timeout_s = {self.reply_timeout_s:g}: must be below command_timeout_s "
                f"({self.command_timeout_s:g}): one silent servo would keep the arm from holding in time"
            )


def gains_of(p: DriverParameters) -> Gains:
    """The gains that the servos should have."""
    return Gains(p.position_p_coefficient, p.position_i_coefficient, p.position_d_coefficient)
