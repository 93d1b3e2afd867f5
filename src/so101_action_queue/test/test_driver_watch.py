# SPDX-License-Identifier: Apache-2.0
"""Coupling to the driver: when a session may begin, and when it must stop."""

import math
import re
from dataclasses import replace

import pytest
from so101_action_queue.core.driver_watch import DriverWatch
from so101_action_queue.core.inputs import DriverReport
from so101_action_queue.core.settings import QueueSettings
from so101_node.protocol import DriverState

S = 1_000_000_000
NAMES = ("pan", "lift")
SETTINGS = QueueSettings(joint_names=NAMES, engage_timeout_s=1.0, driver_lost_s=1.0)
HOLD = DriverReport(7, DriverState.HOLD, "", "", ("lift", "pan"), (0.2, 0.1))
ENGAGED = replace(HOLD, state=DriverState.ENGAGED)


def begun() -> DriverWatch:
    watch = DriverWatch()
    watch.hear(0, HOLD)
    watch.begin(0, NAMES)
    return watch


def test_a_session_begins_from_the_goals_in_our_joint_order() -> None:
    watch = DriverWatch()
    watch.hear(0, HOLD)
    assert watch.start_refusal(0, NAMES) == ""
    assert watch.begin(0, NAMES).tolist() == [0.1, 0.2]


@pytest.mark.parametrize(
    ("report", "now_ns", "named"),
    [
        (None, 0, "no driver_status"),
        (HOLD, S, "older than 0.5 s"),
        (replace(HOLD, state=DriverState.NO_BUS, message="plug it in"), 0, "NO_BUS: plug it in"),
        (replace(HOLD, state=DriverState.RELEASED), 0, "RELEASED"),
        (replace(HOLD, state=DriverState.LATCHED, cause="OVERLOAD"), 0, r"LATCHED \(OVERLOAD\)"),
        (replace(HOLD, state=99), 0, "state 99"),
        (replace(HOLD, cause="PARKING"), 0, "parking"),
        (replace(HOLD, goal=(math.nan, 0.1)), 0, "no goal of lift"),
        (replace(HOLD, joint_names=("lift",), goal=(0.2,)), 0, "no goal of pan"),
        (replace(HOLD, goal=()), 0, "no goal of pan"),
    ],
)
def test_a_session_is_refused_with_the_reason(report: DriverReport | None, now_ns: int, named: str) -> None:
    watch = DriverWatch()
    if report is not None:
        watch.hear(0, report)
    assert re.search(named, watch.start_refusal(now_ns, NAMES))


def test_hold_is_patience_for_a_second_and_then_a_fault() -> None:
    watch = begun()
    for tenth in range(1, 11):
        watch.hear(tenth * S // 10, HOLD)
        assert watch.fault(tenth * S // 10, SETTINGS).text == ""
        assert not watch.is_engaged
    watch.hear(S + 1, HOLD)
    assert "did not engage within 1 s" in watch.fault(S + 1, SETTINGS).text


def test_an_engagement_from_before_the_start_does_not_count() -> None:
    watch = DriverWatch()
    watch.hear(0, ENGAGED)
    watch.begin(10, NAMES)
    assert watch.fault(10, SETTINGS).text == ""
    assert not watch.is_engaged
    watch.hear(20, ENGAGED)
    assert watch.fault(20, SETTINGS).text == ""
    assert watch.is_engaged


def test_once_engaged_the_first_second_forgives_late_commands_and_nothing_else() -> None:
    watch = begun()
    watch.hear(1, ENGAGED)
    assert watch.fault(1, SETTINGS).text == ""
    watch.hear(2, replace(HOLD, cause="COMMAND_TIMEOUT"))
    assert watch.fault(2, SETTINGS).text == ""
    watch.hear(3, replace(HOLD, cause="BUS_NOISE"))
    assert watch.fault(3, SETTINGS).text == "the driver is HOLD (BUS_NOISE)"


@pytest.mark.parametrize("state", [DriverState.LATCHED, DriverState.RELEASED, DriverState.NO_BUS])
def test_a_fault_of_the_driver_stops_the_session_at_once_even_in_the_first_second(state: DriverState) -> None:
    watch = begun()
    watch.hear(1, replace(HOLD, state=state, cause="STALL"))
    assert watch.fault(1, SETTINGS).text == f"the driver is {state.name} (STALL)"


@pytest.mark.parametrize("cause", ["COMMAND_TIMEOUT", "ANSWERS_LATE"])
def test_late_commands_or_chunks_begin_the_session_again_from_the_drivers_goal(cause: str) -> None:
    watch = begun()
    watch.hear(1, ENGAGED)
    assert not watch.fault(1, SETTINGS)
    assert watch.go_on(1, SETTINGS) is None
    watch.hear(5 * S, ENGAGED)
    assert not watch.fault(5 * S, SETTINGS)
    watch.hear(5 * S + 1, replace(HOLD, cause=cause, goal=(0.3, 0.4)))
    goal = watch.go_on(5 * S + 1, SETTINGS)
    assert goal is not None
    assert goal.tolist() == [0.4, 0.3]  # in our order
    assert not watch.fault(5 * S + 1, SETTINGS)
    assert not watch.is_engaged
    assert watch.go_on(5 * S + 2, SETTINGS) is None  # once is enough
    watch.hear(6 * S, ENGAGED)
    assert not watch.fault(6 * S, SETTINGS)
    assert watch.is_engaged


@pytest.mark.parametrize(
    ("cause", "named", "what"),
    [("COMMAND_TIMEOUT", "COMMANDS_LATE", "commands"), ("ANSWERS_LATE", "ANSWERS_LATE", "answers of the servos")],
)
def test_what_is_late_again_and_again_stops_the_session(cause: str, named: str, what: str) -> None:
    watch = begun()
    for second in range(1, 4):
        watch.hear(second * S, ENGAGED)
        assert not watch.fault(second * S, SETTINGS)
        watch.hear(second * S + 1, replace(HOLD, cause=cause))
        assert watch.go_on(second * S + 1, SETTINGS) is not None
    watch.hear(4 * S, ENGAGED)
    assert not watch.fault(4 * S, SETTINGS)
    watch.hear(4 * S + 1, replace(HOLD, cause=cause))
    assert watch.go_on(4 * S + 1, SETTINGS) is None
    found = watch.fault(4 * S + 1, SETTINGS)
    assert found.cause == named
    assert found.text.startswith(f"{what} came late 4 times within 10 s: the driver is HOLD ({cause})")

    # A person who says `start` begins a count of their own.
    watch.begin(5 * S, SETTINGS.joint_names)
    watch.hear(5 * S + 1, ENGAGED)
    assert not watch.fault(5 * S + 1, SETTINGS)
    watch.hear(5 * S + 2, replace(HOLD, cause=cause))
    assert watch.go_on(5 * S + 2, SETTINGS) is not None


@pytest.mark.parametrize(
    ("report", "settings"),
    [
        (replace(HOLD, cause="BUS_NOISE"), SETTINGS),
        (replace(HOLD, cause="COMMAND_TIMEOUT", driver_id=8), SETTINGS),
        (replace(HOLD, cause="COMMAND_TIMEOUT", goal=(math.nan, 0.0)), SETTINGS),
        (replace(HOLD, state=DriverState.LATCHED, cause="COMMAND_TIMEOUT"), SETTINGS),
        (replace(HOLD, cause="COMMAND_TIMEOUT"), replace(SETTINGS, resume_within_s=0.0)),
    ],
)
def test_after_anything_else_nothing_goes_on_by_itself(report: DriverReport, settings: QueueSettings) -> None:
    watch = begun()
    watch.hear(3 * S, ENGAGED)
    assert not watch.fault(3 * S, settings)
    watch.hear(3 * S + 1, report)
    assert watch.go_on(3 * S + 1, settings) is None
    assert watch.fault(3 * S + 1, settings)


def test_hold_after_the_first_second_stops_the_session() -> None:
    watch = begun()
    watch.hear(1, ENGAGED)
    assert watch.fault(1, SETTINGS).text == ""
    watch.hear(2 * S, replace(HOLD, cause="COMMAND_TIMEOUT"))
    assert watch.fault(2 * S, SETTINGS).text == "the driver is HOLD (COMMAND_TIMEOUT)"


def test_a_restarted_driver_stops_the_session_whatever_its_state() -> None:
    watch = begun()
    watch.hear(1, replace(ENGAGED, driver_id=8))
    assert watch.fault(1, SETTINGS).text == "the driver was restarted"


def test_a_silent_driver_is_lost() -> None:
    watch = begun()
    watch.hear(1, ENGAGED)
    assert watch.fault(S, SETTINGS).text == ""
    assert "driver lost" in watch.fault(S + 2, SETTINGS).text
