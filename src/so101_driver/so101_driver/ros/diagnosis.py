# SPDX-License-Identifier: Apache-2.0
"""The driver's part of /diagnostics: every cause with its level and remedy, and which one it is now."""

from typing import Final

from so101_node.diagnostics import Cause, Level
from so101_node.protocol import DriverState

from so101_driver.core import causes
from so101_driver.core.gate_values import GateStatus

RESET: Final = "then call so101_driver/reset"

HOLDING = Cause(
    "HOLDING", Level.OK, "torque is on, the arm stays where it is; a command near its joint positions engages"
)
ENGAGED = Cause("ENGAGED", Level.OK, "commands are followed within the limits")
ONE_COMMANDER = Cause("ONE_COMMANDER", Level.OK, "at most one node publishes joint_command")
FOREIGN_COMMANDS = Cause(
    "FOREIGN_COMMANDS",
    Level.WARN,
    "more than one node publishes joint_command",
    "stop all but one: ros2 topic info -v joint_command names them",
)
CALIBRATED = Cause("CALIBRATED", Level.OK, "the calibration file has no oddity")
CALIBRATION_DOUBTFUL = Cause(
    "CALIBRATION_DOUBTFUL",
    Level.WARN,
    "two files of this id, a range that ends at the encoder's 0/4095 seam or cannot be right, or a joint at the seam",
    "as the message says",
)
COOL = Cause("COOL", Level.OK, "no servo is warm")
WARM = Cause(
    "WARM",
    Level.WARN,
    "a servo has reached warn_temperature_c",
    "let it cool down: park the arm where the joint carries less, or switch torque off; check what it presses against",
)
BY_NAME: Final = {
    cause.name: cause
    for cause in (
        Cause(causes.STARTING, Level.WARN, "the port is being opened, or torque is being switched on", "wait"),
        Cause(causes.PARKING, Level.OK, "the arm moves slowly to park_positions", ""),
        Cause(
            causes.COMMAND_TIMEOUT,
            Level.OK,
            "no command for command_timeout_s, or for 2.5 command periods: the arm braked and holds",
            "none if the queue was stopped; else see the queue's own entry; on a busy computer look for"
            " `runs without precedence` in the log, which says what to type",
        ),
        Cause(
            causes.HOLD_LIMIT,
            Level.WARN,
            "no command for hold_limit_s: the arm is parking or parked, without torque if rests_when_parked",
            "if torque is off, so101_driver/reset switches it on; else commands near the joint positions engage",
        ),
        Cause(causes.STOPPING, Level.OK, "the driver is ending; the arm keeps holding", ""),
        Cause(
            causes.BUS_NOISE,
            Level.WARN,
            "replies of the servos were damaged or missing for several ticks: the arm braked and holds",
            "check cables, plugs and grounding; the next command near the joint positions engages again",
        ),
        Cause(
            causes.ANSWERS_LATE,
            Level.WARN,
            "no servo replied for several ticks, and no reply was damaged: the arm braked and holds",
            "look for what loads this computer; if nothing does, check the power supply; the next command near the"
            " joint positions engages again",
        ),
        Cause(causes.RELEASED_BY_REQUEST, Level.WARN, "torque is off", "so101_driver/reset switches it on again"),
        Cause(causes.EMERGENCY_STOP, Level.ERROR, "somebody called emergency_stop", f"look at the arm, {RESET}"),
        Cause(
            causes.STALL, Level.ERROR, "a joint is blocked; its goal was moved to where it stands",
            f"clear the obstacle, {RESET}",
        ),
        Cause(
            causes.OVERLOAD, Level.ERROR,
            "a servo reports overload; its torque limit was lowered and its goal moved to the unloaded side",
            f"clear the obstacle, let the servo cool down, {RESET}; every refused reset moves the goal again",
        ),
        Cause(
            causes.OVERCURRENT, Level.ERROR, "a servo reports overcurrent and is limp; its torque limit was lowered",
            f"support the joint, clear the obstacle, {RESET}, which switches torque off and on where the joint stands",
        ),
        Cause(
            causes.OVERHEAT, Level.ERROR, "a servo is too hot; its torque limit was lowered",
            f"let the servo cool down, {RESET}",
        ),
        Cause(
            causes.VOLTAGE, Level.ERROR, "the supply voltage is outside its limits",
            f"check the power supply and its plug, {RESET}",
        ),
        Cause(causes.ANGLE_SENSOR, Level.ERROR, "a servo reports a broken angle sensor", "replace the servo"),
        Cause(
            causes.POSITION_JUMP, Level.ERROR,
            "a joint's position jumped: over the encoder's 0/4095 seam, beyond one turn, or faster than it can turn",
            f"as the message says: turn it back towards its middle by hand, without torque, {RESET}",
        ),
        Cause(
            causes.SERVO_LOST, Level.ERROR, "one servo does not reply, the others do",
            f"check its cable, {RESET}",
        ),
        Cause(
            causes.TORQUE_LOST, Level.ERROR, "torque of a servo that should hold is off",
            f"check the supply for a dip, check that no other program uses the bus, {RESET}",
        ),
        Cause(
            causes.MOVED_WHILE_AWAY,
            Level.ERROR,
            "a joint moved more than engage_tolerance_rad while the bus was away",
            f"look at the arm, {RESET}",
        ),
        Cause(
            causes.SERVO_REFUSED, Level.ERROR, "a servo's model, firmware, voltage or position forbids torque",
            f"as the message says, {RESET}",
        ),
        Cause(
            causes.SETTINGS_MISMATCH, Level.ERROR, "servo settings differ from the ones training relied on",
            "stop the driver, which locks the port, run configure_servos as the message says, start the driver again",
        ),
        Cause(
            causes.OTHER_ARM, Level.ERROR, "the servos hold the calibration of another arm, perhaps of the leader",
            "set `port` to the follower's: /dev/serial/by-id tells arms apart; write nothing into this one",
        ),
        Cause(
            causes.PORT_LOST, Level.ERROR, "the serial port is gone or cannot be opened",
            "plug the arm in; the driver reconnects automatically",
        ),
        Cause(
            causes.SERVOS_SILENT, Level.ERROR, "no servo replies",
            "check the power supply and the cable to the first servo; the driver reconnects automatically",
        ),
        HOLDING,
        ENGAGED,
        ONE_COMMANDER,
        FOREIGN_COMMANDS,
        COOL,
        WARM,
        CALIBRATED,
        CALIBRATION_DOUBTFUL,
    )
}  # fmt: skip

CAUSES: Final = tuple(BY_NAME.values())


def diagnose(status: GateStatus) -> Cause:
    """The cause that stands behind the gate's state."""
    if status.cause:
        return BY_NAME[status.cause]
    return ENGAGED if status.state is DriverState.ENGAGED else HOLDING
