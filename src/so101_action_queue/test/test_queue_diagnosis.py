# SPDX-License-Identifier: Apache-2.0
"""What the queue says on /diagnostics."""

import math
from dataclasses import replace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from hypothesis import given, settings
from hypothesis import strategies as st
from so101_action_queue.core import causes
from so101_action_queue.core.decisions import CoreStatus, QueueCounters
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.virtual_session import VirtualSession
from so101_action_queue.ros.diagnosis import BY_NAME, CAUSES, QueueLatency, diagnose, entries
from so101_msgs.msg import ActionChunk
from so101_node.diagnostics import Cause, Level
from so101_node.protocol import JOINT_NAMES as JOINTS
from so101_node.protocol import ChunkStatus, DriverState, PolicyState, QueueState


def session() -> VirtualSession:
    made = VirtualSession(QueueSettings(), lambda request: np.zeros((50, len(JOINTS))))
    made.start()
    made.run(1.0)
    return made


def cause_of(running: VirtualSession) -> Cause:
    core = running.journal.core
    return diagnose(core.state, core.cause_name)


def silent_server(running: VirtualSession) -> None:
    running.server_speaks = False


def leaving_server(running: VirtualSession) -> None:
    running.server = replace(running.server, leaving=True)


def failed_server(running: VirtualSession) -> None:
    running.server = replace(running.server, state=PolicyState.ERROR, message="Failed to load policy: no such folder")


def latched_driver(running: VirtualSession) -> None:
    running.driver = replace(running.driver, state=DriverState.LATCHED, cause="STALL")


def new_driver(running: VirtualSession) -> None:
    running.driver = replace(running.driver, driver_id=8)


def silent_driver(running: VirtualSession) -> None:
    running.driver_speaks = False


@pytest.mark.parametrize(
    ("happens", "name"),
    [
        (lambda running: None, "RUNNING"),
        (silent_server, "SERVER_LOST"),
        (leaving_server, "SERVER_LEFT"),
        (failed_server, "SERVER_NOT_READY"),
        (latched_driver, "DRIVER_NOT_ENGAGED"),
        (new_driver, "DRIVER_RESTARTED"),
        (silent_driver, "DRIVER_LOST"),
        (lambda running: running.journal.stop(running.now_ns), "STOP_REQUESTED"),
        (lambda running: running.journal.pause(running.now_ns), "PAUSED"),
    ],
)
def test_what_happens_to_the_core_has_a_name(happens, name: str) -> None:
    running = session()
    happens(running)
    running.run(4.0)
    assert cause_of(running).name == name


ERROR_ANSWERS = {
    ChunkStatus.NOT_READY: causes.SERVER_NOT_READY,
    ChunkStatus.OBSERVATION_INCOMPLETE: causes.OBSERVATION_INCOMPLETE,
    ChunkStatus.SPEC_REJECTED: causes.SPEC_REJECTED,
    ChunkStatus.BAD_REQUEST: causes.BAD_REQUEST,
    ChunkStatus.POLICY_ERROR: causes.POLICY_ERROR,
    9: causes.UNNAMED,
}
SENTENCES = (
    "CUDA driver version is insufficient for CUDA runtime version", "driver_side", "joint_limits", "said goodbye",
    "server lost", "spec rejected: fps", "paused", "stop requested", "SPEC_REJECTED", "no policy server heard",
    "waiting for a chunk", "inference_timeout_s", "",
)  # fmt: skip
foreign_text = st.one_of(st.sampled_from(SENTENCES), st.text(max_size=40))


@pytest.mark.parametrize("status", list(ERROR_ANSWERS))
@given(words=foreign_text, name=foreign_text)
@settings(max_examples=15)
def test_the_words_and_the_name_of_a_server_change_no_cause_of_an_error_chunk(
    status: int, words: str, name: str
) -> None:
    running = session()
    running.server = replace(running.server, server_name=name)
    good = running.chunk
    running.chunk = lambda *request, **more: replace(
        good(*request, **more), status=status, message=words, server_name=name
    )
    running.run(3.0)
    assert running.journal.core.state is QueueState.HOLDING
    assert running.journal.core.cause_name == ERROR_ANSWERS[status]


@pytest.mark.parametrize(
    ("state", "cause", "expected"),
    [
        (PolicyState.ERROR, "LOAD_FAILED", causes.SERVER_NOT_READY),
        (PolicyState.ERROR, "SPEC_REJECTED", causes.SPEC_REJECTED),
        (PolicyState.LOADING, "LOADING", causes.SERVER_NOT_READY),
        (PolicyState.ERROR, "", causes.SERVER_NOT_READY),
    ],
)
@given(words=foreign_text, name=foreign_text)
@settings(max_examples=15)
def test_the_words_and_the_name_of_a_server_that_is_not_ready_change_no_cause(
    state: PolicyState, cause: str, expected: str, words: str, name: str
) -> None:
    running = session()
    running.server = replace(running.server, server_name=name, state=state, cause=cause, message=words)
    running.run(3.0)
    assert running.journal.core.cause_name == expected


@given(words=foreign_text, name=foreign_text)
@settings(max_examples=15)
def test_the_words_of_the_driver_and_the_names_of_joints_change_no_cause(words: str, name: str) -> None:
    running = session()
    running.driver = replace(running.driver, state=DriverState.LATCHED, cause="STALL", message=f"{words} {name}")
    running.run(0.5)
    assert (running.journal.core.state, running.journal.core.cause_name) == (
        QueueState.STOPPED,
        causes.DRIVER_NOT_ENGAGED,
    )


def test_a_server_that_stopped_the_queue_is_no_remedy_that_goes_on_by_itself() -> None:
    stopped, held = (diagnose(state, causes.SERVER_LOST) for state in (QueueState.STOPPED, QueueState.HOLDING))
    assert held.remedy.endswith("the queue resumes automatically")
    assert stopped.remedy == "look at the network and the server, then call action_queue/start"
    assert (held.level, stopped.level) == (Level.WARN, Level.ERROR)


def test_every_name_has_a_cause() -> None:
    names = {value for key, value in vars(causes).items() if key.isupper() and isinstance(value, str)}
    assert names == set(BY_NAME) - {"SECOND_SERVER", "FOREIGN_CHUNKS", "ONE_SERVER"}


def test_every_cause_that_is_no_good_has_a_remedy_and_names_are_used_once() -> None:
    assert len({cause.name for cause in CAUSES}) == len(CAUSES)
    for cause in CAUSES:
        assert cause.level is Level.OK or cause.remedy, cause.name


@pytest.mark.parametrize(
    ("state", "words", "name", "level"),
    [
        (QueueState.RUNNING, "", "RUNNING", DiagnosticStatus.OK),
        (QueueState.STARVED, "waiting for a chunk", "STARVED", DiagnosticStatus.WARN),
        (QueueState.STOPPED, "stop requested", "STOP_REQUESTED", DiagnosticStatus.OK),
        (QueueState.STOPPED, "the driver was restarted; `start` needed", "DRIVER_RESTARTED", DiagnosticStatus.ERROR),
        (QueueState.STOPPED, "server lost: no heartbeat for 0.9 s (on_server_lost: stop); `start` needed",
         "SERVER_LOST", DiagnosticStatus.ERROR),
    ],
)  # fmt: skip
def test_entries_show_state_cause_counters_and_a_second_server(
    state: QueueState, words: str, name: str, level: bytes
) -> None:
    status = CoreStatus(
        state, words, name, 1, 2, 3, 4, 5, 6, 0.5, 7, 0.1, 8, 0.2, 0.3, 0.4, math.nan, QueueCounters(accepted=9)
    )
    only, servers = entries("arm/action_queue", status, [], "", {})
    assert (servers.name, servers.level) == ("arm/action_queue: servers", DiagnosticStatus.OK)
    assert (only.level, only.name) == (level, "arm/action_queue: queue")
    assert words in only.message
    pairs = {pair.key: pair.value for pair in only.values}
    assert (pairs["accepted"], pairs["state"]) == ("9", state.name)
    _, alarm = entries("arm/action_queue", status, ["intruder"], "2 nodes publish action_chunk", {})
    assert alarm.level == DiagnosticStatus.WARN
    assert alarm.message.startswith("SECOND_SERVER: intruder")
    _, alarm = entries("arm/action_queue", status, [], "2 nodes publish action_chunk", {})
    assert alarm.message == "FOREIGN_CHUNKS: 2 nodes publish action_chunk"


def test_the_latency_of_a_chunk_is_split_and_half_of_the_network_is_called_an_estimate() -> None:
    latency = QueueLatency()
    message = ActionChunk(request_id=1, inference=0.030, mailbox_wait=0.001, wait_frames=0.010, server_total=0.050)
    latency.chunk(7, 1_000_000_000, 20, 0.090, message)
    latency.tick(7, 1_020_000_000, 20)  # nothing executed yet
    latency.tick(7, 1_033_000_000, 21)
    values = latency.values()
    assert values["latency_inference_ms"] == "p50 30.0, p95 30.0"
    assert values["latency_network_both_ways_ms"] == "p50 40.0, p95 40.0"
    assert values["latency_network_one_way_estimate_ms"].startswith("p50 20.0 (half")
    assert values["latency_queue_ms"] == "p50 33.0, p95 33.0"
    assert "latency_frame_age_ms" not in values  # not known here
