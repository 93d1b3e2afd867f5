# SPDX-License-Identifier: Apache-2.0
"""The part of a pair of drivers on /diagnostics. What is wrong with an arm is in the entry of its own driver."""

from typing import Final

from so101_node.diagnostics import Cause, Level
from so101_node.protocol import DriverState

from so101_driver.core import causes, pair_gate
from so101_driver.core.pair_gate import PairShown
from so101_driver.ros.diagnosis import FOREIGN_COMMANDS, ONE_COMMANDER

_BOTH_HOLD: Final = Cause(
    "BOTH_HOLD", Level.OK, "torque is on, both arms stay where they are; a command near both engages them"
)
_BOTH_ENGAGED: Final = Cause("BOTH_ENGAGED", Level.OK, "commands go on to both arms")
_ARM_DOWN: Final = Cause(
    "ARM_DOWN",
    Level.ERROR,
    "an arm has no bus, no torque or a latched fault, or holds because of one: commands go on to neither arm",
    "see the entry of its driver; when that is mended, call so101_driver/reset and action_queue/start",
)
_BY_NAME: Final = {
    cause.name: cause
    for cause in (
        Cause(
            pair_gate.ARM_MISSING,
            Level.WARN,
            "a driver was not heard yet",
            "start it; its namespace must be one of the parameter arms",
        ),
        Cause(
            pair_gate.ARM_SILENT,
            Level.ERROR,
            "a driver is not heard any more: its process has ended or hangs; its servos hold their last goals",
            "look at both arms, start the driver again, call action_queue/start",
        ),
        Cause(
            pair_gate.ARM_NOT_ENGAGED,
            Level.WARN,
            "one driver engaged, the other did not: commands go on to neither",
            "see the entry of the driver that the message names",
        ),
        Cause(
            pair_gate.ARM_NOT_HOLDING,
            Level.ERROR,
            "commands stopped, and an arm still follows some",
            "stop whoever publishes them: ros2 topic info -v names who publishes the arm's joint_command",
        ),
    )
}
CAUSES: Final = (*_BY_NAME.values(), _BOTH_HOLD, _BOTH_ENGAGED, _ARM_DOWN, ONE_COMMANDER, FOREIGN_COMMANDS)


def diagnose(shown: PairShown) -> Cause:
    """The cause that stands behind the pair's state."""
    if shown.cause in _BY_NAME:
        return _BY_NAME[shown.cause]
    if shown.state is DriverState.ENGAGED:
        return _BOTH_ENGAGED
    calm = shown.state is DriverState.HOLD and shown.cause in ("", causes.PARKING, *pair_gate.PAUSES)
    return _BOTH_HOLD if calm else _ARM_DOWN
