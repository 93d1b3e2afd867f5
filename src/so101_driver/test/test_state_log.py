# SPDX-License-Identifier: Apache-2.0
"""What the log says about the gate's state, and when a lack at the start becomes an error."""

import numpy as np
from so101_driver.core import causes
from so101_driver.core.gate_values import GateStatus
from so101_driver.ros.state_log import StateLog
from so101_node.log_lines import LogLevel
from so101_node.protocol import DriverState
from so101_node.timing.start_grace import GRACE_S

S = 1_000_000_000
NONE = np.zeros(6, dtype=np.bool_)
GRACE_NS = round(GRACE_S * 1e9)


def status(state: DriverState, cause: str = "", message: str = "") -> GateStatus:
    return GateStatus(state, cause, message, False, NONE, np.zeros(6), 0, 0, 0)


def test_servos_that_are_silent_at_the_start_are_no_error_and_then_one() -> None:
    log = StateLog(0)
    silent = status(DriverState.NO_BUS, causes.SERVOS_SILENT, "no servo answers")
    first = log.see(silent, 1)
    assert first is not None
    assert (first.level, first.text) == (LogLevel.INFO, "starting: NO_BUS SERVOS_SILENT no servo answers")
    assert log.is_starting
    assert log.see(silent, S) is None
    later = log.see(silent, GRACE_NS)
    assert later is not None
    assert (later.level, later.text) == (LogLevel.ERROR, "NO_BUS SERVOS_SILENT no servo answers")
    assert not log.is_starting
    assert log.see(silent, 2 * GRACE_NS) is None


def test_servos_that_answered_and_went_silent_are_an_error_at_once() -> None:
    log = StateLog(0)
    held = log.see(status(DriverState.HOLD), 1)
    assert held is not None
    assert held.level is LogLevel.INFO
    lost = log.see(status(DriverState.NO_BUS, causes.SERVOS_SILENT), 2)
    assert lost is not None
    assert (lost.level, log.is_starting) == (LogLevel.ERROR, False)


def test_a_fault_at_the_start_is_an_error_at_once() -> None:
    latched = StateLog(0).see(status(DriverState.LATCHED, causes.SERVO_LOST), 1)
    assert latched is not None
    assert latched.level is LogLevel.ERROR


def test_torque_that_was_refused_is_an_error_and_torque_that_was_switched_off_by_request_is_none() -> None:
    for cause in (causes.SETTINGS_MISMATCH, causes.OTHER_ARM, causes.SERVO_REFUSED, causes.SERVO_LOST):
        refused = StateLog(0).see(status(DriverState.RELEASED, cause), 1)
        assert refused is not None
        assert refused.level is LogLevel.ERROR
    released = StateLog(0).see(status(DriverState.RELEASED, causes.RELEASED_BY_REQUEST), 1)
    assert released is not None
    assert released.level is LogLevel.INFO


def test_what_became_of_an_arm_that_was_left_alone_is_said_too() -> None:
    log = StateLog(0)
    lines = [
        log.see(status(DriverState.HOLD, causes.HOLD_LIMIT, message), 1)
        for message in ("moving", "moving", "torque stays on")
    ]
    assert [line and line.text for line in lines] == ["HOLD HOLD_LIMIT moving", None, "HOLD HOLD_LIMIT torque stays on"]


def test_torque_that_is_being_switched_on_is_no_error_though_the_gate_is_closed() -> None:
    starting = StateLog(0).see(status(DriverState.LATCHED, causes.STARTING), 1)
    assert starting is not None
    assert starting.level is LogLevel.INFO
