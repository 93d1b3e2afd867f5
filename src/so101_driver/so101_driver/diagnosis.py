"""The driver's part of /diagnostics: every cause with its level and remedy, and which one it is now."""

from typing import Final

from so101_node.diagnostics import Cause, Level

from so101_driver import causes
from so101_driver.gate_values import GateStatus, State

RESET: Final = "then call so101_driver/reset"

HOLDING = Cause("HOLDING", Level.OK, "torque on, the arm stays where it is; a command near its pose engages it")
ENGAGED = Cause("ENGAGED", Level.OK, "commands are followed, within limits")
ONE_COMMANDER = Cause("ONE_COMMANDER", Level.OK, "at most one node publishes joint_command")
FOREIGN_COMMANDS = Cause(
    "FOREIGN_COMMANDS",
    Level.WARN,
    "more than one node publishes joint_command",
    "stop all but one: ros2 topic info -v joint_command names them",
)
CALIBRATED = Cause("CALIBRATED", Level.OK, "nothing is odd about the calibration file")
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
    "let it rest: park the arm where it carries less, or switch its torque off; see what it holds or presses against",
)
BY_NAME: Final = {
    cause.name: cause
    for cause in (
        Cause(causes.STARTING, Level.WARN, "the port is being opened, or torque is being switched on", "wait"),
        Cause(causes.PARKING, Level.OK, "the arm moves slowly to park_positions", ""),
        Cause(
            causes.COMMAND_TIMEOUT,
            Level.OK,
            "commands stopped coming for command_timeout_s, or 2.5 of their periods: braked, and holding",
            "none where the queue was stopped; else see the queue's own entry; on a busy computer look for"
            " `runs without precedence` in the log, which says what to type",
        ),
        Cause(
            causes.HOLD_LIMIT,
            Level.WARN,
            "nobody commanded for hold_limit_s: the arm parks or is parked, and its torque is off where it may rest",
            "where its torque is off so101_driver/reset switches it on; else commands near the pose engage it",
        ),
        Cause(causes.STOPPING, Level.OK, "the driver is ending; the arm keeps holding", ""),
        Cause(
            causes.BUS_NOISE,
            Level.WARN,
            "replies of the servos were damaged or missing for several ticks: braked, and holding",
            "check cables, plugs and grounding; it engages again by itself on commands near the pose",
        ),
        Cause(
            causes.ANSWERS_LATE,
            Level.WARN,
            "no servo was heard for several ticks, and nothing came damaged: braked, and holding",
            "look for what loads this computer; where nothing does, check the power supply; it engages again by itself"
            " on commands near the pose",
        ),
        Cause(causes.RELEASED_BY_REQUEST, Level.WARN, "torque is off", "so101_driver/reset switches it on again"),
        Cause(causes.EMERGENCY_STOP, Level.ERROR, "somebody called emergency_stop", f"look at the arm, {RESET}"),
        Cause(
            causes.STALL, Level.ERROR, "a joint pressed against something; its goal was taken back",
            f"clear the way, {RESET}",
        ),
        Cause(
            causes.OVERLOAD, Level.ERROR,
            "a servo reports overload; its torque limit was lowered and its goal taken back from the load",
            f"clear what blocks it, let it cool down, {RESET}; while it lasts, each call takes the goal back again",
        ),
        Cause(
            causes.OVERCURRENT, Level.ERROR, "a servo reports overcurrent and is limp; its torque limit was lowered",
            f"support the joint, clear what blocks it, {RESET}, which switches it off and on where it stands",
        ),
        Cause(
            causes.OVERHEAT, Level.ERROR, "a servo is too hot; its torque limit was lowered",
            f"let it cool down, {RESET}",
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
            causes.SERVO_LOST, Level.ERROR, "a servo does not answer, the others do",
            f"check its cable, {RESET}",
        ),
        Cause(
            causes.TORQUE_LOST, Level.ERROR, "a servo that should hold has its torque off",
            f"check the supply (a dip) and that no other program uses the bus, {RESET}",
        ),
        Cause(
            causes.MOVED_WHILE_AWAY,
            Level.ERROR,
            "while the bus was away the arm moved more than engage_tolerance_rad",
            f"look at the arm, {RESET}",
        ),
        Cause(
            causes.SERVO_REFUSED, Level.ERROR, "a servo's model, firmware, voltage or pose forbids torque",
            f"as the message says, {RESET}",
        ),
        Cause(
            causes.SETTINGS_MISMATCH, Level.ERROR, "servo settings differ from what training relied on",
            "stop the driver, which locks the port, run configure_servos as the message says, start the driver again",
        ),
        Cause(
            causes.OTHER_ARM, Level.ERROR, "the servos hold the calibration of another arm, perhaps of the leader",
            "set `port` to the follower's: /dev/serial/by-id tells arms apart; write nothing into this one",
        ),
        Cause(
            causes.PORT_LOST, Level.ERROR, "the serial port is gone or cannot be opened",
            "plug the arm in; the driver looks for it by itself",
        ),
        Cause(
            causes.SERVOS_SILENT, Level.ERROR, "no servo answers",
            "check the power supply and the cable to the first servo; the driver goes on by itself",
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
    return ENGAGED if status.state is State.ENGAGED else HOLDING
