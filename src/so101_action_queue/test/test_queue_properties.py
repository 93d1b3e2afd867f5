# SPDX-License-Identifier: Apache-2.0
"""What holds for every sequence of inputs. Hypothesis plays network, server, driver and operator at once."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from so101_action_queue.core.aggregation import AGGREGATIONS
from so101_action_queue.core.decisions import ChunkRequest, TickDecision
from so101_action_queue.core.inputs import DriverReport, JointLimits, JointPositions, ReceivedChunk, ServerReport
from so101_action_queue.core.queue_core import ActionQueue
from so101_action_queue.core.request_rules import REQUEST_RULES
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.journal import Journal, JournalEntry, apply
from so101_action_queue.record.virtual_session import VirtualLink, VirtualSession
from so101_node.protocol import ChunkVerdict, DecisionInput, DriverState, PolicyState, QueueState

JOINTS = ("pan", "lift")
LOWER, UPPER = np.array([-1.0, -0.5]), np.array([1.0, 1.5])
LIMITS = JointLimits(7, JOINTS, tuple(LOWER), tuple(UPPER), tuple(LOWER), tuple(UPPER), (0, 0))
DRIVER = DriverReport(7, DriverState.ENGAGED, "", "", JOINTS, (0.0, 0.0))
PERIOD_NS = 33_333_333
PATIENCE_S = 12.5  # longest silence of a healthy queue: a server's wish of 10 s, or 2 s of busy_timeout_s, and a tick

chosen_settings = st.builds(
    QueueSettings,
    joint_names=st.just(JOINTS),
    cameras=st.just(()),
    actions_per_chunk=st.just(20),
    aggregate_fn_name=st.sampled_from(list(AGGREGATIONS)),
    alignment=st.sampled_from(["executed_steps", "elapsed_time"]),
    request_policy=st.sampled_from(list(REQUEST_RULES)),
    chunk_size_threshold=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    max_requests_in_flight=st.sampled_from([1, 1, 2, 8]),
    request_spacing_steps=st.sampled_from([1, 5, 30]),
    request_timeout_s=st.sampled_from([0.05, 0.3, 1.0]),
    busy_timeout_s=st.just(2.0),
    max_action_age_s=st.sampled_from([0.3, 5.0]),
    max_seam_rad=st.sampled_from([0.01, 0.05, 0.5]),
    seam_ramp=st.sampled_from(["always", "after_hold"]),
    on_server_lost=st.sampled_from(["hold", "hold", "stop"]),
)
row_values = st.floats(-1.5, 2.0, width=32)  # beyond the limits, but not implausibly


STRANGE: list[dict[str, Any]] = [
    {"positions": np.full(8, np.nan, np.float32)},
    {"positions": np.full(8, 99.0, np.float32)},
    {"positions": np.empty(0, np.float32)},
    {"rows": 3},
    {"joint_names": ("pan", "wrist")},
    {"session": 999_999},
    {"server_id": 6},
    {"spec_id": 1},
    {"step": 10**9},
    {"request_id": 10**9},
    {"request_id": 0},
    {"status": 6},
    {"status": 3},
    {"status": 200, "retry_after_s": math.inf},
    {"status": 2, "retry_after_s": 1e9},
    {"status": 1, "retry_after_s": math.nan},
]


@dataclass(frozen=True)
class Exchange:
    """A request, `before` ticks, a chunk of `rows` rows to it or to one `older` requests back, `after` ticks.

    With `changes` the chunk has four rows and is not what it should be.
    """

    values: list[float]
    rows: int
    before: int
    after: int
    older: int
    changes: dict[str, Any]


exchanges = st.builds(
    Exchange,
    values=st.lists(row_values, min_size=1, max_size=4),
    rows=st.integers(1, 20),
    before=st.integers(0, 12),
    after=st.integers(0, 25),
    older=st.sampled_from([0, 0, 1, 3]),
    changes=st.one_of(st.just({}), st.just({}), st.sampled_from(STRANGE)),
)


class QueueMachine(RuleBasedStateMachine):
    """Any input at any time. `invariant`s are checked after every one."""

    @initialize(chosen=chosen_settings, before=st.lists(exchanges, max_size=4))
    def begin(self, chosen: QueueSettings, before: list[Exchange]) -> None:
        self.settings = chosen
        self.entries: list[JournalEntry] = []
        self.now_ns = 1_000_000_000
        self.positions: JointPositions | None = JointPositions((0.0, 0.0), 0.0)
        self.driver = DRIVER
        self.journal = Journal(self.now_ns, chosen, self.entries.append)
        self.journal.set_limits(self.now_ns, LIMITS)
        assert self.journal.core.spec is not None
        self.server = ServerReport(5, "s", self.journal.core.spec.spec_id, PolicyState.READY, supports_rtc=True)
        self.server_speaks = True
        self.requests: list[ChunkRequest] = []
        self.follows: dict[int, int] = {}  # id -> whose chunk had been accepted last when it was sent
        self.sessions = 0
        self.executed_step = -1
        self.at_rest = True
        self.out: np.ndarray | None = None
        self.start()
        for exchange in before:
            self.exchange(exchange)

    # -- rules ---------------------------------------------------------------------------------------------------------

    @rule()
    def start(self) -> None:
        self.driver = DRIVER
        self._world()
        self.sessions += 1
        before = self.journal.core
        self.journal.start(self.now_ns, self.sessions)
        if self.journal.core is not before:
            self.requests, self.follows = [], {}
            self.executed_step, self.at_rest, self.out = -1, True, None

    @rule(count=st.integers(0, 25), late=st.booleans())
    def tick(self, count: int, late: bool) -> None:
        for _ in range(count):
            self._tick(PERIOD_NS * (3 if late else 1))

    @rule(exchange=exchanges)
    def exchange(self, exchange: Exchange) -> None:
        """A stretch in which the world is in order: a request, some ticks, a good chunk to it or an older one."""
        self.positions, self.server_speaks, self.driver = JointPositions((0.0, 0.0), 0.0), True, DRIVER
        if not self.journal.core.is_started:
            self.start()
        count = len(self.requests)
        for _ in range(40):
            if len(self.requests) > count:
                break
            self._tick(PERIOD_NS)
        self.tick(exchange.before, late=False)
        if self.requests:
            chosen = self.requests[max(0, len(self.requests) - 1 - exchange.older)]
            values = exchange.values
            rows = 4 if exchange.changes else exchange.rows
            self._take(chosen, [values[index % len(values)] for index in range(2 * rows)], **exchange.changes)
            self._check_that_it_will_ask()
        self.tick(exchange.after, late=False)

    @rule(data=st.data(), rows=st.integers(1, 20))
    def chunk(self, data: st.DataObject, rows: int) -> None:
        if self.requests:
            values = data.draw(st.lists(row_values, min_size=rows * 2, max_size=rows * 2))
            self._take(data.draw(st.sampled_from(self.requests[-1:-7:-1])), values)

    @rule(
        state=st.sampled_from(PolicyState),
        busy=st.booleans(),
        leaving=st.booleans(),
        server_id=st.sampled_from([5, 5, 6]),
    )
    def server_says(self, state: PolicyState, busy: bool, leaving: bool, server_id: int) -> None:
        report = replace(
            self.server, state=state, server_id=server_id, leaving=leaving, busy_session=self.sessions if busy else 0
        )
        self.journal.hear_server(self.now_ns, report)

    @rule(speaks=st.booleans())
    def server_falls_silent_or_speaks(self, speaks: bool) -> None:
        self.server_speaks = speaks

    @rule(state=st.sampled_from(DriverState), driver_id=st.sampled_from([7, 7, 7, 8]))
    def driver_says(self, state: DriverState, driver_id: int) -> None:
        self.driver = replace(DRIVER, state=state, driver_id=driver_id)

    @rule(positions=st.sampled_from([None, JointPositions((0.0, 0.0), 0.0), JointPositions((0.1, 0.1), 5.0)]))
    def joint_positions_become(self, positions: JointPositions | None) -> None:
        self.positions = positions

    @rule(task=st.sampled_from(["a", "b"]))
    def task_becomes(self, task: str) -> None:
        self.settings = replace(self.settings, task=task)
        self.journal.change(self.now_ns, self.settings)

    @rule()
    def pause(self) -> None:
        self.journal.pause(self.now_ns)

    # -- what must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def a_healthy_world_makes_it_ask_within_bounded_time(self) -> None:
        if len(self.entries) % 7 == 0:  # a sample of the states, for speed
            self._check_that_it_will_ask()

    def _check_that_it_will_ask(self) -> None:
        """Checked on a copy that lives on alone without chunks: nothing that came before can have silenced it."""
        if not self.journal.core.is_started:
            return
        core = replayed(self.entries)
        now_ns = self.now_ns
        asked = False
        while not asked and core.is_started and now_ns - self.now_ns < PATIENCE_S * 1e9:
            now_ns += PERIOD_NS
            core.hear_driver(now_ns, DRIVER)
            for server_id in (5, 6):  # whichever of the two it is bound to
                core.hear_server(now_ns, replace(self.server, server_id=server_id))
            asked = core.tick(now_ns, JointPositions((0.0, 0.0), 0.0)).request is not None
        assert asked or not core.is_started
        assert core.is_started or "driver" in core.cause or "server" in core.cause

    @invariant()
    def no_more_requests_are_outstanding_than_may_be(self) -> None:
        status = self.journal.core.status(self.now_ns)
        assert status.outstanding <= self.settings.max_requests_in_flight
        assert (status.outstanding == 0) == (status.outstanding_request_id == 0)

    @invariant()
    def rows_left_fit_the_chunk(self) -> None:
        assert 0 <= self.journal.core.length <= self.settings.actions_per_chunk

    def teardown(self) -> None:
        if hasattr(self, "entries"):
            again = replayed(self.entries)
            core = self.journal.core
            assert repr(again.status(self.now_ns)) == repr(core.status(self.now_ns))
            assert again.setpoint.tobytes() == core.setpoint.tobytes()

    # -- the world -----------------------------------------------------------------------------------------------------

    def _world(self) -> None:
        self.journal.hear_driver(self.now_ns, self.driver)
        if self.server_speaks:
            self.journal.hear_server(self.now_ns, self.server)

    def _tick(self, after_ns: int) -> None:
        self.now_ns += after_ns
        self._world()
        core = self.journal.core
        step = core.step
        executed = core.executed
        decision = self.journal.tick(self.now_ns, self.positions)
        self._check_command(decision, core, step, executed, after_ns)
        if decision.request is not None:
            self._check_request(decision.request, core)

    def _check_command(
        self, decision: TickDecision, core: ActionQueue, step: int, executed: int, after_ns: int
    ) -> None:
        commands = core.state in (QueueState.WAITING, QueueState.RUNNING, QueueState.STARVED, QueueState.HOLDING)
        assert (decision.setpoint is not None) == commands
        if decision.setpoint is None:
            self.out = None
            return
        out = np.array(decision.setpoint)
        assert np.all(np.isfinite(out))
        assert np.all(out >= LOWER)
        assert np.all(out <= UPPER)
        moved_on = core.executed - executed
        self.at_rest = not moved_on
        assert moved_on in (0, 1)
        assert (core.state is QueueState.RUNNING) == (moved_on == 1)
        if self.settings.alignment == "executed_steps":
            assert core.step == step + moved_on
        else:
            assert core.step >= step
        if moved_on:
            assert core.step - 1 > self.executed_step  # the row just executed is of a step not executed before
            self.executed_step = core.step - 1
        elif self.out is not None:
            assert np.array_equal(out, self.out)  # held, exactly
        self.out = out

    def _check_request(self, request: ChunkRequest, core: ActionQueue) -> None:
        assert self.positions is not None
        assert self.positions.age_s <= self.settings.max_pose_age_s
        assert request.step == core.step
        assert request.must_go == (core.length == 0)
        assert request.session == core.session
        if self.requests:
            assert request.request_id == self.requests[-1].request_id + 1
        self.requests.append(request)
        self.follows[request.request_id] = core.status(self.now_ns).accepted_request_id

    def _take(self, request: ChunkRequest, values: list[float], **changes: Any) -> None:
        chunk = ReceivedChunk(
            session=request.session, request_id=request.request_id, spec_id=request.spec_id, step=request.step,
            server_id=5, server_name="s", status=0, message="", retry_after_s=0.0, period_s=1 / 30, joint_names=JOINTS,
            rows=len(values) // 2, positions=np.array(values, dtype=np.float32),
        )  # fmt: skip
        chunk = replace(chunk, **changes)
        core = self.journal.core
        held = core.setpoint.copy()
        rows_before = core.rows_ahead()
        step = core.step
        accepted = core.status(self.now_ns).accepted_request_id
        decision = self.journal.take_chunk(self.now_ns, chunk)
        if decision.verdict is not ChunkVerdict.ACCEPTED:
            assert core.length in (0, len(rows_before))
            return
        assert changes.keys() <= {"positions", "rows"}
        if self.settings.alignment == "executed_steps":
            assert decision.rows_trimmed == step - request.step
        always = self.settings.seam_ramp == "always" or self.settings.aggregate_fn_name == "crossfade"
        late = step - request.step > request.expected_delay_steps
        several = self.settings.max_requests_in_flight > 1
        detached = several and self.follows[request.request_id] != accepted
        late = self.settings.aggregate_fn_name == "rtc" and (late or detached)
        if always or late or self.at_rest or not len(rows_before):
            self._check_seams(chunk, decision.rows_trimmed, held, core)
        assert core.step == step
        assert core.length == chunk.rows - decision.rows_trimmed

    def _check_seams(self, chunk: ReceivedChunk, trimmed: int, held: np.ndarray, core: ActionQueue) -> None:
        """From the command before the chunk to its last row: nowhere more than `max_seam_rad` beyond its own motion."""
        plan = np.clip(chunk.positions.astype(np.float64).reshape(-1, 2), LOWER, UPPER)
        rows = core.rows_ahead()
        before = plan[trimmed - 1] if trimmed else plan[0]
        offsets = np.concatenate([[held - before], rows - plan[trimmed:]])
        at_limit = (rows == LOWER) | (rows == UPPER)
        assert np.all((np.abs(np.diff(offsets, axis=0)) <= self.settings.max_seam_rad * (1 + 1e-6) + 1e-9) | at_limit)


def replayed(entries: list[JournalEntry]) -> ActionQueue:
    """A core that has seen the entries of the newest session, or of all the time before the first."""
    newest = entries[-1].session
    core: ActionQueue | None = None
    for entry in entries:
        if entry.session != newest:
            continue
        if core is None:
            assert entry.kind is DecisionInput.CONFIGURE
            core = ActionQueue(entry.now_ns, entry.value)
            continue
        assert repr(apply(core, entry.kind, entry.now_ns, entry.value)) == repr(entry.decision)
    assert core is not None
    return core


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


@settings(max_examples=12)
@given(
    latencies=st.lists(st.floats(0.0, 3.0), min_size=5, max_size=20),
    losses=st.sets(st.integers(1, 20)),
    timeout_s=st.floats(0.05, 2.0),
    rule_name=st.sampled_from(list(REQUEST_RULES)),
    number=st.sampled_from([1, 2, 8]),
)
def test_whatever_the_latencies_and_losses_the_arm_keeps_moving_when_they_end(
    latencies: list[float], losses: set[int], timeout_s: float, rule_name: str, number: int
) -> None:
    def inference_s(request_id: int) -> float:
        return latencies[request_id % len(latencies)] if request_id <= 20 else 0.1

    def downlink_s(request_id: int) -> float | None:
        return None if request_id in losses else 0.01

    chosen = QueueSettings(
        joint_names=JOINTS, cameras=(), request_timeout_s=timeout_s, request_policy=rule_name,
        max_requests_in_flight=number,
    )  # fmt: skip

    session = VirtualSession(
        chosen, lambda request: np.zeros((50, 2)), VirtualLink(inference_s=inference_s, downlink_s=downlink_s)
    )
    session.run(0.5)
    session.start()
    for _ in range(60):
        trace = session.run(3.0)
        if trace.requests[-1].request_id > 25:
            break
    session.run(10.0)
    assert set(session.trace.states[-60:]) == {QueueState.RUNNING}
