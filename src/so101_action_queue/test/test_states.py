# SPDX-License-Identifier: Apache-2.0
"""The table of phases: every cell, the core that follows it, and the times at which a fault ends a session."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from so101_action_queue.core import causes, queue_core
from so101_action_queue.core.inputs import JointPositions
from so101_action_queue.core.queue_core import ActionQueue
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.core.states import HEALTHY, TICK_EVENTS, TRANSITIONS, QueueEvent, QueuePhase, next_phase
from so101_action_queue.errors import TransitionError
from so101_action_queue.record.virtual_session import VirtualLink, VirtualSession
from so101_node.protocol import DriverState, PolicyState, QueueState

SETTINGS = QueueSettings(joint_names=("pan", "lift"), cameras=())
MEASURED = JointPositions((0.0, 0.0), 0.0)
STARTED = [phase for phase in QueuePhase if phase.is_started]
COMMANDING = [phase for phase in QueuePhase if phase.commands]
EVERY_CELL = [(phase, event) for phase in QueuePhase for event in QueueEvent]


def never(request_id: int) -> float | None:
    return None


def session_in(phase: QueuePhase, settings: QueueSettings = SETTINGS) -> VirtualSession:
    """A session whose queue has come to that phase."""
    session = VirtualSession(settings, lambda request: np.zeros((50, 2)))
    if phase is QueuePhase.WAITING:
        session.link = VirtualLink(downlink_s=never)
    if phase is not QueuePhase.IDLE:
        session.start()
    session.run(2.0)
    if phase in (QueuePhase.STARVED, QueuePhase.HOLDING):
        session.link = VirtualLink(downlink_s=never)
        session.run(2.5)
    if phase is QueuePhase.HOLDING:
        session.server = replace(session.server, state=PolicyState.ERROR)
        session.run(0.5)
    if phase is QueuePhase.PAUSED:
        session.journal.pause(session.now_ns)
    if phase is QueuePhase.STOPPED:
        session.journal.stop(session.now_ns)
    assert session.journal.core.phase is phase
    return session


# -- the table ---------------------------------------------------------------------------------------------------------


def test_every_phase_has_its_row_and_every_entry_a_known_phase() -> None:
    assert set(TRANSITIONS) == set(QueuePhase)
    for row in TRANSITIONS.values():
        assert set(row) <= set(QueueEvent)
        assert set(row.values()) <= set(QueuePhase)


@pytest.mark.parametrize(("phase", "event"), EVERY_CELL)
def test_each_cell_moves_changes_nothing_or_cannot_happen(phase: QueuePhase, event: QueueEvent) -> None:
    if event in TRANSITIONS[phase]:
        assert next_phase(phase, event) is TRANSITIONS[phase][event]
    elif event in TICK_EVENTS:
        with pytest.raises(TransitionError, match=f"{event.name} reported in {phase.name}"):
            next_phase(phase, event)
    else:
        assert next_phase(phase, event) is None


def test_a_session_ends_for_good_and_every_phase_that_commands_can_be_ended() -> None:
    assert not TRANSITIONS[QueuePhase.STOPPED]
    for phase in COMMANDING:
        assert TRANSITIONS[phase][QueueEvent.STOP] is QueuePhase.STOPPED
        assert TRANSITIONS[phase][QueueEvent.FAULT] is QueuePhase.STOPPED


def test_nothing_leads_back_to_waiting_or_idle() -> None:
    """WAITING says that no chunk was ever accepted, IDLE that no session began."""
    for phase, row in TRANSITIONS.items():
        assert QueuePhase.IDLE not in row.values()
        assert QueuePhase.WAITING not in row.values() or phase in (QueuePhase.IDLE, QueuePhase.WAITING)


def test_no_row_runs_where_nothing_is_commanded() -> None:
    for phase in QueuePhase:
        assert (QueueEvent.ROW_EXECUTED in TRANSITIONS[phase]) == phase.is_started
        assert phase.commands or not phase.is_started


def test_each_phase_is_shown_as_a_state_of_the_message() -> None:
    assert {phase.state for phase in QueuePhase} == set(QueueState)
    assert QueuePhase.PAUSED.state is QueuePhase.HOLDING.state is QueueState.HOLDING


def test_a_healthy_tick_has_a_reason_in_every_phase_it_can_lead_to() -> None:
    reached = {phase for row in TRANSITIONS.values() for event, phase in row.items() if event in TICK_EVENTS}
    assert reached == set(HEALTHY)


# -- the core follows it -----------------------------------------------------------------------------------------------

INPUTS: dict[QueueEvent, Callable[[VirtualSession], object]] = {
    QueueEvent.START: lambda session: session.journal.core.start(session.now_ns, 99),
    QueueEvent.PAUSE: lambda session: session.journal.core.pause(session.now_ns),
    QueueEvent.STOP: lambda session: session.journal.core.stop(session.now_ns),
    QueueEvent.FAULT: lambda session: latch(session),
}


def latch(session: VirtualSession) -> None:
    session.driver = replace(session.driver, state=DriverState.LATCHED, cause="STALL")
    session.journal.hear_driver(session.now_ns, session.driver)
    session.tick()


@pytest.mark.parametrize("phase", QueuePhase)
@pytest.mark.parametrize("event", INPUTS)
def test_the_core_moves_as_the_table_says(phase: QueuePhase, event: QueueEvent) -> None:
    session = session_in(phase)
    INPUTS[event](session)
    assert session.journal.core.phase is TRANSITIONS[phase].get(event, phase)


def test_every_move_of_a_rough_session_is_one_of_the_table_and_ticks_find_each_of_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: set[tuple[QueuePhase, QueueEvent]] = set()

    def spy(phase: QueuePhase, event: QueueEvent) -> QueuePhase | None:
        seen.add((phase, event))
        return next_phase(phase, event)

    monkeypatch.setattr(queue_core, "next_phase", spy)
    for phase in STARTED:
        for link in (VirtualLink(), VirtualLink(downlink_s=never)):
            session = session_in(phase)
            session.link = link
            session.server = replace(session.server, state=PolicyState.READY)
            session.run(4.0)
            session.server_speaks = False
            session.run(4.0)
    session = session_in(QueuePhase.STARVED)
    session.link = VirtualLink()
    good, session.policy = session.policy, lambda request: np.full((50, 2), 9.0)  # refused: beyond the limits
    session.run(2.0)
    session.policy = good
    session.run(2.0)
    moves = {(phase, event) for phase in STARTED for event in TRANSITIONS[phase] if event in TICK_EVENTS}
    rare = {  # rows that are forgotten between their coming and the first of them, or come in the tick of a loss
        (QueuePhase.WAITING, QueueEvent.REQUEST_OUTSTANDING),
        (QueuePhase.WAITING, QueueEvent.NOTHING_OUTSTANDING),
    }
    assert moves - rare <= seen


# -- boundaries --------------------------------------------------------------------------------------------------------


def at_rest_from(session: VirtualSession, silent: str, until_ns: int) -> ActionQueue:
    """A copy of the core, ticked until `until_ns`, the last time just then, while `silent` says nothing more."""
    core = deepcopy(session.journal.core)
    now_ns = session.now_ns
    while now_ns < until_ns:
        now_ns = min(now_ns + SETTINGS.period_ns, until_ns)
        if silent != "driver":
            core.hear_driver(now_ns, session.driver)
        if silent != "server":
            core.hear_server(now_ns, session.server)
        core.tick(now_ns, MEASURED)
    return core


def heard_just_now(phase: QueuePhase, **settings: Any) -> VirtualSession:
    """A session in that phase that has this moment heard driver and server and ticked."""
    session = session_in(phase, replace(SETTINGS, **settings))
    session.journal.hear_driver(session.now_ns, session.driver)
    session.journal.hear_server(session.now_ns, session.server)
    session.tick()
    assert session.journal.core.phase is phase
    return session


@pytest.mark.parametrize("phase", COMMANDING)
@pytest.mark.parametrize(("past_ns", "ends"), [(-1_000_000, False), (0, False), (1, True), (1_000_000, True)])
def test_a_driver_is_lost_after_its_time_and_not_before(phase: QueuePhase, past_ns: int, ends: bool) -> None:
    session = heard_just_now(phase, driver_lost_s=1.5)
    core = at_rest_from(session, "driver", session.now_ns + 1_500_000_000 + past_ns)
    assert (core.phase is QueuePhase.STOPPED) == ends
    assert (core.cause_name == causes.DRIVER_LOST) == ends


@pytest.mark.parametrize("phase", COMMANDING)
@pytest.mark.parametrize("policy", ["hold", "stop"])
@pytest.mark.parametrize(("past_ns", "lost"), [(-1_000_000, False), (0, False), (1, True), (1_000_000, True)])
def test_a_server_is_lost_after_its_time_and_ends_a_session_only_where_asked(
    phase: QueuePhase, policy: str, past_ns: int, lost: bool
) -> None:
    session = heard_just_now(phase, server_lost_s=0.9, on_server_lost=policy)
    core = at_rest_from(session, "server", session.now_ns + 900_000_000 + past_ns)
    ends = lost and policy == "stop" and phase.is_started
    assert (core.phase is QueuePhase.STOPPED) == ends
    assert (core.cause_name == causes.SERVER_LOST) == (lost and phase.is_started)


@pytest.mark.parametrize("phase", COMMANDING)
@pytest.mark.parametrize("limit_s", [0.5, 2.0])
@pytest.mark.parametrize(("past_ns", "ends"), [(-1, False), (0, False), (1, True), (10**9, True)])
def test_a_queue_that_stood_still_goes_on_up_to_its_time(
    phase: QueuePhase, limit_s: float, past_ns: int, ends: bool
) -> None:
    session = heard_just_now(phase, resume_within_s=limit_s)
    core = session.journal.core
    core.tick(session.now_ns + SETTINGS.period_ns + round(limit_s * 1e9) + past_ns, MEASURED)
    assert (core.phase is QueuePhase.STOPPED) == ends
    assert (core.cause_name == causes.HELD_UP) == ends


@pytest.mark.parametrize(("past_ns", "ends"), [(-1_000_000, False), (0, False), (1, True)])
def test_a_driver_may_take_its_time_to_engage_and_no_longer(past_ns: int, ends: bool) -> None:
    session = VirtualSession(SETTINGS, lambda request: np.zeros((50, 2)))
    session.run(0.5)
    session.start()
    core = at_rest_from(session, "", session.now_ns + 1_000_000_000 + past_ns)
    assert (core.phase is QueuePhase.STOPPED) == ends
    assert core.cause_name == causes.DRIVER_NOT_ENGAGED


@pytest.mark.parametrize("phase", STARTED)
@pytest.mark.parametrize(("age_s", "fresh"), [(0.0, True), (0.1, True), (0.1 + 1e-9, False), (float("nan"), False)])
def test_joint_positions_count_up_to_their_age(phase: QueuePhase, age_s: float, fresh: bool) -> None:
    session = session_in(phase)
    session.server = replace(session.server, state=PolicyState.READY)
    session.journal.hear_server(session.now_ns, session.server)
    core = session.journal.core
    core.tick(session.now_ns + SETTINGS.period_ns, JointPositions((0.0, 0.0), age_s))
    assert (core.cause_name == causes.POSE_UNKNOWN) == (not fresh)
