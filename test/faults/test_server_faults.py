"""Rows about the policy server: dead, restarted, slow, failing."""

import time

import pytest
from fault_rig.restart import measure_restart
from fault_rig.rows import FaultTable
from fault_rig.system import TICK_S, System
from so101_msgs.msg import ActionChunk, PolicyStatus, QueueDecision, QueueStatus

pytestmark = pytest.mark.faults

TICK_ERROR_S = 0.005  # row 22: how late a tick may be
SEAM_RAD = 0.05  # max_seam_rad
WAVE_RAD = 0.012  # what the policy's own motion is from one tick to the next


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


def test_a_restarted_server_is_served_again_without_touching_the_robot(system: System, table: FaultTable) -> None:
    with table.case(3, "server restarted") as case:
        measure_restart(system, case)


def test_an_inference_of_two_seconds_is_waited_out_and_its_past_rows_are_trimmed(
    system: System, table: FaultTable
) -> None:
    with table.case(4, "one inference takes 2 s") as case:
        began_ns = time.monotonic_ns()

        def spike() -> None:
            system.mood(delay_s=2.0)
            since = time.monotonic_ns()
            system.wait(lambda: system.watcher.requests.since(since), "a question")
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
            since = time.monotonic_ns()
            return system.wait(lambda: system.watcher.requests.since(since), "a question")[0][0]

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
