"""Whether the driver follows this queue's commands, and still is the driver that the session began with."""

import math

import numpy as np

from so101_action_queue import causes
from so101_action_queue.causes import NO_REASON, Reason
from so101_action_queue.inputs import DriverReport, DriverState, FloatArray
from so101_action_queue.settings import Settings

FRESH_S = 0.5  # a DriverStatus comes at 10 Hz; older than five of them and nothing is known
PARKING = "PARKING"
COMMAND_TIMEOUT = "COMMAND_TIMEOUT"


class DriverWatch:
    """Keeps the newest DriverStatus.

    In the first `engage_timeout_s` of a session HOLD is patience, once engaged only where commands were late; else a
    fault.
    """

    def __init__(self) -> None:
        self._report: DriverReport | None = None
        self._heard_ns = 0
        self._driver_id = 0
        self._began_ns = 0
        self._engaged_once = False

    def hear(self, now_ns: int, report: DriverReport) -> None:
        """Take in a DriverStatus."""
        self._report = report
        self._heard_ns = now_ns

    @property
    def is_engaged(self) -> bool:
        """Whether the driver said after `begin` that it follows commands."""
        return self._engaged_once and self._report is not None and self._report.state == DriverState.ENGAGED

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
            raise RuntimeError("begin() before any DriverStatus")
        self._driver_id = self._report.driver_id
        self._began_ns = now_ns
        self._engaged_once = False
        goal = dict(zip(self._report.joint_names, self._report.goal, strict=False))
        return np.array([goal[name] for name in joint_names], dtype=np.float64)

    def fault(self, now_ns: int, settings: Settings) -> Reason:
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
            return NO_REASON
        in_time = now_ns - self._began_ns <= settings.engage_timeout_s * 1e9
        expected = report.cause == COMMAND_TIMEOUT if self._engaged_once else report.cause != PARKING
        if report.state == DriverState.HOLD and in_time and expected:
            return NO_REASON
        if not self._engaged_once and report.state == DriverState.HOLD:
            text = f"the driver did not engage within {settings.engage_timeout_s:g} s: it is {describe(report)}"
            return Reason(causes.DRIVER_NOT_ENGAGED, text)
        return Reason(causes.DRIVER_NOT_ENGAGED, f"the driver is {describe(report)}")


def describe(report: DriverReport) -> str:
    """Return the driver's state, cause and message as words."""
    try:
        words = DriverState(report.state).name
    except ValueError:
        words = f"in state {report.state}"
    if report.cause:
        words += f" ({report.cause})"
    return f"{words}: {report.message}" if report.message else words
