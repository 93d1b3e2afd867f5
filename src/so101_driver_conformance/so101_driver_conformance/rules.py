# SPDX-License-Identifier: Apache-2.0
"""The rules of the contract: `docs/reference/driver_contract.md` lists them, the suite has a test for each by name."""

from typing import Final, NoReturn

import pytest

STATUS_GAP_S: Final = 0.5  # the action queue takes a driver for lost after 0.5 s before a session, 1 s within
STATE_RATE_HZ: Final = 20.0
SILENCE_S: Final = 1.0
AT_REST_RAD: Final = 0.05  # of measured positions around a goal that does not move
MAX_JOINTS: Final = 32  # of the messages

RULES: Final = {
    "COMES-UP-HOLDING": "After its start the driver comes to HOLD, by `reset` where it waits for people; the goal is "
    "where the arm stands.",
    "CLOSED-BY-DEFAULT": "Without a command nothing moves: not at the start, not later.",
    "ONE-SET-OF-JOINTS": "driver_status, joint_limits and joint_states name the same joints; every array has one "
    "finite value for each; range_lower <= lower < upper <= range_upper; speed and acceleration limits are above 0.",
    "ONE-ID-A-START": "driver_id is not 0, the same in driver_status and joint_limits, and another after a restart.",
    "STATUS-KEEPS-COMING": f"driver_status comes at least every {STATUS_GAP_S:g} s, in every state; status and limits "
    "are latched: who joins later has them at once.",
    "STATES-KEEP-COMING": f"joint_states come at {STATE_RATE_HZ:g} Hz or more, and hold measured positions, rad.",
    "ENGAGES-NEAR": "In HOLD a command at the goal engages; ENGAGED has no cause; followed commands are counted.",
    "NEVER-FROM-AFAR": "In HOLD a command far from goal and arm engages and moves nothing, and counts as rejected.",
    "FOLLOWS": "Engaged, the goal and the arm go where the commands lead.",
    "NAMES-DECIDE": "A command is read by joint names: their order does not matter.",
    "ALL-OR-NOTHING": "A command that lacks a joint or a value, or has one that is not finite, is rejected as a whole.",
    "NO-JUMP": "However far commands leap, no goal and no joint moves faster than max_speed of joint_limits.",
    "WITHIN-LIMITS": "No goal is ever outside lower..upper of joint_limits.",
    "HOLD-ON-SILENCE": "When commands stop coming, the driver is in HOLD with cause COMMAND_TIMEOUT within "
    f"{SILENCE_S:g} s; the goal comes to rest and stays; a command at the goal engages again.",
    "STOP-LATCHES": "emergency_stop while commands are followed: LATCHED with cause EMERGENCY_STOP, the arm comes to "
    "rest, no command moves it until `reset`, after which it is in HOLD.",
    "PARK-ONLY-AT-REST": "park, where there is such a service, is refused while commands are followed.",
    "NO-DROP": "release, where there is such a service, is refused while commands are followed.",
    "CAUSE-IS-NAMED": "NO_BUS, RELEASED and LATCHED have a cause, a constant of capitals; message is one line.",
    "STILL-AT-RESTART": "Killed in the middle of a motion and started again, it holds the arm where it stands.",
    "ENDS-QUIETLY": "On SIGINT it ends within 10 s with exit code 0 and without a traceback.",
}


def broken(rule: str, text: str) -> NoReturn:
    """Fail with one line: the rule's name and what was seen."""
    assert rule in RULES, rule
    pytest.fail(f"{rule}: {text}", pytrace=False)
