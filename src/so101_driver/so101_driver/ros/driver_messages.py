# SPDX-License-Identifier: Apache-2.0
"""ROS messages from the driver's own values."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState
from so101_msgs.msg import DriverStatus, JointLimits, ServoTelemetry
from so101_node.diagnostics import Level
from so101_node.diagnostics.publishing import entry
from so101_node.protocol import JOINT_NAMES

from so101_driver.core.arm import ArmReading
from so101_driver.core.calibration import Calibration
from so101_driver.core.control_cycle import Snapshot
from so101_driver.core.motion_limits import MotionLimits
from so101_driver.ros.diagnosis import (
    CALIBRATED,
    CALIBRATION_DOUBTFUL,
    COOL,
    FOREIGN_COMMANDS,
    ONE_COMMANDER,
    WARM,
    diagnose,
)

_NAMES = list(JOINT_NAMES)


def joint_state(reading: ArmReading, stamp: Time) -> JointState:
    """Position and velocity of a complete reading.

    Effort stays empty: it is N m, and what a servo calls its load is how much it drives its motor, not a torque. That
    ratio is in ServoTelemetry.load.
    """
    message = JointState(name=_NAMES)
    message.header.stamp = stamp
    message.position = reading.positions.tolist()
    message.velocity = reading.velocities.tolist()
    return message


def driver_status(snapshot: Snapshot, driver_id: int, shadow: bool, alarm: str, stamp: Time) -> DriverStatus:
    """Status; `alarm` is appended to the message."""
    status = snapshot.status
    message = DriverStatus(driver_id=driver_id, joint_names=_NAMES)
    message.header.stamp = stamp
    message.state = int(status.state)
    message.cause = status.cause
    message.message = "; ".join(part for part in (status.message, alarm) if part)[:512]
    message.parked = status.parked
    message.shadow = shadow
    message.torque = status.torque.tolist()
    message.goal = status.goal.tolist()
    message.commands_accepted = status.accepted
    message.commands_rejected = status.rejected
    message.values_limited = status.limited
    return message


def joint_limits(calibration: Calibration, limits: MotionLimits, driver_id: int, stamp: Time) -> JointLimits:
    """Limits of commands and the calibrated range behind them."""
    message = JointLimits(driver_id=driver_id, joint_names=_NAMES)
    message.header.stamp = stamp
    message.lower = limits.lower.tolist()
    message.upper = limits.upper.tolist()
    message.max_speed = limits.max_speed.tolist()
    message.max_acceleration = limits.max_acceleration.tolist()
    message.range_lower = calibration.lower_rad().tolist()
    message.range_upper = calibration.upper_rad().tolist()
    message.drive_mode = [joint.drive_mode for joint in calibration.joints]
    return message


def servo_telemetry(snapshot: Snapshot, reading: ArmReading, stamp: Time) -> ServoTelemetry:
    """Health of the servos; NaN where a servo did not answer."""
    message = ServoTelemetry(joint_names=_NAMES)
    message.header.stamp = stamp
    message.temperature = reading.temperatures.tolist()
    message.voltage = reading.voltages.tolist()
    message.current = reading.currents.tolist()
    message.load = reading.loads.tolist()
    message.error_bits = reading.error_bits.tolist()
    message.tracking_error = (snapshot.status.goal - reading.positions).tolist()
    message.answered = reading.answered.tolist()
    message.bus_reads = snapshot.bus_reads
    message.bus_errors = snapshot.bus_errors
    message.bus_retries = snapshot.bus_retries
    return message


def warm_joints(reading: ArmReading, warn_c: float, max_c: float) -> str:
    """Joints at or above `warn_c`, deg C, as a line for people; empty where there is none."""
    warm = np.flatnonzero(reading.temperatures >= warn_c)  # NaN compares false
    if not warm.size:
        return ""
    said = ", ".join(f"{JOINT_NAMES[index]} {reading.temperatures[index]:.0f} deg C" for index in warm)
    return f"{said}: warm (warn_temperature_c {warn_c:g}; latches above {max_c:g})"


def diagnostics(
    snapshot: Snapshot,
    name: str,
    port: str,
    missed_deadlines: int,
    foreign: str,
    notes: Sequence[str] = (),
    warm: str = "",
    starting: bool = False,
) -> list[DiagnosticStatus]:
    """State, cause and counters, warm joints, what is odd about the calibration, and who else publishes commands.

    `foreign`: who else publishes commands, "" for nobody. `notes`: on the calibration, one line each. `warm`: as
    `warm_joints`. `starting`: what is lacking is still the start's, and no error.
    """
    status = snapshot.status
    cause = diagnose(status)
    starting = starting and cause.level is Level.ERROR
    counters = {
        "state": status.state.name,
        "commands_accepted": status.accepted,
        "commands_rejected": status.rejected,
        "values_limited": status.limited,
        "bus_reads": snapshot.bus_reads,
        "bus_errors": snapshot.bus_errors,
        "bus_retries": snapshot.bus_retries,
        "missed_deadlines": missed_deadlines,
    }
    return [
        entry(f"{name}: arm", replace(cause, level=Level.WARN) if starting else cause, status.message, counters, port),
        entry(f"{name}: temperature", WARM if warm else COOL, warm),
        entry(f"{name}: calibration", CALIBRATION_DOUBTFUL if notes else CALIBRATED, "; ".join(notes)),
        entry(f"{name}: commands", FOREIGN_COMMANDS if foreign else ONE_COMMANDER, foreign),
    ]
