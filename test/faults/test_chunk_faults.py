# SPDX-License-Identifier: Apache-2.0
"""Rows about chunks that must not be executed, and about nodes that should not be there."""

import array
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fault_rig.rows import FaultTable
from fault_rig.system import HOME_GRIPPER_FREE, TICK_S, NotInTimeError, System
from fault_rig.watcher import monotonic_of
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from so101_driver.ros.driver_parameters import DriverParameters
from so101_msgs.msg import DriverStatus, ObservationRequest, QueueDecision, QueueStatus
from so101_node.protocol import JOINT_NAMES

pytestmark = pytest.mark.faults

ROWS = 50
STATUS_S = 0.1
STEP_ROW = 15  # executed before the next question is answered
TRIES = 5  # a busy machine may take longer to set a parameter than the server to answer
BEGUN_S = 0.2  # a server that has not begun to infer gives up the question when the task changes
SEAMS = 5  # values that the driver limits in a few seconds of ordinary motion
SEAM_RAD, WAVE_RAD = 0.05, 0.012
HARDEST_GOALS_RAD_S2 = np.array(DriverParameters().max_joint_acceleration_rad_s2)


def spoiled(value: float, row: int = 10) -> array.array:
    """Rows that hold still, with one value of shoulder_pan."""
    rows = np.tile(np.array(HOME_GRIPPER_FREE, np.float32), (ROWS, 1))
    rows[row, 0] = value
    return array.array("f", rows.ravel().tolist())


def shifted(offset_rad: float) -> array.array:
    """Rows that hold still, shoulder_pan away from its home by an offset."""
    rows = np.tile(np.array(HOME_GRIPPER_FREE, np.float32), (ROWS, 1))
    rows[:, 0] += offset_rad
    return array.array("f", rows.ravel().tolist())


def stepping(offset_rad: float) -> array.array:
    """Rows that hold still and then go on an offset away: a step that the policy itself planned, so no seam."""
    rows = np.frombuffer(shifted(0.0), np.float32).reshape(ROWS, -1).copy()
    rows[STEP_ROW:, 0] += offset_rad
    return array.array("f", rows.ravel().tolist())


def newest_request(system: System) -> ObservationRequest:
    request = system.watcher.requests.newest
    assert request is not None
    return request


class Impostor:
    """Answers requests before the server does, which is made slow for that. `sent` are the times of its answers, ns."""

    def __init__(self, system: System, times: int, **changes: Any) -> None:
        self._system, self._left, self._changes = system, times, changes
        self._last_id = 0
        self.sent: list[int] = []

    def begin(self) -> None:
        """From now on; see Case.run."""
        self._system.mood(delay_s=0.3)
        self._last_id = newest_request(self._system).request_id  # its second copy may still come
        self._system.watcher.on_request = self._answer

    def _answer(self, request: ObservationRequest) -> None:
        if self._left and request.request_id > self._last_id:
            self._left -= 1
            self._last_id = request.request_id
            self.sent.append(self._system.answer(request, **self._changes))

    def first_sent(self, _began_ns: int, _at_ns: int) -> int:
        """When the first answer was published; see Case.run."""
        return self.sent[0]


@pytest.mark.parametrize(
    ("fault", "changes", "verdict"),
    [
        ("NaN in a chunk", {"positions": spoiled(float("nan"))}, QueueDecision.REJECTED_NOT_FINITE),
        ("infinity in a chunk", {"positions": spoiled(float("inf"))}, QueueDecision.REJECTED_NOT_FINITE),
        ("five joints in a chunk", {"joint_names": list(JOINT_NAMES[:5])}, QueueDecision.REJECTED_SHAPE),
        (
            "other joint names in a chunk",
            {"joint_names": ["hip", *JOINT_NAMES[1:]]},
            QueueDecision.REJECTED_SHAPE,
        ),
        ("rows that do not fit their number", {"rows": 49}, QueueDecision.REJECTED_SHAPE),
    ],
)
def test_a_malformed_chunk_is_dropped_whole_and_counted(
    system: System, table: FaultTable, fault: str, changes: dict[str, Any], verdict: int
) -> None:
    with table.case(6, fault) as case:
        began_ns = time.monotonic_ns()
        impostor = Impostor(system, 1, **changes)
        at_ns = case.run(
            system,
            impostor.begin,
            lambda since: system.watcher.first_verdict(since, verdict),
            "dropped whole and counted, after it was sent",
            TICK_S,
            counted_from=impostor.first_sent,
        )
        system.mood()
        time.sleep(0.3)
        status = system.watcher.queue.newest
        assert status.rejected_not_finite + status.rejected_shape >= 1
        dropped = next(one for at, one in system.watcher.decisions.since(at_ns) if one.verdict == verdict)
        assert dropped.reason
        assert np.isfinite([one.setpoint for _, one in system.watcher.ticks(began_ns) if one.setpoint]).all()
        assert system.steps_of_setpoint(began_ns) < SEAM_RAD + WAVE_RAD
        assert system.motion.violations(system.bounds(), began_ns) == []


def test_three_malformed_chunks_in_a_row_end_in_holding(system: System, table: FaultTable) -> None:
    with table.case(6, "three chunks with NaN in a row") as case:
        began_ns = time.monotonic_ns()
        impostor = Impostor(system, 3, positions=spoiled(float("nan")))

        def third(_began_ns: int, _at_ns: int) -> int:
            return impostor.sent[2]

        case.run(
            system,
            impostor.begin,
            lambda since: system.watcher.first_tick(
                since, lambda one: one.state == QueueStatus.HOLDING and "3 invalid chunks in a row" in one.cause
            ),
            "HOLDING, though rows were left, after the third was sent",
            2 * TICK_S,
            counted_from=third,
        )
        assert system.motion.violations(system.bounds(), began_ns) == []


def test_a_position_a_little_out_of_limits_is_clamped_by_the_queue(system: System, table: FaultTable) -> None:
    with table.case(7, "a row 0.3 rad beyond a limit") as case:
        began_ns = time.monotonic_ns()
        upper = system.watcher.limits.newest.upper[0]
        impostor = Impostor(system, 1, positions=spoiled(upper + 0.3, row=ROWS - 1))
        at_ns = case.run(
            system,
            impostor.begin,
            lambda since: system.watcher.decisions.first(since, lambda one: one.values_clamped > 0),
            "clamped and counted, after it was sent",
            TICK_S,
            counted_from=impostor.first_sent,
        )
        system.mood()
        time.sleep(1.0)
        setpoints = np.array([one.setpoint for _, one in system.watcher.ticks(at_ns) if one.setpoint])
        assert setpoints[:, 0].max() <= upper
        assert system.watcher.queue.newest.values_clamped >= 1
        assert system.motion.violations(system.bounds(), began_ns) == []


def test_a_step_of_one_radian_leaves_the_driver_as_a_motion_within_limits(system: System, table: FaultTable) -> None:
    with table.case(7, "a step of 1 rad from one row to the next") as case:
        began_ns = time.monotonic_ns()
        before = system.watcher.drivers.newest.values_limited
        impostor = Impostor(system, 1, positions=stepping(-1.0))  # away from the bin
        first_step_ns = []

        def first_large_step(_began_ns: int, at_ns: int) -> int:
            ticks = [(at, one.setpoint[0]) for at, one in system.watcher.ticks(began_ns) if one.setpoint]
            first_step_ns.append(next(later for (_, a), (later, b) in itertools.pairwise(ticks) if abs(b - a) > 0.3))
            return first_step_ns[0]

        case.run(
            system,
            impostor.begin,
            lambda since: system.watcher.drivers.first(since, lambda one: one.values_limited > before + SEAMS),
            "speed and acceleration limited by the driver and counted (status at 10 Hz)",
            2 * STATUS_S + SEAMS / 60,
            counted_from=first_large_step,
        )
        time.sleep(1.0)
        assert system.motion.travelled(began_ns)[0] > 0.5  # it did move
        # A full stop out of full speed: as hard as the driver's own limit lets goals brake.
        assert system.motion.violations(system.bounds(), began_ns, acceleration_rad_s2=HARDEST_GOALS_RAD_S2) == []


def test_a_position_ten_radians_away_drops_the_chunk(system: System, table: FaultTable) -> None:
    with table.case(7, "a row 10 rad away") as case:
        began_ns = time.monotonic_ns()
        impostor = Impostor(system, 1, positions=spoiled(10.0))
        case.run(
            system,
            impostor.begin,
            lambda since: system.watcher.first_verdict(since, QueueDecision.REJECTED_IMPLAUSIBLE),
            "the whole chunk dropped and counted, after it was sent",
            TICK_S,
            counted_from=impostor.first_sent,
        )
        assert system.motion.violations(system.bounds(), began_ns) == []


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        ("chunk of another session", lambda request: {"session": request.session + 1}),
        ("chunk of another server", lambda request: {"server_id": 12345}),
        ("chunk that was never asked for", lambda request: {"request_id": request.request_id + 1000}),
        ("chunk of another policy_spec", lambda request: {"spec_id": request.spec_id + 1}),
    ],
)
def test_a_foreign_chunk_is_dropped_and_counted(
    system: System, table: FaultTable, fault: str, changes: Callable[[ObservationRequest], dict[str, Any]]
) -> None:
    with table.case(8, fault) as case:
        began_ns = time.monotonic_ns()
        case.run(
            system,
            lambda: system.answer(newest_request(system), positions=shifted(0.5), **changes(newest_request(system))),
            lambda since: system.watcher.first_verdict(since, QueueDecision.REJECTED_FOREIGN),
            "dropped and counted, after it was sent",
            TICK_S,
        )
        time.sleep(0.3)
        assert system.watcher.queue.newest.rejected_foreign >= 1
        assert system.steps_of_setpoint(began_ns) < SEAM_RAD + WAVE_RAD
        assert system.motion.violations(system.bounds(), began_ns) == []


def test_a_third_copy_of_a_chunk_is_dropped_and_counted(system: System, table: FaultTable) -> None:
    """Every chunk is sent twice, so the second copy is no fault."""
    with table.case(8, "duplicate chunk") as case:
        began_ns = time.monotonic_ns()

        def third_copy(since: int) -> int | None:
            copies: dict[int, int] = {}
            for at, one in system.watcher.decisions.since(began_ns):
                if one.verdict == QueueDecision.DUPLICATE:
                    copies[one.chunk[0].request_id] = copies.get(one.chunk[0].request_id, 0) + 1
                    if copies[one.chunk[0].request_id] == 2 and at >= since:
                        return at
            return None

        def repeat() -> int:
            system.wait(lambda: system.watcher.queue.newest.outstanding_request_id == 0, "an answered question")
            return system.answer(newest_request(system), positions=shifted(0.5))

        case.run(system, repeat, third_copy, "dropped and counted, after it was sent", TICK_S)
        assert system.steps_of_setpoint(began_ns) < SEAM_RAD + WAVE_RAD


def test_an_answer_that_a_newer_one_has_overtaken_is_dropped(system: System, table: FaultTable) -> None:
    with table.case(8, "chunks in the wrong order") as case:
        began_ns = time.monotonic_ns()

        def first_heard_ns(request_id: int) -> int | None:
            """When the queue first heard an answer to this request."""
            return system.watcher.decisions.first(
                began_ns, lambda one: one.chunk and one.chunk[0].request_id == request_id
            )

        def overtake() -> None:
            """A new task asks at once; that question is answered before the one that the server works on."""
            system.mood(delay_s=0.6)
            for _ in range(TRIES):
                first = system.next_question()[1].request_id
                time.sleep(BEGUN_S)
                late_ns = answer_one_after(first)
                system.set_queue_parameter(Parameter("task", value=f"another {first}"))
                system.wait(lambda: late_ns, "the later question")  # noqa: B023
                if system.wait(lambda: first_heard_ns(first), "the first answer") > late_ns[0]:  # noqa: B023
                    return
            raise NotInTimeError(f"{TRIES} times the server answered before the queue took a new task")

        def answer_one_after(first: int) -> list[int]:
            """From now on; when it was answered, ns, is in the list as soon as it was."""
            late_ns: list[int] = []

            def answer(request: ObservationRequest) -> None:
                if request.request_id > first and not late_ns:
                    late_ns.append(system.answer(request))

            system.watcher.on_request = answer
            return late_ns

        def sent(_began_ns: int, at_ns: int) -> int:
            stale = next(one for _, one in system.watcher.decisions.since(at_ns) if one.verdict == QueueDecision.STALE)
            return monotonic_of(stale.chunk[0].header.stamp)

        case.run(
            system,
            overtake,
            lambda since: system.watcher.first_verdict(since, QueueDecision.STALE),
            "the overtaken one dropped and counted, after it was sent",
            TICK_S,
            counted_from=sent,
        )
        assert system.motion.violations(system.bounds(), began_ns) == []


def test_the_chunks_of_a_second_server_are_dropped(system: System, table: FaultTable) -> None:
    bound = system.watcher.queue.newest.server_id
    intruder = system.make_server("intruder")
    with table.case(19, "two servers on one robot") as case:
        began_ns = time.monotonic_ns()

        def first_chunk(_began_ns: int, at_ns: int) -> int:
            dropped = next(one for at, one in system.watcher.decisions.since(at_ns) if one.chunk)
            return monotonic_of(dropped.chunk[0].header.stamp)

        try:
            case.run(
                system,
                intruder.start,
                lambda since: system.watcher.first_verdict(
                    since, QueueDecision.REJECTED_FOREIGN, lambda chunk: chunk.server_name == "intruder"
                ),
                "its first chunk dropped",
                TICK_S,
                counted_from=first_chunk,
            )
            system.wait(
                lambda: system.watcher.diagnosed(began_ns, lambda one: "intruder" in one.message), "an alarm", 3.0
            )
            time.sleep(1.0)
            assert system.watcher.queue.newest.server_id == bound
            accepted = [
                one for _, one in system.watcher.decisions.since(began_ns) if one.verdict == QueueDecision.ACCEPTED
            ]
            assert accepted
            assert {one.chunk[0].server_id for one in accepted} == {bound}
        finally:
            intruder.end()
        assert system.motion.violations(system.bounds(), began_ns) == []


class Flood:
    """A thread that publishes as fast as asked."""

    def __init__(self, publish: Callable[[], object], hz: float) -> None:
        self._publish, self._period_s = publish, 1 / hz
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            self._publish()


def test_a_flood_of_foreign_commands_stays_within_the_drivers_limits_and_raises_the_alarm(
    system: System, table: FaultTable
) -> None:
    """Pan and roll only: a blow against the table would be no fault of the limits."""
    system.wait(  # a queue that was killed stays in the graph for 20 s
        lambda: "joint_command" not in system.watcher.drivers.newest.message, "one publisher of joint_command"
    )
    with table.case(20, "foreign publisher floods joint_command") as case:
        began_ns = time.monotonic_ns()
        random = np.random.default_rng(0)

        def publish() -> None:
            wild = np.array(HOME_GRIPPER_FREE)
            wild[[0, 4]] += random.uniform(-0.6, 0.6, 2)
            system.watcher.command_publisher().publish(JointState(name=list(JOINT_NAMES), position=wild.tolist()))

        flood = Flood(publish, 300.0)
        try:
            case.run(
                system,
                flood.begin,
                lambda since: system.watcher.drivers.first(since, lambda one: "joint_command" in one.message),
                "alarm in driver_status; motion stays within limits",
                1.0,
            )
            time.sleep(2.0)
            assert system.watcher.drivers.newest.state in (DriverStatus.ENGAGED, DriverStatus.HOLD)
        finally:
            flood.end()
        # Goals that turn round all the time meet the joint's own resonance: 140 rad/s^2 in four minutes of such a flood
        # in the simulator, where a single reversal makes half of that. The driver's own limit is what must hold.
        assert system.motion.violations(system.bounds(), began_ns, acceleration_rad_s2=HARDEST_GOALS_RAD_S2) == []


def test_a_flood_of_foreign_chunks_is_dropped_and_the_tick_goes_on(system: System, table: FaultTable) -> None:
    with table.case(20, "foreign publisher floods action_chunk") as case:
        began_ns = time.monotonic_ns()
        request = newest_request(system)
        flood = Flood(lambda: system.answer(request, session=request.session + 1), 200.0)
        try:
            case.run(
                system,
                flood.begin,
                lambda since: system.watcher.first_verdict(since, QueueDecision.REJECTED_FOREIGN),
                "dropped and counted, on receipt",
                TICK_S,
            )
            time.sleep(2.0)
            status = system.watcher.queue.newest
            assert status.state == QueueStatus.RUNNING
            assert status.rejected_foreign > 100
        finally:
            flood.end()
        assert system.steps_of_setpoint(began_ns) < SEAM_RAD + WAVE_RAD
        assert system.motion.violations(system.bounds(), began_ns) == []
