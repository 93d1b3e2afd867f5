# SPDX-License-Identifier: Apache-2.0
"""A log of messages replays bit for bit, and a log that was changed says where."""

import math
from dataclasses import replace

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from so101_action_queue.core.decisions import ChunkRequest
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.decision_log import settings_from, settings_parameters
from so101_action_queue.record.decision_log import virtual_message as virtual_message
from so101_action_queue.record.journal import JournalEntry
from so101_action_queue.record.replay import replay
from so101_action_queue.record.virtual_session import VirtualLink, VirtualSession
from so101_msgs.msg import QueueDecision
from so101_node.protocol import FloatArray

CHOSEN = QueueSettings(
    joint_names=("pan", "lift"), cameras=(), aggregate_fn_name="temporal_ensemble", servers=("virtual",)
)


def as_message(entry: JournalEntry) -> QueueDecision:
    """Return the entry as the node would publish it, after one trip over the wire."""
    message = virtual_message(entry, CHOSEN.joint_names)
    return deserialize_message(serialize_message(message), QueueDecision)


@pytest.fixture(scope="module")
def log() -> list[QueueDecision]:
    """Two sessions with everything in them: late chunks, an invalid one, a pause, new task and parameters."""

    def policy(request: ChunkRequest) -> FloatArray:
        rows = 0.3 * np.sin((request.step + np.arange(50)) / 20)
        rows[7] = math.nan if request.request_id == 4 else 2.3
        return np.repeat(rows[:, np.newaxis], 2, axis=1)

    session = VirtualSession(CHOSEN, policy, VirtualLink(inference_s=lambda number: 2.0 if number == 6 else 0.1))
    session.run(0.5)
    session.start()
    session.run(8.0)
    session.journal.change(session.now_ns, replace(CHOSEN, task="fold"))
    session.run(1.0)
    session.journal.change(session.now_ns, replace(CHOSEN, task="fold", aggregate_fn_name="average"))
    session.run(2.0)
    session.journal.pause(session.now_ns)
    session.run(0.5)
    session.journal.start(session.now_ns, 99)
    session.run(2.0)
    session.journal.stop(session.now_ns)
    session.run(0.2)
    return [as_message(entry) for entry in session.entries]


def test_a_run_replays_bit_for_bit(log: list[QueueDecision]) -> None:
    assert {message.verdict for message in log} >= {
        QueueDecision.ACCEPTED,
        QueueDecision.REJECTED_NOT_FINITE,
    }
    result = replay(log)
    assert result.first_difference == ""
    assert result.identical
    assert result.decisions == len(log)


def test_a_log_that_begins_in_mid_session_is_replayed_from_the_next_one(log: list[QueueDecision]) -> None:
    begin = next(index for index, message in enumerate(log) if message.session == 99)
    result = replay(log[begin - 30 :])
    assert result.identical
    assert result.decisions == len(log) - begin


def test_one_bit_in_one_setpoint_is_found_and_named(log: list[QueueDecision]) -> None:
    index = next(i for i, message in enumerate(log) if message.input == QueueDecision.TICK and message.step == 20)
    changed = deserialize_message(serialize_message(log[index]), QueueDecision)
    changed.setpoint[0] = math.nextafter(changed.setpoint[0], 9.0)
    result = replay([*log[:index], changed, *log[index + 1 :]])
    assert not result.identical
    assert result.decisions == index + 1
    assert f"decision {changed.sequence} (TICK): setpoint" in result.first_difference


def test_an_input_that_was_changed_shows_in_the_decisions(log: list[QueueDecision]) -> None:
    index = next(i for i, message in enumerate(log) if message.verdict == QueueDecision.ACCEPTED)
    changed = deserialize_message(serialize_message(log[index]), QueueDecision)
    changed.chunk[0].positions[30] += 0.01
    assert not replay([*log[:index], changed, *log[index + 1 :]]).identical


def test_a_missing_entry_is_named(log: list[QueueDecision]) -> None:
    result = replay([*log[:50], *log[52:]])
    assert (result.identical, result.decisions) == (False, 50)
    assert result.first_difference == "decisions 51 to 52 are missing in the log"


def test_an_entry_that_cannot_be_read_is_named(log: list[QueueDecision]) -> None:
    index = next(i for i, message in enumerate(log) if message.input == QueueDecision.CHUNK)
    broken = deserialize_message(serialize_message(log[index]), QueueDecision)
    broken.chunk = []
    assert "CHUNK without its message" in replay([*log[:index], broken]).first_difference
    broken.input = 77
    assert "cannot be read" in replay([*log[:index], broken]).first_difference


def test_settings_survive_as_parameters() -> None:
    for settings in (
        QueueSettings(),
        CHOSEN,
        QueueSettings(task="größer", cameras=(), rename_from=("a",), rename_to=("b",)),
    ):
        assert settings_from(settings_parameters(settings)) == settings
