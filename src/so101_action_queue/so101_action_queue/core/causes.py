# SPDX-License-Identifier: Apache-2.0
"""Named causes of QueueStatus.cause_name, and a cause together with its sentence.

A name is chosen where the sentence is made. Nobody reads it back out of the sentence, in which names of servers and
cameras and the words of exceptions stand.
"""

from dataclasses import dataclass
from typing import Final

NOT_STARTED: Final = "NOT_STARTED"
WAITING: Final = "WAITING"
RUNNING: Final = "RUNNING"
STARVED: Final = "STARVED"
WAITING_TO_ASK: Final = "WAITING_TO_ASK"
PAUSED: Final = "PAUSED"
STOP_REQUESTED: Final = "STOP_REQUESTED"
DRIVER_RESTARTED: Final = "DRIVER_RESTARTED"
DRIVER_LOST: Final = "DRIVER_LOST"
DRIVER_NOT_ENGAGED: Final = "DRIVER_NOT_ENGAGED"
COMMANDS_LATE: Final = "COMMANDS_LATE"
ANSWERS_LATE: Final = "ANSWERS_LATE"
HELD_UP: Final = "HELD_UP"
LIMITS_UNUSABLE: Final = "LIMITS_UNUSABLE"
POSE_UNKNOWN: Final = "POSE_UNKNOWN"
SERVER_LOST: Final = "SERVER_LOST"
SERVER_LEFT: Final = "SERVER_LEFT"
NO_SERVER: Final = "NO_SERVER"
SERVER_NOT_READY: Final = "SERVER_NOT_READY"
OBSERVATION_INCOMPLETE: Final = "OBSERVATION_INCOMPLETE"
SPEC_REJECTED: Final = "SPEC_REJECTED"
POLICY_ERROR: Final = "POLICY_ERROR"
BAD_REQUEST: Final = "BAD_REQUEST"
INVALID_CHUNKS: Final = "INVALID_CHUNKS"
CHUNK_TOO_SHORT: Final = "CHUNK_TOO_SHORT"
ROWS_TOO_OLD: Final = "ROWS_TOO_OLD"
UNNAMED: Final = "UNNAMED"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is not as it should be: `cause`, one of the constants above, and a line for people.

    False where nothing is wrong: NO_REASON.
    """

    cause: str
    text: str

    def __bool__(self) -> bool:
        return self.cause != ""


NO_REASON: Final = Reason("", "")
