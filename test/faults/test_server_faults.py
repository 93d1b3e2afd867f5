# SPDX-License-Identifier: Apache-2.0
"""Rows about the policy server: dead, restarted, slow, failing."""

import time
from collections.abc import Iterator

import pytest
from fault_rig.processes import SystemProcess
from fault_rig.restart import measure_restart
from fault_rig.rows import FaultTable
from fault_rig.system import TICK_S, System
from rclpy.parameter import Parameter
from so101_msgs.msg import ActionChunk, PolicyStatus, QueueDecision, QueueStatus

pytestmark = pytest.mark.faults

TICK_ERROR_S = 0.005  # row 22: how late a tick may be
SEAM_RAD = 0.05  # max_seam_rad
WAVE_RAD = 0.012  # what the policy's own motion is from one tick to the next
# s after a chunk: the next request is sent 0.83 s after the one before, and must still find the killed server bound,
# which is lost 0.7 s after its end at the earliest (server_lost_s less a heartbeat).
KILLED_AFTER_S = (0.35, 0.4, 0.45, 0.5, 0.55)
KILLS = len(KILLED_AFTER_S)
KNOWN_S = 3.0  # until the queue knows how long a server takes: its first chunk is warm-up


def wait_for_chunk(system: System) -> None:
    """Until the next chunk is in the queue."""
    since_ns = time.monotonic_ns()
    system.wait(lambda: system.watcher.first_verdict(since_ns, QueueDecision.ACCEPTED), "a chunk is accepted")


def wait_for_running(system: System, since_ns: int) -> None:
    """Until rows are executed again, without anybody calling `start`."""
    system.wait(
        lambda: system.watcher.first_tick(since_ns, lambda one: one.state == QueueStatus.RUNNING), "rows are executed"
    )


@pytest.mark.parametrize("how", ["kill -9", "SIGSTOP"])
def test_a_server_that_dies_or_hangs_is_noticed_played_out_and_taken_up_again(
    system: System, table: FaultTable, how: str
) -> None:
    with table.case(2, f"server {how}") as case:
        began_ns = time.monotonic_ns()
        lost_ns = case.run(
            system,
            system.server.kill if how == "kill -9" else system.server.pause,
            lambda since: system.watcher.first_tick(since, lambda one: "server lost: no heartbeat" in one.cause),
            "the queue's status names the lost heartbeat",
            1.0,
        )
        held_ns = system.wait(
            lambda: system.watcher.first_tick(lost_ns, lambda one: one.state == QueueStatus.HOLDING), "the queue holds"
        )
        assert held_ns - system.end_of_queue(0, held_ns) < TICK_ERROR_S * 1e9
        time.sleep(0.5)
        assert not system.motion.is_moving()
        again_ns = time.monotonic_ns()
        if how == "kill -9":
            system.server.start()
        else:
            system.server.resume()
        wait_for_running(system, again_ns)
        time.sleep(0.5)
        assert system.steps_of_setpoint(began_ns) < SEAM_RAD + WAVE_RAD
        assert system.motion.violations(system.bounds(), began_ns) == []


class Servers:
    """Two policy servers, of which the queue obeys one."""

    def __init__(self, system: System, processes: dict[str, SystemProcess]) -> None:
        self.system, self.processes = system, processes

    def wait_for_both(self, since_ns: int) -> None:
        """Until both are READY."""
        ready = self.system.watcher.servers
        self.system.wait(
            lambda: (
                {one.server_name for _, one in ready.since(since_ns) if one.state == PolicyStatus.READY}
                >= set(self.processes)
            ),
            "both policy servers are ready",
            60.0,
        )

    def bound(self) -> SystemProcess:
        """The server that the queue obeys now."""
        bound_id = self.system.watcher.queue.newest.server_id
        heard = self.system.watcher.servers.since(0)
        name = next(one.server_name for _, one in reversed(heard) if one.server_id == bound_id)
        return self.processes[name]


@pytest.fixture
def two_servers(system: System) -> Iterator[Servers]:
    """The system with a second policy server of the same policy, which the queue may turn to."""
    second = system.make_server("second")
    second.start()
    servers = Servers(system, {"policy_server": system.server, "second": second})
    try:
        servers.wait_for_both(time.monotonic_ns())
        yield servers
    finally:
        system.set_queue_parameter(Parameter("hedge", value=False))
        second.end()


def test_a_second_server_takes_over_from_one_that_is_killed(two_servers: Servers, table: FaultTable) -> None:
    system = two_servers.system
    with table.case(2, "server kill -9, a second one is ready") as case:
        began_ns = time.monotonic_ns()
        killed, first_id = two_servers.bound(), system.watcher.queue.newest.server_id
        case.run(
            system,
            killed.kill,
            lambda since: next(
                (
                    at
                    for at, one in system.watcher.decisions.since(since)
                    if one.verdict == QueueDecision.ACCEPTED and any(c.server_id != first_id for c in one.chunk)
                ),
                None,
            ),
            "a chunk of the second is in the queue",
            1.5,
        )
        killed.start()
        two_servers.wait_for_both(time.monotonic_ns())
        assert system.steps_of_setpoint(began_ns) < SEAM_RAD + WAVE_RAD
        assert system.motion.violations(system.bounds(), began_ns) == []


def test_no_tick_starves_where_a_second_server_is_asked_in_place_of_a_killed_one(
    two_servers: Servers, table: FaultTable
) -> None:
    system = two_servers.system
    with table.case(2, f"server kill -9, {KILLS} times, hedged") as case:
        system.set_queue_parameter(Parameter("hedge", value=True))
        began_ns = time.monotonic_ns()
        ticks = starved = 0
        for after_s in KILLED_AFTER_S:
            time.sleep(KNOWN_S)
            wait_for_chunk(system)
            time.sleep(after_s)
            since_ns = time.monotonic_ns()
            killed = two_servers.bound()
            killed.kill()
            time.sleep(2.0)
            more = system.starved_since(since_ns)
            ticks, starved = ticks + more[0], starved + more[1]
            killed.start()
            two_servers.wait_for_both(time.monotonic_ns())
        assert ticks > KILLS * 50
        assert system.watcher.queue.newest.hedged >= KILLS
        case.measured("no tick finds the queue empty: starved time", starved * TICK_S, 0.001, "row 2 without hedging")
        assert system.steps_of_setpoint(began_ns) < SEAM_RAD + WAVE_RAD
        assert system.motion.violations(system.bounds(), began_ns) == []


def test_a_restarted_server_is_served_again_without_touching_the_robot(system: System, table: FaultTable) -> None:
    with table.case(3, "server restarted") as case:
        measure_restart(system, case)


@pytest.fixture
def several(system: System) -> Iterator[System]:
    """The system with up to four requests under way, which a server that takes a while has."""
    system.set_queue_parameter(Parameter("max_requests_in_flight", value=4))
    system.mood(delay_s=0.1)
    began_ns = time.monotonic_ns()
    heard = system.watcher.queue
    system.wait(lambda: any(one.outstanding for _, one in heard.since(began_ns)), "a request is under way")
    yield system
    if system.queue.is_running:
        system.set_queue_parameter(Parameter("max_requests_in_flight", value=1))


def test_a_restarted_server_is_served_again_with_several_requests_under_way(several: System, table: FaultTable) -> None:
    with table.case(3, "server restarted, 4 requests in flight") as case:
        measure_restart(several, case)
        began_ns = time.monotonic_ns()
        time.sleep(2.0)
        sent = several.watcher.requests.since(began_ns)
        assert 6 <= len({one.request_id for _, one in sent}) <= 14  # one every five steps: 12 in 2 s
        assert several.steps_of_setpoint(began_ns) < SEAM_RAD + WAVE_RAD


def test_an_inference_of_two_seconds_holds_up_several_requests_and_the_newest_is_next(
    several: System, table: FaultTable
) -> None:
    with table.case(4, "one inference takes 2 s, 4 requests in flight") as case:
        began_ns = time.monotonic_ns()

        def spike() -> None:
            several.mood(delay_s=2.0)
            time.sleep(0.5)  # requests come every fifth step: one is taken within that time
            several.mood(delay_s=0.1)

        held_ns = case.run(
            several,
            spike,
            lambda since: several.watcher.first_tick(since, lambda one: one.state == QueueStatus.STARVED),
            "STARVED, the setpoint is held, after the queue's end",
            TICK_S,
            counted_from=several.end_of_queue,
        )
        wait_for_running(several, held_ns)
        assert several.steps_of_setpoint(began_ns) < SEAM_RAD + WAVE_RAD
        assert several.motion.violations(several.bounds(), began_ns) == []


def test_an_inference_of_two_seconds_is_waited_out_and_its_past_rows_are_trimmed(
    system: System, table: FaultTable
) -> None:
    with table.case(4, "one inference takes 2 s") as case:
        began_ns = time.monotonic_ns()

        def spike() -> None:
            system.mood(delay_s=2.0)
            system.next_question()
            time.sleep(0.2)
            system.mood()

        held_ns = case.run(
            system,
            spike,
            lambda since: system.watcher.first_tick(since, lambda one: one.state == QueueStatus.STARVED),
            "STARVED, the setpoint is held, after the queue's end",
            TICK_S,
            counted_from=system.end_of_queue,
        )
        wait_for_running(system, held_ns)
        late = next(one for _, one in system.watcher.decisions.since(held_ns) if one.verdict == QueueDecision.ACCEPTED)
        assert late.rows_trimmed >= 10
        time.sleep(0.5)
        assert system.steps_of_setpoint(began_ns) < SEAM_RAD + WAVE_RAD
        assert system.motion.violations(system.bounds(), began_ns) == []


def test_an_inference_that_never_returns_ends_the_server_for_its_respawn(system: System, table: FaultTable) -> None:
    timeout_s, heartbeat_s = 2.0, 0.2
    stuck = system.make_server("policy_server_stuck", f"inference_timeout_s:={timeout_s}")
    with table.case(4, "an inference that never returns") as case, system.in_place_of_server(stuck):
        stuck.start()
        system.recover()

        def stick() -> int:
            system.mood(delay_s=3600)
            return system.next_question()[0]

        case.run(
            system,
            stick,
            lambda since: system.watcher.servers.first(since, lambda one: one.state == PolicyStatus.ERROR),
            f"the server says ERROR (inference_timeout_s = {timeout_s:g}) and exits",
            timeout_s + heartbeat_s + 2 * TICK_S,
        )
        end = time.monotonic() + 3.0
        while stuck.is_running and time.monotonic() < end:
            time.sleep(0.01)
        assert stuck.exit_code == 1
        assert "has not returned within" in stuck.said
        assert "Traceback" not in stuck.said
        assert "inference" in system.watcher.queue.newest.cause or "goodbye" in system.watcher.queue.newest.cause


@pytest.mark.parametrize(
    ("fault", "mood", "reason"),
    [
        ("policy raises", "error", "the policy has a defect"),
        ("policy out of memory", "memory", "out of memory"),
        ("policy gives values that are not finite", "nan", "not finite"),
    ],
)
def test_a_policy_that_fails_is_an_explicit_answer_that_the_robot_shows(
    system: System, table: FaultTable, fault: str, mood: str, reason: str
) -> None:
    with table.case(5, fault) as case:
        began_ns = time.monotonic_ns()

        def answered(_began_ns: int, at_ns: int) -> int:
            return system.watcher.first_verdict(began_ns, QueueDecision.ERROR_ANSWER)

        case.run(
            system,
            lambda: system.mood(raises=mood),
            lambda since: system.watcher.first_tick(
                since, lambda one: "POLICY_ERROR" in one.cause and reason in one.cause
            ),
            "the queue shows the reason, after receipt of the answer",
            TICK_S + TICK_ERROR_S,
            counted_from=answered,
        )
        system.wait(
            lambda: system.watcher.first_tick(began_ns, lambda one: one.state == QueueStatus.HOLDING), "the queue holds"
        )
        again_ns = time.monotonic_ns()
        system.mood()
        wait_for_running(system, again_ns)
        errors = [one for _, one in system.watcher.chunks.since(began_ns) if one.status == ActionChunk.POLICY_ERROR]
        assert all(one.rows == 0 for one in errors)
        assert system.motion.violations(system.bounds(), began_ns) == []


def test_a_model_that_is_missing_is_a_state_with_the_reason_and_the_server_stays(
    system: System, table: FaultTable
) -> None:
    """The executable as users start it, with a folder that is not there."""
    hopeless = system.real_server("policy_server_hopeless", "/nonexistent/checkpoint")
    with table.case(5, "model missing") as case:
        began_ns = time.monotonic_ns()

        def heard(_began_ns: int, at_ns: int) -> int:
            return system.watcher.decisions.first(
                began_ns, lambda one: bool(one.policy_status) and one.policy_status[0].state == PolicyStatus.ERROR
            )

        with system.in_place_of_server(hopeless):
            case.run(
                system,
                hopeless.start,
                lambda since: system.watcher.first_tick(since, lambda one: "/nonexistent/checkpoint" in one.cause),
                "the queue shows the reason, after receipt of the status",
                TICK_S + TICK_ERROR_S,
                counted_from=heard,
            )
            time.sleep(0.3)
            assert hopeless.is_running
            assert "Traceback" not in hopeless.said
            assert not system.motion.is_moving()
