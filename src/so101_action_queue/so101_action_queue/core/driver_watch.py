# SPDX-License-Identifier: Apache-2.0
"""Whether the driver follows this queue's commands, and still is the driver that the session began with."""

import math

import numpy as np
from so101_node.protocol import DriverState, FloatArray

from so101_action_queue.core import causes
from so101_action_queue.core.causes import NO_REASON, Reason
from so101_action_queue.core.inputs import DriverReport, JointPositions
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.errors import StartError

FRESH_S = 0.5  # a DriverStatus comes at 10 Hz; older than five of them and nothing is known
OFTEN, OFTEN_S = 3, 10.0  # after so many late commands within that time the arm would only stutter on
PARKING = "PARKING"
COMMAND_TIMEOUT = "COMMAND_TIMEOUT"
ANSWERS_LATE = "ANSWERS_LATE"  # of the servos
# What a busy computer makes of a driver that follows: commands, or the replies of all servos, come late.
PAUSES = {
    COMMAND_TIMEOUT: Reason(causes.COMMANDS_LATE, "commands"),
    ANSWERS_LATE: Reason(causes.ANSWERS_LATE, "answers of the servos"),
}


class DriverWatch:
    """Keeps the newest DriverStatus.

    For `engage_timeout_s` after `begin` HOLD is tolerated. Once engaged, only HOLD with a cause of PAUSES is: the
    arm stands where it was braked, so the session begins again from there, unless that comes too often or lasts.
    """

    def __init__(self) -> None:
        self._report: DriverReport | None = None
        self._heard_ns = 0
        self._driver_id = 0
        self._began_ns = 0
        self._engaged_once = False
        self._engaged_ns = 0  # when it was last heard to be engaged
        self._late_ns: list[int] = []  # when commands or replies were late
        self._pause = COMMAND_TIMEOUT
        self._is_late = False  # since the driver held for want of commands, until it engages again

    def hear(self, now_ns: int, report: DriverReport) -> None:
        """Take in a DriverStatus."""
        self._report = report
        self._heard_ns = now_ns

    def excuse(self, now_ns: int, held_up_ns: int) -> None:
        """The queue itself could not hear for that long: the driver is not lost for that."""
        self._heard_ns = min(now_ns, self._heard_ns + held_up_ns)
        self._engaged_ns = min(now_ns, self._engaged_ns + held_up_ns)

    @property
    def is_engaged(self) -> bool:
        """Whether the driver said after `begin` that it follows commands."""
        return self._engaged_once and self._report is not None and self._report.state == DriverState.ENGAGED

    @property
    def pause_text(self) -> str:
        """What happened before the session began again, one line."""
        late = PAUSES[self._pause].text
        return f"{late} reached the driver late ({self._pause}): holding where the arm stands, then going on"

    def why_not_engaged(self) -> Reason:
        """Return why the driver does not follow commands yet, or NO_REASON where it does."""
        if self.is_engaged:
            self._is_late = False
            return NO_REASON
        text = "waiting for the driver to engage"
        if not self._is_late:
            return Reason(causes.DRIVER_NOT_ENGAGED, text)
        pause = PAUSES[self._pause]
        return Reason(pause.cause, f"{text} again: {pause.text} came late")

    def obstacle(self, measured: JointPositions | None, settings: QueueSettings) -> Reason:
        """Return what on the robot's side stands in the way of any request, or NO_REASON."""
        waiting = self.why_not_engaged()
        if waiting:
            return waiting
        if measured is None:
            return Reason(causes.POSE_UNKNOWN, "no joint_states with a position of every joint")
        if not measured.age_s <= settings.max_pose_age_s:
            text = f"joint_states older than {settings.max_pose_age_s:g} s (max_pose_age_s)"
            return Reason(causes.POSE_UNKNOWN, text)
        return NO_REASON

    def start_refusal(self, now_ns: int, joint_names: tuple[str, ...]) -> str:
        """Return in one line why a session cannot begin, or ""."""
        report = self._report
        if report is None:
            return "no driver_status yet: is so101_driver running?"
        if now_ns - self._heard_ns > FRESH_S * 1e9:
            return f"driver_status is older than {FRESH_S:g} s: is so101_driver running?"
        if report.state not in (DriverState.HOLD, DriverState.ENGAGED):
            return f"the driver is {describe(report)}"
        if report.cause == PARKING:
            return "the driver is parking the arm: wait until it has parked"
        goal = dict(zip(report.joint_names, report.goal, strict=False))
        for name in joint_names:
            if not math.isfinite(goal.get(name, math.nan)):
                return f"the driver knows no goal of {name} to start from"
        return ""

    def begin(self, now_ns: int, joint_names: tuple[str, ...]) -> FloatArray:
        """Begin a session and return the driver's goals, (joints,), rad. Call only when `start_refusal` is ""."""
        if self._report is None:
            raise StartError("begin() before any DriverStatus")
        self._driver_id = self._report.driver_id
        self._began_ns = now_ns
        self._engaged_once = False
        self._late_ns = []  # somebody looked at the arm and said `start`
        return _goal(self._report, joint_names)

    def go_on(self, now_ns: int, settings: QueueSettings) -> FloatArray | None:
        """Begin again after late commands or replies: the driver's goals, (joints,), rad. None: nothing to do."""
        report = self._report
        if report is None or not self._may_go_on(now_ns, report, settings):
            return None
        goal = _goal(report, settings.joint_names)
        if not np.isfinite(goal).all():
            return None
        self._late_ns.append(now_ns)
        self._pause = report.cause
        self._is_late = True
        self._began_ns, self._engaged_once = now_ns, False
        return goal

    def _may_go_on(self, now_ns: int, report: DriverReport, settings: QueueSettings) -> bool:
        """Whether this HOLD is one after which the session begins again."""
        if not self._engaged_once or report.state != DriverState.HOLD or report.cause not in PAUSES:
            return False
        if report.driver_id != self._driver_id or settings.resume_within_s <= 0.0:
            return False
        self._late_ns = [late_ns for late_ns in self._late_ns if now_ns - late_ns <= OFTEN_S * 1e9]
        return len(self._late_ns) < OFTEN and now_ns - self._engaged_ns <= settings.resume_within_s * 1e9

    def fault(self, now_ns: int, settings: QueueSettings) -> Reason:
        """Return why the running session must stop, or NO_REASON."""
        report = self._report
        if report is None:
            return Reason(causes.DRIVER_LOST, "no driver_status")
        if report.driver_id != self._driver_id:
            return Reason(causes.DRIVER_RESTARTED, "the driver was restarted")
        if now_ns - self._heard_ns > settings.driver_lost_s * 1e9:
            text = f"driver lost: no driver_status for {settings.driver_lost_s:g} s"
            return Reason(causes.DRIVER_LOST, text)
        if report.state == DriverState.ENGAGED:
            # A report from before `begin` may tell of an engagement that has lapsed since.
            self._engaged_once = self._engaged_once or self._heard_ns > self._began_ns
            self._engaged_ns = self._heard_ns
            return NO_REASON
        if self._engaged_once and report.cause in PAUSES and len(self._late_ns) >= OFTEN:
            pause = PAUSES[report.cause]
            text = f"{pause.text} came late {len(self._late_ns) + 1} times within {OFTEN_S:g} s"
            return Reason(pause.cause, f"{text}: the driver is {describe(report)}")
        in_time = now_ns - self._began_ns <= settings.engage_timeout_s * 1e9
        expected = report.cause in PAUSES if self._engaged_once else report.cause != PARKING
        if report.state == DriverState.HOLD and in_time and expected:
            return NO_REASON
        if not self._engaged_once and report.state == DriverState.HOLD:
            text = f"the driver did not engage within {settings.engage_timeout_s:g} s: it is {describe(report)}"
            return Reason(causes.DRIVER_NOT_ENGAGED, text)
        return Reason(causes.DRIVER_NOT_ENGAGED, f"the driver is {describe(report)}")


def _goal(report: DriverReport, joint_names: tuple[str, ...]) -> FloatArray:
    """The driver's goals in that order, (joints,), rad; NaN where it has none."""
    goal = dict(zip(report.joint_names, report.goal, strict=False))
    return np.array([goal.get(name, math.nan) for name in joint_names], dtype=np.float64)


def describe(report: DriverReport) -> str:
    """Return the driver's state, cause and message as words."""
    try:
        words = DriverState(report.state).name
    except ValueError:
        words = f"in state {report.state}"
    if report.cause:
        words += f" ({report.cause})"
    return f"{words}: {report.message}" if report.message else words
