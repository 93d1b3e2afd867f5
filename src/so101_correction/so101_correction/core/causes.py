# SPDX-License-Identifier: Apache-2.0
"""Why nothing is added to the setpoint, by name. A sentence for people stands beside the name."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class CorrectionCause(StrEnum):
    """What stops a correction; NONE while it works."""

    NONE = ""
    NO_PLAN = "NO_PLAN"
    NOT_EXECUTING = "NOT_EXECUTING"
    PLAN_TOO_OLD = "PLAN_TOO_OLD"
    JOINTS_UNKNOWN = "JOINTS_UNKNOWN"
    FRAME_MISSING = "FRAME_MISSING"
    FRAME_UNUSABLE = "FRAME_UNUSABLE"
    FRAME_OLD = "FRAME_OLD"
    FRAME_FROZEN = "FRAME_FROZEN"
    REQUEST_FRAME_MISSING = "REQUEST_FRAME_MISSING"
    RESULT_NOT_FINITE = "RESULT_NOT_FINITE"


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What stops a correction: its name, and a line for people. False where nothing does: NO_HINDRANCE."""

    cause: CorrectionCause
    text: str

    def __bool__(self) -> bool:
        return self.cause is not CorrectionCause.NONE


NO_HINDRANCE: Final = Hindrance(CorrectionCause.NONE, "")
