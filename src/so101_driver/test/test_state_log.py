"""What the log says about the gate's state, and when a lack at the start becomes an error."""

import numpy as np
from so101_driver.gate_values import GateStatus, State
from so101_driver.state_log import StateLog
from so101_node.diagnostics import Level
from so101_node.start_grace import GRACE_S

from so101_driver import causes

S = 1_000_000_000
NONE = np.zeros(6, dtype=np.bool_)
GRACE_NS = round(GRACE_S * 1e9)


def status(state: State, cause: str = "", message: str = "") -> GateStatus:
    return GateStatus(state, cause, message, False, NONE, np.zeros(6), 0, 0, 0)


def test_servos_that_are_silent_at_the_start_are_no_error_and_then_one() -> None:
    log = StateLog(0)
    silent = status(State.NO_BUS, causes.SERVOS_SILENT, "no servo answers")
    first = log.see(silent, 1)
    assert first is not None
    assert (first.level, first.text) == (Level.OK, "starting: NO_BUS SERVOS_SILENT no servo answers")
    assert log.is_starting
    assert log.see(silent, S) is None
    later = log.see(silent, GRACE_NS)
    assert later is not None
    assert (later.level, later.text) == (Level.ERROR, "NO_BUS SERVOS_SILENT no servo answers")
    assert not log.is_starting
    assert log.see(silent, 2 * GRACE_NS) is None


def test_servos_that_answered_and_went_silent_are_an_error_at_once() -> None:
    log = StateLog(0)
    held = log.see(status(State.HOLD), 1)
    assert held is not None
    assert held.level is Level.OK
    lost = log.see(status(State.NO_BUS, causes.SERVOS_SILENT), 2)
    assert lost is not None
    assert (lost.level, log.is_starting) == (Level.ERROR, False)


def test_a_fault_at_the_start_is_an_error_at_once() -> None:
    latched = StateLog(0).see(status(State.LATCHED, causes.SERVO_LOST), 1)
    assert latched is not None
    assert latched.level is Level.ERROR


def test_torque_that_was_refused_is_an_error_and_torque_that_was_switched_off_by_request_is_none() -> None:
    for cause in (causes.SETTINGS_MISMATCH, causes.OTHER_ARM, causes.SERVO_REFUSED, causes.SERVO_LOST):
        refused = StateLog(0).see(status(State.RELEASED, cause), 1)
        assert refused is not None
        assert refused.level is Level.ERROR
    released = StateLog(0).see(status(State.RELEASED, causes.RELEASED_BY_REQUEST), 1)
    assert released is not None
    assert released.level is Level.OK


def test_what_became_of_an_arm_that_was_left_alone_is_said_too() -> None:
    log = StateLog(0)
    lines = [
        log.see(status(State.HOLD, causes.HOLD_LIMIT, message), 1)
        for message in ("moving", "moving", "torque stays on")
    ]
    assert [line and line.text for line in lines] == ["HOLD HOLD_LIMIT moving", None, "HOLD HOLD_LIMIT torque stays on"]


def test_torque_that_is_being_switched_on_is_no_error_though_the_gate_is_closed() -> None:
    starting = StateLog(0).see(status(State.LATCHED, causes.STARTING), 1)
    assert starting is not None
    assert starting.level is Level.OK
