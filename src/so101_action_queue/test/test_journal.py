# SPDX-License-Identifier: Apache-2.0
"""The journal: order, fresh cores, self-contained sessions."""

from dataclasses import replace

import numpy as np
from so101_action_queue.core.decisions import ChunkRequest
from so101_action_queue.core.queue_core import ActionQueue
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.journal import JournalEntry, apply
from so101_action_queue.record.virtual_session import SESSION, VirtualSession
from so101_node.protocol import DecisionInput, FloatArray, QueueState

CHOSEN = QueueSettings(joint_names=("pan", "lift"), cameras=())


def policy(request: ChunkRequest) -> FloatArray:
    return np.repeat(0.01 * np.arange(50)[:, np.newaxis], 2, axis=1)


def one_session() -> VirtualSession:
    session = VirtualSession(CHOSEN, policy)
    session.run(1.0)
    session.start()
    session.run(5.0)
    return session


def replayed(entries: list[JournalEntry]) -> ActionQueue:
    assert entries[0].kind is DecisionInput.CONFIGURE
    core = ActionQueue(entries[0].now_ns, entries[0].value)
    for entry in entries[1:]:
        assert repr(apply(core, entry.kind, entry.now_ns, entry.value)) == repr(entry.decision)
        assert (core.state, core.cause, core.step) == (entry.state, entry.cause, entry.step)
    return core


def test_entries_are_numbered_without_gaps() -> None:
    entries = one_session().entries
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))


def test_one_sessions_entries_alone_repeat_every_decision() -> None:
    session = one_session()
    core = replayed([entry for entry in session.entries if entry.session == SESSION])
    assert core.state is QueueState.RUNNING
    assert core.setpoint.tobytes() == session.journal.core.setpoint.tobytes()


def test_a_second_session_needs_nothing_of_the_first() -> None:
    session = one_session()
    session.journal.change(session.now_ns, replace(CHOSEN, task="another", margin_steps=7))
    session.journal.stop(session.now_ns)
    session.run(0.5)
    session.driver = replace(session.driver, state=2)
    session.run(0.2)
    assert session.journal.start(session.now_ns, 99).done
    session.run(2.0)
    second = [entry for entry in session.entries if entry.session == 99]
    core = replayed(second)
    assert core.settings.task == "another"
    assert core.state is QueueState.RUNNING
    assert core.status(session.now_ns).counters.requests < 5  # counted from the session's own start


def test_a_refused_start_leaves_everything_as_it_was() -> None:
    session = one_session()
    session.journal.pause(session.now_ns)
    session.driver_speaks = False
    session.now_ns += 900_000_000
    core, count = session.journal.core, len(session.entries)
    result = session.journal.start(session.now_ns, 99)
    assert not result.done
    assert "driver_status is" in result.reason
    assert session.journal.core is core
    assert core.state is QueueState.HOLDING
    assert len(session.entries) == count


def test_nothing_but_a_new_task_is_logged_as_a_task() -> None:
    session = VirtualSession(CHOSEN, policy)
    session.journal.change(session.now_ns, replace(CHOSEN, task="a"))
    session.journal.change(session.now_ns, replace(CHOSEN, task="b", margin_steps=5))
    assert [entry.kind for entry in session.entries[-2:]] == [DecisionInput.TASK, DecisionInput.CONFIGURE]


def test_lines_for_the_log_are_not_lost_when_a_new_session_begins() -> None:
    session = one_session()
    session.journal.core.lines.take()
    session.journal.stop(session.now_ns)
    session.driver = replace(session.driver, state=2)
    session.journal.hear_driver(session.now_ns, session.driver)
    assert session.journal.start(session.now_ns, 99).done
    assert [line.text for line in session.journal.core.lines.take()] == ["stopped: stop requested"]
