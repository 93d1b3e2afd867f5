# SPDX-License-Identifier: Apache-2.0
"""The queue as its own process over DDS: chunks in, commands out."""

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from so101_action_queue.record.replay import replay
from so101_action_queue.testing.queue_world import FPS, HOME, JOINTS, QueueProcess, QueueWorld, follow_the_steps
from so101_msgs.msg import ActionChunk, ObservationRequest, QueueDecision, QueueStatus
from so101_node.topics import qos

Start = Callable[..., QueueProcess]


@pytest.fixture(scope="module")
def only_world() -> Iterator[QueueWorld]:
    node = QueueWorld()
    yield node
    node.close()


@pytest.fixture
def world(only_world: QueueWorld) -> QueueWorld:
    """The world, in good order."""
    only_world.reset()
    return only_world


@pytest.fixture
def queue() -> Iterator[Start]:
    """Start a queue of one's own, with parameters."""
    started: list[QueueProcess] = []

    def start(namespace: str = "/", *remappings: str, **parameters: Any) -> QueueProcess:
        started.append(QueueProcess(namespace, *remappings, **parameters))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture(scope="module")
def only_queue() -> Iterator[QueueProcess]:
    process = QueueProcess(task="wave")
    yield process
    process.kill()


@pytest.fixture
def running(world: QueueWorld, only_queue: QueueProcess) -> QueueProcess:
    """A queue that several tests share, since a process takes a second to start; it is started again for each."""
    assert only_queue.is_running
    time.sleep(0.3)  # what the reset world says must have come before it is started
    world.set_parameter("aggregate_fn_name", "weighted_average")
    world.start()
    return only_queue


def errors_in(output: str) -> list[str]:
    return [line for line in output.splitlines() if "error" in line.lower()]


def test_chunks_come_in_commands_go_out_and_the_log_replays_bit_for_bit(
    world: QueueWorld, running: QueueProcess
) -> None:
    assert world.wait(lambda: world.statuses and world.statuses[-1].accepted >= 4), world.summary()
    assert world.call("stop").success
    stopped = world.wait_for_state(QueueStatus.STOPPED)
    assert stopped.cause == "stop requested"
    assert world.wait(lambda: world.decisions[-1].state == QueueStatus.STOPPED)
    log = [decision for decision in world.decisions if decision.session == stopped.session]

    setpoints = np.array([decision.setpoint for decision in log if decision.setpoint])
    np.testing.assert_array_equal(setpoints[0], HOME)  # the driver's goal, held, before anything else
    begin = next(index for index, row in enumerate(setpoints) if abs(row[0] - HOME[0]) > 1e-3) - 1
    planned = np.array(HOME) + 0.2 * np.sin(np.arange(60) / 20)[:, np.newaxis]
    np.testing.assert_allclose(setpoints[begin : begin + 60], planned, atol=1e-6)  # every step once, in order
    decided = {tuple(row) for row in setpoints.tolist()}
    assert len(world.commands) > 0.5 * len(setpoints)
    assert all(command.name == JOINTS and tuple(command.position) in decided for command in world.commands)

    first = world.requests[0]
    assert (first.must_go, first.request_id, first.step, first.task) == (True, 1, 0, "wave")
    np.testing.assert_array_equal(first.positions, HOME)
    ids = [request.request_id for request in world.requests]
    assert ids.count(1) == 2  # sent twice, one id
    assert sorted(set(ids)) == list(range(1, len(set(ids)) + 1))

    session = [status for status in world.statuses if status.session == stopped.session]
    assert all(0 <= status.length <= 50 for status in session)
    assert [status.step for status in session] == sorted(status.step for status in session)
    last = session[-1]
    assert (last.rejected_foreign, last.rejected_shape, last.errors, last.stale) == (0, 0, 0, 0)
    assert last.duplicate >= last.accepted - 1  # each chunk's second copy

    assert world.plans[0].joint_names == JOINTS
    assert 10 <= len(world.plans[-1].points) <= 50
    result = replay(log)
    assert result.first_difference == ""
    assert result.decisions == len(log) > 60


def test_each_of_lerobots_aggregation_functions_acts_on_the_overlap_and_can_be_chosen_at_run_time(
    world: QueueWorld, running: QueueProcess
) -> None:
    world.policy = lambda request: np.full((50, 6), 0.1 if request.request_id == 1 else 0.3)

    def accepted() -> list[int]:
        return [index for index, one in enumerate(world.decisions) if one.verdict == QueueDecision.ACCEPTED]

    world.set_parameter("max_seam_rad", 3.2)
    for name, expected in (("weighted_average", 0.24), ("latest_only", 0.3), ("average", 0.2), ("conservative", 0.16)):
        assert world.set_parameter("aggregate_fn_name", name) == (True, "")
        world.start()
        assert world.wait(lambda: len(accepted()) >= 2), world.summary()
        index = accepted()[1]
        assert world.wait(lambda at=index: any(one.setpoint for one in world.decisions[at:]))
        tick = next(one for one in world.decisions[index:] if one.setpoint)
        np.testing.assert_allclose(tick.setpoint, [expected] * 6, atol=1e-6, err_msg=name)
    world.set_parameter("max_seam_rad", 0.05)


def test_an_empty_queue_holds_the_setpoint_and_asks_with_must_go(world: QueueWorld, running: QueueProcess) -> None:
    world.set_parameter("request_timeout_s", 0.5)
    world.wait_for_state(QueueStatus.RUNNING)
    world.delay_s = None
    world.wait_for_state(QueueStatus.STARVED)
    world.forget()
    assert world.wait(lambda: len(world.commands) > 20 and world.requests and world.statuses)
    assert len({tuple(command.position) for command in world.commands[2:]}) == 1
    assert world.requests[-1].must_go
    assert world.statuses[-1].starved_ticks > 0
    held = world.commands[-1].position
    world.delay_s = 0.05
    world.wait_for_state(QueueStatus.RUNNING)
    assert world.wait(lambda: world.commands[-1].position != held)
    setpoints = [decision.setpoint for decision in world.decisions if decision.setpoint]
    moves = np.abs(np.diff(setpoints, axis=0))
    assert moves.max() <= 0.2 / 20 + 0.05 + 1e-6  # the plan's own speed and the seam


def test_a_lost_server_is_named_and_a_restarted_one_is_taken_up(world: QueueWorld, running: QueueProcess) -> None:
    world.wait_for_state(QueueStatus.RUNNING)
    world.set_parameter("server_lost_s", 0.9)
    world.server_speaks, world.delay_s = False, None
    holding = world.wait_for_state(QueueStatus.HOLDING)
    assert holding.cause == "server lost: no heartbeat for 0.9 s"
    world.server_speaks, world.delay_s, world.server_id = True, 0.05, 100
    assert world.wait_for_state(QueueStatus.RUNNING).server_id == 100
    world.set_parameter("server_lost_s", 8.0)


def test_a_new_driver_stops_the_queue_until_start(world: QueueWorld, running: QueueProcess) -> None:
    world.wait_for_state(QueueStatus.RUNNING)
    world.driver_id = 8
    stopped = world.wait_for_state(QueueStatus.STOPPED)
    assert "the driver was restarted" in stopped.cause
    time.sleep(0.2)
    world.forget()
    time.sleep(0.3)
    assert world.commands == []
    world.start()
    world.wait_for_state(QueueStatus.RUNNING)


def test_pause_holds_and_a_new_task_reaches_the_server(world: QueueWorld, running: QueueProcess) -> None:
    world.wait_for_state(QueueStatus.RUNNING)
    spec = world.specs[-1]
    assert world.set_parameter("task", "put it back") == (True, "")
    assert world.wait(lambda: world.requests[-1].task == "put it back")
    assert world.wait(lambda: world.specs[-1].task == "put it back")
    assert world.specs[-1].spec_id == spec.spec_id
    assert world.call("pause").success
    world.wait_for_state(QueueStatus.HOLDING)
    world.forget()
    assert world.wait(lambda: len(world.commands) > 10)
    assert len({tuple(command.position) for command in world.commands[2:]}) == 1
    accepted, reason = world.set_parameter("chunk_size_threshold", 1.5)
    assert not accepted
    assert "chunk_size_threshold" in reason


def test_ticks_keep_to_their_grid(world: QueueWorld, running: QueueProcess) -> None:
    world.wait_for_state(QueueStatus.RUNNING)
    world.forget()
    assert world.wait(lambda: len(world.statuses) > 60)
    first, last = world.statuses[0], world.statuses[-1]
    periods = (last.tick_ns - first.tick_ns) * FPS / 1e9
    served = last.tick - first.tick + last.deadline_misses - first.deadline_misses
    slack = (abs(last.tick_error) + abs(first.tick_error)) * FPS
    assert served == pytest.approx(periods, abs=slack + 1e-3)  # each deadline served or counted: no drift


def test_deactivated_it_is_silent_and_activated_again_it_knows_all_it_needs(
    world: QueueWorld, running: QueueProcess
) -> None:
    world.wait_for_state(QueueStatus.RUNNING)
    assert world.change_state(Transition.TRANSITION_DEACTIVATE)
    time.sleep(0.3)
    world.forget()
    time.sleep(0.5)
    assert (world.commands, world.statuses) == ([], [])
    assert world.call("start").message == "not active: activate it: ros2 lifecycle set /action_queue activate"
    assert world.change_state(Transition.TRANSITION_CLEANUP)
    assert world.change_state(Transition.TRANSITION_CONFIGURE)
    assert world.change_state(Transition.TRANSITION_ACTIVATE)
    world.wait_for_state(QueueStatus.IDLE)
    assert world.wait(lambda: world.call("start").success)  # with limits that were latched all the while
    world.wait_for_state(QueueStatus.RUNNING)


def test_the_shared_queue_has_met_no_error_of_its_own_and_ends_cleanly(
    world: QueueWorld, running: QueueProcess
) -> None:
    code, output, _ = running.leave()
    assert code == 0
    assert "Connected to policy server" in output
    assert "Error receiving actions: server lost" in output
    assert "Traceback" not in output
    assert "internal error" not in output


def test_shut_down_while_it_moves_it_commands_nothing_more(world: QueueWorld, queue: Start) -> None:
    queue(start_on_activate="true")
    world.wait_for_state(QueueStatus.RUNNING)
    assert world.change_state(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    time.sleep(0.3)
    world.forget()
    time.sleep(0.5)
    assert (world.commands, world.statuses) == ([], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_while_it_moves(world: QueueWorld, queue: Start, number: int) -> None:
    process = queue(start_on_activate="true")
    world.wait_for_state(QueueStatus.RUNNING)
    code, output, seconds = process.leave(number)
    assert code == 0
    assert seconds < 10.0  # 2 s on a machine that is not busy
    assert "Traceback" not in output
    time.sleep(0.2)
    world.forget()
    time.sleep(0.3)
    assert world.commands == []


def test_without_a_server_it_ends_with_one_line_and_no_command(queue: Start) -> None:
    world = QueueWorld("/forsaken", server_speaks=False)
    try:
        code, output = queue("/forsaken", connect_timeout_s=1.5, start_on_activate="true").finish()
        assert code == 1
        (line,) = errors_in(output)
        assert line.startswith("[action_queue] error: Failed to connect to policy server:")
        assert "connect_timeout_s" in line
        assert world.commands == []
    finally:
        world.close()


def test_start_without_a_driver_is_refused_with_the_reason_in_a_namespace_too(queue: Start) -> None:
    alone = QueueWorld("/alone", driver_speaks=False)
    try:
        queue("/alone")
        assert alone.wait(lambda: "no driver_status yet: is so101_driver running?" in alone.call("start").message)
        assert not alone.call("start").success
        assert alone.commands == []
        alone.driver_speaks = True
        alone.start()
        alone.wait_for_state(QueueStatus.RUNNING)
    finally:
        alone.close()


def test_start_with_a_server_that_has_no_policy_says_that_nothing_moves_yet_and_why(queue: Start) -> None:
    """`./so101 call start` said "ok: started" of a pair without a policy, as if the arms would move."""
    bare = QueueWorld("/bare")
    bare.lacks = "no policy: name one in pretrained_name_or_path"
    try:
        queue("/bare")
        replies: list[str] = []

        def started() -> bool:
            reply = bare.call("start")
            replies.extend([reply.message] if reply.success else [])
            return bool(replies)

        assert bare.wait(started), replies
        waits = f"but nothing moves yet: server world is UNCONFIGURED: {bare.lacks}"
        assert replies[0] == f"started, {waits}"
        assert bare.call("start").message == f"already started, {waits}"
        bare.lacks = ""
        bare.wait_for_state(QueueStatus.RUNNING)
        assert bare.call("start").message == "already started"
    finally:
        bare.close()


def test_chunks_of_others_are_told_where_their_topic_is_remapped(queue: Start) -> None:
    world = QueueWorld("/twin")
    entries: dict[str, DiagnosticStatus] = {}

    def hear(array: DiagnosticArray) -> None:
        entries.update({entry.name: entry for entry in array.status if entry.name.startswith("twin/")})

    try:
        world.node.create_subscription(DiagnosticArray, "/diagnostics", hear, 10)
        servers = [world.node.create_publisher(ActionChunk, "/answers", qos.CHUNK_WRITER) for _ in range(2)]
        queue("/twin", "action_chunk:=/answers")
        name = "twin/action_queue: servers"
        told = "FOREIGN_CHUNKS: 2 nodes publish /answers"  # perhaps after another warning, while nodes find each other
        assert world.wait(lambda: name in entries and entries[name].message == told), entries
        assert entries[name].level == DiagnosticStatus.WARN
        world.node.destroy_publisher(servers.pop())
        assert world.wait(lambda: entries[name].level == DiagnosticStatus.OK), entries
    finally:
        world.close()


def test_a_bad_parameter_is_one_line_with_what_would_be_accepted(queue: Start) -> None:
    code, output = queue(aggregate_fn_name="magic").finish()
    assert code == 78
    assert len(output.strip().splitlines()) == 1
    assert "aggregate_fn_name = 'magic'" in output
    assert "weighted_average, latest_only, average, conservative" in output


def test_the_policy_of_these_tests_says_the_same_for_a_step_whenever_it_is_asked() -> None:
    early, late = follow_the_steps(ObservationRequest(step=0)), follow_the_steps(ObservationRequest(step=20))
    np.testing.assert_array_equal(early[20:], late[:30])
