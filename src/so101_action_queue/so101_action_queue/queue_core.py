"""The action queue's core: inputs with `now_ns` in, decisions out. It reads no clock and knows no ROS.

A *step* is one executed control tick; row i of a chunk observed at step s is meant for step s + i. The same inputs in
the same order give the same decisions, bit for bit, which is what `replay` checks. Not thread-safe.
"""

import math
from collections import deque
from dataclasses import replace
from enum import Enum

import numpy as np

from so101_action_queue.admission import Bounds, LimitsError, Rejected, admit, bounds_of
from so101_action_queue.aggregation import AGGREGATIONS, AlignedRows
from so101_action_queue.asking import ASK_RULES, Asked, Questions, is_slow
from so101_action_queue.decisions import (
    ChunkDecision,
    Counters,
    Level,
    Outcome,
    Question,
    QueueState,
    Status,
    TickDecision,
    Verdict,
)
from so101_action_queue.driver_watch import DriverWatch
from so101_action_queue.inputs import Answer, AnswerStatus, DriverReport, FloatArray, JointLimits, Pose, ServerReport
from so101_action_queue.notices import Notices
from so101_action_queue.plan import ActionPlan
from so101_action_queue.round_trip import RoundTrips
from so101_action_queue.server_watch import ServerEvent, ServerWatch
from so101_action_queue.settings import Settings
from so101_action_queue.spec import PolicySpec, policy_spec
from so101_action_queue.splice import Ahead, splice

MAX_HISTORY = 32  # observation steps; LeRobot's policies read 1 to 4
INVALID_IN_A_ROW = 3  # this many unusable chunks and the rows still ahead are not trusted either
_COUNTER = {
    Verdict.REJECTED_SHAPE: "rejected_shape",
    Verdict.REJECTED_NOT_FINITE: "rejected_not_finite",
    Verdict.REJECTED_IMPLAUSIBLE: "rejected_implausible",
    Verdict.REJECTED_FOREIGN: "rejected_foreign",
    Verdict.STALE: "stale",
    Verdict.DUPLICATE: "duplicate",
    Verdict.ERROR_ANSWER: "errors",
}


class _Mode(Enum):
    IDLE = "not started"
    STARTED = "started"
    PAUSED = "paused"
    STOPPED = "stopped"


class ActionQueue:
    """One session at most: `start` begins it, `stop` or a fault ends it for good; the next one is a new object."""

    def __init__(self, now_ns: int, settings: Settings) -> None:
        self.settings = settings
        self.notices = Notices()
        self.spec: PolicySpec | None = None
        self._spec_id = 0
        self._created_ns = now_ns
        self._limits: JointLimits | None = None
        self._bounds: Bounds | None = None
        self._limits_fault = "no joint_limits yet: is so101_driver running?"
        self._driver = DriverWatch()
        self._servers = ServerWatch()
        self._mode = _Mode.IDLE
        self._cause = ""
        self._state = QueueState.IDLE
        self._session = 0
        self._setpoint: FloatArray = np.empty(0)
        self._plan = ActionPlan(len(settings.joint_names))
        self._questions = Questions()
        self._round_trips = RoundTrips()
        self._counters = Counters()
        self._poses: deque[tuple[float, ...]] = deque(maxlen=MAX_HISTORY)
        self._earlier: deque[AlignedRows] = deque(maxlen=16)
        self._step = 0
        self._executed = 0
        self._chunk_rows = 0
        self._last_tick_ns: int | None = None
        self._at_rest = True
        self._ramp_until = -1
        self._ask_at_once = False
        self._invalid_in_a_row = 0
        self._trouble = ""
        self._action_age_s = math.nan

    # -- inputs ------------------------------------------------------------------------------------------------------

    def configure(self, now_ns: int, settings: Settings) -> None:
        """Take over changed parameters while running; what the spec is made of stays as it was."""
        if settings.task != self.settings.task:
            self._ask_at_once = True
        self.settings = settings
        self._make_spec(now_ns)

    def set_task(self, now_ns: int, task: str) -> None:
        """Change the task and ask for it at once."""
        self.configure(now_ns, replace(self.settings, task=task))

    def set_limits(self, now_ns: int, limits: JointLimits) -> None:
        """Take in JointLimits; unusable ones stop a running session."""
        self._limits = limits
        self._make_spec(now_ns)

    def hear_driver(self, now_ns: int, report: DriverReport) -> None:
        """Take in a DriverStatus."""
        self._driver.hear(now_ns, report)

    def hear_server(self, now_ns: int, report: ServerReport) -> None:
        """Take in a PolicyStatus."""
        connected = self._servers.connected
        if not self._servers.hear(now_ns, report, self.settings):
            wanted = ", ".join(self.settings.servers)
            text = f"ignoring policy server {report.server_name}: not one of {wanted} (servers)"
            self.notices.add(now_ns, "unwanted server", Level.WARNING, text)
            return
        if not connected:
            self.notices.add(now_ns, "connected", Level.INFO, f"Connected to policy server {report.server_name}")
        if self._session and report.busy_session == self._session and report.server_id == self._servers.bound_id:
            self._questions.server_is_busy_with_us(now_ns)

    def start_refusal(self, now_ns: int) -> str:
        """Return in one line why `start` would not begin a session now, or ""."""
        if self._mode is _Mode.STARTED:
            return "already started"
        if self._limits_fault:
            return self._limits_fault
        refusal = self._driver.start_refusal(now_ns, self.settings.joint_names)
        if refusal:
            return refusal
        if not self._servers.connected:
            return self._servers.explain(now_ns, self._spec_id, self.settings)
        return ""

    def start(self, now_ns: int, session: int) -> Outcome:
        """Begin the session `session` (not 0) from the driver's last written goal. Only once in this object's life."""
        if self._session:
            return Outcome(False, "this session is over")
        refusal = self.start_refusal(now_ns)
        if refusal or self._bounds is None:
            return Outcome(False, refusal)
        self._session = session
        self._setpoint = self._bounds.clip(np.array(self._driver.begin(now_ns, self.settings.joint_names)))
        self._mode = _Mode.STARTED
        self._state = QueueState.WAITING
        return Outcome(True, "started")

    def stop(self, now_ns: int, cause: str = "stop requested") -> Outcome:
        """End the session: nothing is commanded any more; the driver decelerates and holds."""
        if self._mode is _Mode.STOPPED:
            return Outcome(True, "already stopped")
        if self._mode is _Mode.IDLE:
            return Outcome(True, "not started")
        self._leave_rows()
        self._mode = _Mode.STOPPED
        self._state = QueueState.STOPPED
        self._cause = cause
        self.notices.add(now_ns, "stopped", Level.INFO, f"stopped: {cause}")
        return Outcome(True, cause)

    def pause(self, now_ns: int) -> Outcome:
        """Forget the rows ahead and hold the setpoint; `start` goes on in a new session."""
        if self._mode is _Mode.PAUSED:
            return Outcome(True, "already paused")
        if self._mode is not _Mode.STARTED:
            return Outcome(False, f"nothing to pause: {self._mode.value}")
        self._leave_rows()
        self._mode = _Mode.PAUSED
        self._state = QueueState.HOLDING
        self._cause = "paused"
        self.notices.add(now_ns, "paused", Level.INFO, "paused")
        return Outcome(True, "paused")

    def take_answer(self, now_ns: int, answer: Answer) -> ChunkDecision:
        """Take in an ActionChunk and say what became of it."""
        decision = self._judge_answer(now_ns, answer)
        if decision.reason and decision.verdict not in (Verdict.ACCEPTED, Verdict.DUPLICATE):
            text = f"Error receiving actions: {decision.verdict.name}: {decision.reason}"
            self.notices.add(now_ns, decision.verdict.name, Level.WARNING, text)
        return decision

    def tick(self, now_ns: int, pose: Pose | None) -> TickDecision:
        """Decide one control tick: what to command now, and whether to ask."""
        ticks = self._ticks_since_last(now_ns)
        if self._mode is _Mode.IDLE:
            return TickDecision(None, fatal=self._connect_failure(now_ns))
        if self._mode is _Mode.STARTED:
            self._watch_server(now_ns)
        if self._mode in (_Mode.STARTED, _Mode.PAUSED):
            fault = self._driver.fault(now_ns, self.settings)
            if fault:
                self.stop(now_ns, f"{fault}; `start` needed")
        if self._mode is _Mode.STOPPED:
            return TickDecision(None)
        if self._mode is _Mode.PAUSED:
            return TickDecision(tuple(self._setpoint.tolist()))
        if pose is not None:
            self._poses.append(pose.positions)
        executed = self._execute(now_ns, ticks)
        silence = self._why_not_ask(now_ns, pose)
        question = self._ask(now_ns, pose) if pose is not None and not silence and self._is_due(now_ns) else None
        self._settle(executed, silence)
        return TickDecision(tuple(self._setpoint.tolist()), question)

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def session(self) -> int:
        """The session's number; 0 before it began."""
        return self._session

    @property
    def is_started(self) -> bool:
        """Whether the session runs: started, and neither paused nor stopped since."""
        return self._mode is _Mode.STARTED

    @property
    def state(self) -> QueueState:
        """State after the last input."""
        return self._state

    @property
    def cause(self) -> str:
        """Why the state is what it is, one line; "" when nothing is wrong."""
        return self._cause

    @property
    def step(self) -> int:
        """Index of the next row to execute."""
        return self._step

    @property
    def length(self) -> int:
        """Rows still to execute."""
        return len(self._plan)

    def rows_ahead(self) -> FloatArray:
        """Return a copy of the rows still to execute, (rows, joints), rad."""
        return self._plan.rows()

    def status(self, now_ns: int) -> Status:
        """Return the whole state for people and plots."""
        outstanding = self._questions.outstanding
        return Status(
            state=self._state,
            cause=self._cause,
            session=self._session,
            spec_id=self._spec_id,
            server_id=self._servers.bound_id,
            step=self._step,
            length=len(self._plan),
            chunk_size=self._chunk_rows,
            threshold=self.settings.chunk_size_threshold,
            outstanding_request_id=outstanding.request_id if outstanding else 0,
            outstanding_age_s=(now_ns - outstanding.asked_ns) / 1e9 if outstanding else 0.0,
            accepted_request_id=self._questions.last_accepted_id,
            round_trip_last_s=self._round_trips.last_s,
            round_trip_p50_s=self._round_trips.p50_s,
            round_trip_p95_s=self._round_trips.p95_s,
            action_age_s=self._action_age_s,
            counters=replace(self._counters),
        )

    # -- a tick, piece by piece --------------------------------------------------------------------------------------

    def _ticks_since_last(self, now_ns: int) -> int:
        """Return 1, or more where deadlines were missed: control periods since the tick before."""
        last_ns, self._last_tick_ns = self._last_tick_ns, now_ns
        if last_ns is None:
            return 1
        return max(1, round((now_ns - last_ns) / self.settings.period_ns))

    def _connect_failure(self, now_ns: int) -> str:
        """Return the line to die with when no server was heard in time, else ""."""
        timeout_s = self.settings.connect_timeout_s
        if self._servers.connected or timeout_s <= 0.0 or now_ns - self._created_ns < timeout_s * 1e9:
            return ""
        wanted = f" of the names {', '.join(self.settings.servers)}" if self.settings.servers else ""
        return (
            f"Failed to connect to policy server: no heartbeat{wanted} on policy_status within {timeout_s:g} s "
            "(connect_timeout_s); is policy_server running, in this ROS_DOMAIN_ID and namespace?"
        )

    def _watch_server(self, now_ns: int) -> None:
        for event in self._servers.judge(now_ns, self._spec_id, self.settings):
            name = self._servers.bound.server_name if self._servers.bound else "?"
            if event in (ServerEvent.BOUND, ServerEvent.READY):
                self._questions.forget_outstanding()
                self._round_trips.new_server()
                self._ask_at_once = True
                self.notices.add(now_ns, "ready", Level.INFO, f"Connected to policy server {name}: READY")
                self._warn_of_short_horizon(now_ns)
                continue
            self._questions.forget_outstanding()
            reason = self._servers.explain(now_ns, self._spec_id, self.settings)
            self.notices.add(now_ns, event.value, Level.ERROR, f"Error receiving actions: {reason}")
            if event is ServerEvent.LOST and self.settings.on_server_lost == "stop":
                self.stop(now_ns, f"{reason} (on_server_lost: stop); `start` needed")
                return

    def _execute(self, now_ns: int, ticks: int) -> bool:
        """Move on by one step if there is a row for it; return whether a row was executed."""
        assert self._bounds is not None
        by_time = self.settings.alignment == "elapsed_time"
        if by_time and ticks > 1:
            self._step += ticks - 1
            self._counters.rows_trimmed += self._plan.drop(ticks - 1)
        if len(self._plan) and now_ns - self._plan.observed_ns > self.settings.max_action_age_s * 1e9:
            self._trouble = f"rows older than {self.settings.max_action_age_s:g} s dropped (max_action_age_s)"
            self._plan.clear()
        if not self._driver.is_engaged:
            self._plan.clear()
        executed = len(self._plan) > 0
        if executed:
            self._setpoint = self._bounds.clip(self._plan.pop())
            self._executed += 1
            self._action_age_s = (now_ns - self._plan.observed_ns) / 1e9
        else:
            self._action_age_s = math.nan
            if self._chunk_rows:
                self._counters.starved_ticks += 1
        if executed or by_time:
            self._step += 1
        self._at_rest = not executed
        return executed

    def _why_not_ask(self, now_ns: int, pose: Pose | None) -> str:
        """Return in one line what stands in the way of any question, or ""."""
        if not self._driver.is_engaged:
            return "waiting for the driver to engage"
        if not self._servers.ready:
            return self._servers.explain(now_ns, self._spec_id, self.settings)
        if pose is None:
            return "no joint_states yet"
        if not pose.age_s <= self.settings.max_pose_age_s:
            return f"joint_states older than {self.settings.max_pose_age_s:g} s (max_pose_age_s)"
        return ""

    def _is_due(self, now_ns: int) -> bool:
        if self._ask_at_once:
            return True
        if self._questions.outstanding is not None:
            overdue = self._questions.is_overdue(now_ns, self.settings, self._round_trips)
            self._counters.timeouts += int(overdue)
            return overdue
        if self._questions.is_waiting_to_retry(now_ns):
            return False
        if not len(self._plan):
            return True
        return ASK_RULES[self.settings.request_policy](
            len(self._plan), self._chunk_rows, self._round_trips, self.settings
        )

    def _ask(self, now_ns: int, pose: Pose) -> Question:
        aggregation = AGGREGATIONS[self.settings.aggregate_fn_name]
        delay = 0
        if aggregation.sends_leftover and not math.isnan(self._round_trips.p95_s):
            delay = math.ceil(self._round_trips.p95_s * self.settings.fps)
        asked = self._questions.ask(now_ns, self._step, self._executed, delay)
        self._ask_at_once = False
        self._counters.requests += 1
        server = self._servers.bound
        history = min(max(1, server.n_obs_steps if server else 1), MAX_HISTORY)
        poses = list(self._poses)[-history:]
        poses = [poses[0]] * (history - len(poses)) + poses
        leftover = self._plan.rows() if aggregation.sends_leftover else np.empty((0, 0))
        return Question(
            session=self._session,
            request_id=asked.request_id,
            spec_id=self._spec_id,
            step=self._step,
            must_go=not len(self._plan),
            task=self.settings.task,
            history=history,
            joint_names=self.settings.joint_names,
            positions=tuple(value for one in poses for value in one),
            positions_age_s=pose.age_s,
            expected_delay_steps=delay,
            leftover_rows=len(leftover),
            leftover=tuple(leftover.ravel().tolist()),
        )

    def _settle(self, executed: bool, silence: str) -> None:
        """Set state and cause after a tick."""
        if executed:
            self._state, self._cause = QueueState.RUNNING, silence or self._trouble
        elif not self._chunk_rows:
            self._state, self._cause = QueueState.WAITING, silence or self._trouble or "waiting for the first answer"
        elif silence or self._questions.outstanding is None:
            self._state, self._cause = QueueState.HOLDING, silence or self._trouble or "waiting to ask again"
        else:
            self._state, self._cause = QueueState.STARVED, self._trouble or "waiting for an answer"

    # -- an answer, piece by piece -----------------------------------------------------------------------------------

    def _judge_answer(self, now_ns: int, answer: Answer) -> ChunkDecision:
        foreign = self._why_foreign(answer)
        if foreign:
            return self._drop(Verdict.REJECTED_FOREIGN, foreign)
        if self._questions.is_answered(answer.request_id):
            return self._drop(Verdict.DUPLICATE, "answered before")
        if self._mode is not _Mode.STARTED:
            return self._drop(Verdict.STALE, f"the queue is {self._mode.value}")
        asked = self._questions.find(answer.request_id)
        if asked is None:
            newest = self._questions.last_accepted_id
            return self._drop(Verdict.STALE, f"answers question {answer.request_id}, {newest} is in the queue already")
        if answer.step != asked.step:
            return self._drop(Verdict.REJECTED_FOREIGN, f"echoes step {answer.step}, asked at {asked.step}")
        if answer.status != AnswerStatus.OK:
            return self._take_error(now_ns, answer, asked)
        assert self._bounds is not None
        admitted = admit(answer, self.settings, self._bounds)
        if isinstance(admitted, Rejected):
            self._take_invalid(now_ns, asked, admitted)
            return self._drop(admitted.verdict, admitted.reason)
        return self._take_rows(now_ns, asked, admitted.rows, admitted.values_clamped)

    def _drop(self, verdict: Verdict, reason: str) -> ChunkDecision:
        counter = _COUNTER[verdict]
        setattr(self._counters, counter, getattr(self._counters, counter) + 1)
        return ChunkDecision(verdict, reason)

    def _why_foreign(self, answer: Answer) -> str:
        if not self._session:
            return "no session yet"
        if answer.session != self._session:
            return f"of another session ({answer.session})"
        if answer.spec_id != self._spec_id:
            return f"made for another policy_spec ({answer.spec_id})"
        if answer.server_id != self._servers.bound_id:
            return f"from server {answer.server_name or '?'} ({answer.server_id}), not the bound one"
        if not 1 <= answer.request_id <= self._questions.last_id:
            return f"answers question {answer.request_id}, which was never asked"
        return ""

    def _take_error(self, now_ns: int, answer: Answer, asked: Asked) -> ChunkDecision:
        self._questions.close_failed(now_ns, asked, answer.retry_after_s)
        try:
            name = AnswerStatus(answer.status).name
        except ValueError:
            name = f"status {answer.status}"
        reason = f"{name}: {answer.message}" if answer.message else name
        if answer.status != AnswerStatus.SUPERSEDED:
            self._trouble = reason
        return self._drop(Verdict.ERROR_ANSWER, reason)

    def _take_invalid(self, now_ns: int, asked: Asked, rejected: Rejected) -> None:
        self._questions.close_failed(now_ns, asked)
        self._trouble = f"{rejected.verdict.name}: {rejected.reason}"
        self._invalid_in_a_row += 1
        if self._invalid_in_a_row >= INVALID_IN_A_ROW:
            self._trouble = f"{self._invalid_in_a_row} invalid chunks in a row: {rejected.reason}"
            self._plan.clear()

    def _take_rows(self, now_ns: int, asked: Asked, chunk: FloatArray, clamped: int) -> ChunkDecision:
        """Align, aggregate and ramp an admitted chunk into the plan."""
        assert self._bounds is not None
        age_s = (now_ns - asked.asked_ns) / 1e9
        self._invalid_in_a_row = 0
        if age_s > self.settings.max_action_age_s:
            limit_s = self.settings.max_action_age_s
            return self._expire(asked, f"answer came after {age_s:.2f} s, rows live {limit_s:g} s (max_action_age_s)")
        trimmed = self._step - asked.step
        if trimmed >= len(chunk):
            reason = f"chunk shorter than round trip: {len(chunk)} rows, {trimmed} steps"
            trimmed = self._executed - asked.executed
            if trimmed >= len(chunk):
                return self._expire(asked, reason)
            self._counters.expired += 1
            self._trouble = reason
            self.notices.add(now_ns, "expired", Level.WARNING, f"{reason}; aligned by executed steps")
        else:
            self._trouble = ""
        aggregation = AGGREGATIONS[self.settings.aggregate_fn_name]
        late = aggregation.sends_leftover and self._step - asked.step > asked.expected_delay_steps
        must_ramp = self._at_rest or self._step <= self._ramp_until or late
        ahead = Ahead(self._step, self._plan.rows(), self._setpoint, tuple(self._earlier))
        spliced = splice(ahead, chunk, trimmed, aggregation, self.settings, self._bounds, must_ramp)
        self._plan.replace(spliced.rows, asked.asked_ns)
        self._ramp_until = self._step + spliced.ramp_rows - 1
        self._earlier.clear() if not aggregation.remembers else self._earlier.append(
            AlignedRows(self._step - trimmed, chunk)
        )
        self._chunk_rows = len(chunk)
        self._questions.close_accepted(asked)
        self._round_trips.add(age_s)
        self._counters.accepted += 1
        self._counters.rows_trimmed += trimmed
        self._counters.values_clamped += clamped
        self._warn_if_slow(now_ns)
        return ChunkDecision(
            Verdict.ACCEPTED, "", age_s, trimmed, clamped, spliced.rows_ramped, tuple(spliced.seam.tolist())
        )

    def _expire(self, asked: Asked, reason: str) -> ChunkDecision:
        """Drop an answer of which nothing is left to execute; the rule asks again without waiting."""
        self._counters.expired += 1
        self._trouble = reason
        self._questions.close_expired(asked)
        return ChunkDecision(Verdict.STALE, reason)

    # -- small parts -------------------------------------------------------------------------------------------------

    def _make_spec(self, now_ns: int) -> None:
        if self._limits is None:
            return
        try:
            self._bounds = bounds_of(self._limits, self.settings.joint_names)
        except LimitsError as error:
            self._limits_fault = str(error)
            self.notices.add(now_ns, "limits", Level.ERROR, str(error))
            self.stop(now_ns, f"{error}; `start` needed")
            return
        self._limits_fault = ""
        self.spec = policy_spec(self.settings, self._limits)
        self._spec_id = self.spec.spec_id

    def _leave_rows(self) -> None:
        self._plan.clear()
        self._questions.forget_outstanding()
        self._action_age_s = math.nan

    def _warn_of_short_horizon(self, now_ns: int) -> None:
        server = self._servers.bound
        if server and 0 < server.horizon < self.settings.actions_per_chunk:
            text = (
                f"policy on {server.server_name} predicts {server.horizon} rows at most: chunks will be shorter than "
                f"actions_per_chunk = {self.settings.actions_per_chunk}"
            )
            self.notices.add(now_ns, "horizon", Level.WARNING, text)

    def _warn_if_slow(self, now_ns: int) -> None:
        if self.settings.request_policy == "adaptive" and is_slow(self._chunk_rows, self._round_trips, self.settings):
            text = (
                f"round trip p95 {self._round_trips.p95_s:.2f} s is more than half of a chunk of {self._chunk_rows} "
                "rows: asking after every answer"
            )
            self.notices.add(now_ns, "slow", Level.WARNING, text)
