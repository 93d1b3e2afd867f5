"""The action queue's core: inputs with `now_ns` in, decisions out. It reads no clock and knows no ROS.

A *step* is one executed control tick; row i of a chunk observed at step s is meant for step s + i. The same inputs in
the same order give the same decisions, bit for bit, which is what `replay` checks. Not thread-safe.
"""

import math
from dataclasses import replace
from enum import Enum

from so101_action_queue import causes
from so101_action_queue.admission import Bounds, LimitsError, bounds_of
from so101_action_queue.aggregation import AGGREGATIONS
from so101_action_queue.asker import Asker
from so101_action_queue.causes import NO_REASON, Reason
from so101_action_queue.decisions import (
    ChunkDecision,
    Counters,
    Level,
    Outcome,
    Question,
    QueueState,
    Status,
    TickDecision,
)
from so101_action_queue.driver_watch import PAUSES, DriverWatch
from so101_action_queue.execution import Execution
from so101_action_queue.identity import Party
from so101_action_queue.inputs import Answer, DriverReport, JointLimits, Pose, ServerReport
from so101_action_queue.notices import Notices
from so101_action_queue.reception import Reception, Terms
from so101_action_queue.server_watch import ServerEvent, ServerWatch
from so101_action_queue.settings import Settings
from so101_action_queue.spec import PolicySpec, policy_spec

HELD_UP_S = 0.1  # a tick that comes so much too late: the queue itself stood still, and heard nobody
EARLY_PERIODS = 0.25  # a tick may come that much before its time, counted from the first, which itself was late


class _Mode(Enum):
    IDLE = "not started"
    STARTED = "started"
    PAUSED = "paused"
    STOPPED = "stopped"


class ActionQueue:
    """One session at most: `start` begins it, `stop` or a fault ends it for good; the next one is a new object."""

    def __init__(self, now_ns: int, settings: Settings) -> None:
        self.settings = settings
        self.spec: PolicySpec | None = None
        self.session = 0  # 0 before it began
        self.state = QueueState.IDLE
        self.cause = ""  # why the state is what it is, one line; "" when nothing is wrong
        self.cause_name = causes.NOT_STARTED
        self.notices = Notices()
        self.execution = Execution(len(settings.joint_names))
        self._created_ns = now_ns
        self._mode = _Mode.IDLE
        self._spec_id = 0
        self._limits: JointLimits | None = None
        self._bounds: Bounds | None = None
        self._limits_fault = "no joint_limits yet: is so101_driver running?"
        self._driver = DriverWatch()
        self._servers = ServerWatch()
        self._asker = Asker()
        self._questions = self._asker.questions
        self._counters = Counters()
        self._first_tick_ns: int | None = None
        self._last_tick_ns: int | None = None
        self._is_late = False  # since the driver held for want of commands, until it engages again
        self._periods = 0  # that the ticks so far stand for
        self._reception = Reception(self.execution, self._asker, self._counters)

    # -- inputs ------------------------------------------------------------------------------------------------------

    def configure(self, now_ns: int, settings: Settings) -> None:
        """Take over changed parameters while running. Joints and rate of a session never change."""
        if settings.task != self.settings.task:
            self._asker.ask_at_once()
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
        if self.session and report.busy_session == self.session and report.server_id == self._servers.bound_id:
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
        if not self._servers.any_heard_lately(now_ns):
            return self._servers.explain(now_ns, self._spec_id, self.settings).text
        return ""

    def start(self, now_ns: int, session: int) -> Outcome:
        """Begin the session `session` (not 0) from the driver's last written goal. Only once in this object's life."""
        refusal = "this session is over" if self.session else self.start_refusal(now_ns)
        if refusal or self._bounds is None:
            return Outcome(False, refusal)
        self.session = session
        self.execution.begin(self._bounds.clip(self._driver.begin(now_ns, self.settings.joint_names)))
        self._mode = _Mode.STARTED
        self._be(QueueState.WAITING, Reason(causes.WAITING, ""))
        return Outcome(True, "started")

    def stop(self, now_ns: int, fault: Reason = NO_REASON) -> Outcome:
        """End the session: nothing is commanded any more; the driver decelerates and holds."""
        if self._mode in (_Mode.IDLE, _Mode.STOPPED):
            return Outcome(True, f"already {self._mode.value}" if self.session else self._mode.value)
        self._forget_rows_and_question()
        self._mode = _Mode.STOPPED
        if fault:
            self._be(QueueState.STOPPED, replace(fault, text=f"{fault.text}; `start` needed"))
        else:
            self._be(QueueState.STOPPED, Reason(causes.STOP_REQUESTED, "stop requested"))
        self.notices.add(now_ns, "stopped", Level.ERROR if fault else Level.INFO, f"stopped: {self.cause}")
        return Outcome(True, self.cause)

    def pause(self, now_ns: int) -> Outcome:
        """Forget the rows ahead and hold the setpoint; `start` goes on in a new session."""
        if self._mode is not _Mode.STARTED:
            return Outcome(self._mode is _Mode.PAUSED, f"nothing to pause: {self._mode.value}")
        self._forget_rows_and_question()
        self._mode = _Mode.PAUSED
        self._be(QueueState.HOLDING, Reason(causes.PAUSED, "paused"))
        self.notices.add(now_ns, "paused", Level.INFO, "paused")
        return Outcome(True, "paused")

    def take_answer(self, now_ns: int, answer: Answer) -> ChunkDecision:
        """Take in an ActionChunk and say what became of it."""
        party = Party(self.session, self._spec_id, self._servers.bound_id)
        bounds = self._bounds if self._mode is _Mode.STARTED else None
        idle = "" if bounds is not None else f"the queue is {self._mode.value}"
        return self._reception.take(now_ns, answer, party, Terms(self.settings, bounds, self.notices, idle))

    def tick(self, now_ns: int, pose: Pose | None) -> TickDecision:
        """Decide one control tick: what to command now, and whether to ask."""
        periods = self._periods_since_last_tick(now_ns)
        held_up_ns = 0 if self._last_tick_ns is None else now_ns - self._last_tick_ns - self.settings.period_ns
        self._last_tick_ns = now_ns
        if self._mode is _Mode.IDLE:
            return TickDecision(None, fatal=self._connect_failure(now_ns))
        self._watch_own_time(now_ns, held_up_ns)
        self._watch_server(now_ns)
        self._watch_driver(now_ns)
        if self._mode is _Mode.STOPPED or self._bounds is None:
            return TickDecision(None)
        question = None
        if self._mode is _Mode.STARTED:
            self._asker.see(pose)
            executed = self._advance(now_ns, periods, self._bounds)
            silence = self._why_not_ask(pose) or self._why_server_cannot(now_ns)
            question = self._ask_if_due(now_ns, pose) if not silence else None
            self._settle(now_ns, executed, silence)
        return TickDecision(tuple(self.execution.setpoint.tolist()), question)

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def is_started(self) -> bool:
        """Whether the session runs: started, and neither paused nor stopped since."""
        return self._mode is _Mode.STARTED

    @property
    def server(self) -> ServerReport | None:
        """What the server says whose policy counts: the bound one, or before that the last that was heard."""
        return self._servers.spokesman

    def rival_servers(self, now_ns: int) -> list[str]:
        """Return the names of live servers that answer us too, though another is bound."""
        return self._servers.rivals(now_ns, self.settings)

    def status(self, now_ns: int) -> Status:
        """Return the whole state for people and plots."""
        outstanding = self._questions.outstanding
        rows = self.execution.chunk_rows
        return Status(
            state=self.state,
            cause=self.cause,
            cause_name=self.cause_name,
            session=self.session,
            spec_id=self._spec_id,
            server_id=self._servers.bound_id,
            step=self.execution.step,
            length=self.execution.length,
            chunk_size=rows,
            threshold=self._asker.level(rows, self.settings) / rows if rows else self.settings.chunk_size_threshold,
            outstanding_request_id=outstanding.request_id if outstanding else 0,
            outstanding_age_s=(now_ns - outstanding.asked_ns) / 1e9 if outstanding else 0.0,
            accepted_request_id=self._questions.last_accepted_id,
            round_trip_last_s=self._asker.round_trips.last_s,
            round_trip_p50_s=self._asker.round_trips.p50_s,
            round_trip_p95_s=self._asker.round_trips.p95_s,
            action_age_s=self.execution.action_age_s,
            counters=replace(self._counters),
        )

    # -- a tick, piece by piece --------------------------------------------------------------------------------------

    def _periods_since_last_tick(self, now_ns: int) -> int:
        """Return 1, or more where deadlines were missed.

        Counted from the first tick on: a tick that is late and the one after it, which comes in time, are two.
        """
        if self._first_tick_ns is None:
            self._first_tick_ns = now_ns
        passed = math.floor((now_ns - self._first_tick_ns) / self.settings.period_ns + EARLY_PERIODS)
        periods = max(1, passed + 1 - self._periods)
        self._periods += periods
        return periods

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

    def _watch_own_time(self, now_ns: int, held_up_ns: int) -> None:
        """Nobody is lost because this queue could not listen; after long, nobody knows what happened meanwhile."""
        limit_s = self.settings.resume_within_s
        if limit_s <= 0.0 or held_up_ns <= HELD_UP_S * 1e9 or self._mode is _Mode.STOPPED:
            return
        if held_up_ns > limit_s * 1e9:
            text = f"the queue itself was held up for {held_up_ns / 1e9:.1f} s (resume_within_s {limit_s:g})"
            self.stop(now_ns, Reason(causes.HELD_UP, text))
            return
        self._driver.excuse(now_ns, held_up_ns)
        self._servers.excuse(now_ns, held_up_ns)

    def _watch_server(self, now_ns: int) -> None:
        if self._mode is not _Mode.STARTED:
            return
        for event in self._servers.judge(now_ns, self._spec_id, self.settings):
            self._questions.forget_outstanding()
            if event in (ServerEvent.BOUND, ServerEvent.READY):
                self._welcome_server(now_ns)
                continue
            lost = event is ServerEvent.LOST  # another may have been bound in the same breath
            reason = self._servers.loss if lost else self._servers.explain(now_ns, self._spec_id, self.settings)
            self.notices.add(now_ns, event.value, Level.ERROR, f"Error receiving actions: {reason.text}")
            if lost and self.settings.on_server_lost == "stop":
                self.stop(now_ns, replace(reason, text=f"{reason.text} (on_server_lost: stop)"))
                return

    def _welcome_server(self, now_ns: int) -> None:
        """A server is READY for us: ask at once, measure its round trips afresh."""
        self._asker.new_server()
        server = self._servers.bound
        if server is None:
            return
        self.notices.add(now_ns, "ready", Level.INFO, f"Connected to policy server {server.server_name}: READY")
        if 0 < server.horizon < self.settings.actions_per_chunk:
            text = (
                f"the policy on {server.server_name} predicts {server.horizon} rows at most: chunks will be shorter "
                f"than actions_per_chunk = {self.settings.actions_per_chunk}"
            )
            self.notices.add(now_ns, "horizon", Level.WARNING, text)

    def _watch_driver(self, now_ns: int) -> None:
        if self._mode is _Mode.STOPPED:
            return
        self._go_on_after_late_commands(now_ns)
        fault = self._driver.fault(now_ns, self.settings)
        if fault:
            self.stop(now_ns, fault)

    def _go_on_after_late_commands(self, now_ns: int) -> None:
        """The driver braked for want of commands or answers: hold where it did, until it engages again."""
        goal = self._driver.go_on(now_ns, self.settings) if self._bounds is not None else None
        if goal is None or self._bounds is None:
            return
        self._forget_rows_and_question()
        self.execution.begin(self._bounds.clip(goal))
        self._is_late = True
        pause = self._driver.pause
        text = f"{PAUSES[pause].text} reached the driver late ({pause}): holding where the arm stands, then going on"
        self.notices.add(now_ns, "late", Level.WARNING, text)

    def _advance(self, now_ns: int, periods: int, bounds: Bounds) -> bool:
        """Execute the next row if there is one; return whether there was."""
        if not self._driver.is_engaged:
            self.execution.forget_rows()
        advance = self.execution.advance(now_ns, periods, self.settings, bounds)
        self._counters.rows_trimmed += advance.rows_skipped
        if advance.too_old:
            text = f"rows older than {self.settings.max_action_age_s:g} s dropped (max_action_age_s)"
            self._reception.trouble = Reason(causes.ROWS_TOO_OLD, text)
        if not advance.executed and self.execution.chunk_rows:
            self._counters.starved_ticks += 1
        return advance.executed

    def _why_not_ask(self, pose: Pose | None) -> Reason:
        """Return what on the robot's side stands in the way of any question, or NO_REASON."""
        if not self._driver.is_engaged:
            text = "waiting for the driver to engage"
            if self._is_late:
                pause = PAUSES[self._driver.pause]
                return Reason(pause.cause, f"{text} again: {pause.text} came late")
            return Reason(causes.DRIVER_NOT_ENGAGED, text)
        self._is_late = False
        if pose is None:
            return Reason(causes.POSE_UNKNOWN, "no joint_states with a position of every joint")
        if not pose.age_s <= self.settings.max_pose_age_s:
            text = f"joint_states older than {self.settings.max_pose_age_s:g} s (max_pose_age_s)"
            return Reason(causes.POSE_UNKNOWN, text)
        return NO_REASON

    def _why_server_cannot(self, now_ns: int) -> Reason:
        """Return why the server cannot answer now, or NO_REASON."""
        if not self._servers.ready or self._servers.bound is None:
            return self._servers.explain(now_ns, self._spec_id, self.settings)
        name = self.settings.aggregate_fn_name
        if AGGREGATIONS[name].sends_leftover and not self._servers.bound.supports_rtc:
            text = f"aggregate_fn_name {name}: the server's policy cannot continue a chunk"
            return Reason(causes.SPEC_REJECTED, text)
        return NO_REASON

    def _ask_if_due(self, now_ns: int, pose: Pose | None) -> Question | None:
        due = self._asker.due(now_ns, self.execution, self.settings)
        server = self._servers.bound
        if not due.now or pose is None or server is None:
            return None
        self._counters.timeouts += int(due.timed_out)
        self._counters.requests += 1
        return self._asker.ask(now_ns, pose, self.execution, server, self.session, self.settings)

    def _settle(self, now_ns: int, executed: bool, silence: Reason) -> None:
        """Set state and cause after a tick."""
        was_running = self.state is QueueState.RUNNING
        trouble = silence or self._reception.trouble
        if executed:
            self._be(QueueState.RUNNING, trouble or Reason(causes.RUNNING, ""))
        elif not self.execution.chunk_rows:
            self._be(QueueState.WAITING, trouble or Reason(causes.WAITING, "waiting for the first answer"))
        elif silence or self._reception.is_refused or self._questions.outstanding is None:
            self._be(QueueState.HOLDING, trouble or Reason(causes.WAITING_TO_ASK, "waiting to ask again"))
        else:
            self._be(QueueState.STARVED, trouble or Reason(causes.STARVED, "waiting for an answer"))
        if was_running and not executed:
            self.notices.add(now_ns, "empty", Level.WARNING, f"action queue empty, holding: {self.cause}")

    def _be(self, state: QueueState, reason: Reason) -> None:
        self.state, self.cause, self.cause_name = state, reason.text, reason.cause

    # -- small parts -------------------------------------------------------------------------------------------------

    def _make_spec(self, now_ns: int) -> None:
        if self._limits is None:
            return
        try:
            self._bounds = bounds_of(self._limits, self.settings.joint_names)
        except LimitsError as error:
            self._limits_fault = str(error)
            self.notices.add(now_ns, "limits", Level.ERROR, str(error))
            self.stop(now_ns, Reason(causes.LIMITS_UNUSABLE, str(error)))
            return
        self._limits_fault = ""
        self.spec = policy_spec(self.settings, self._limits)
        self._spec_id = self.spec.spec_id

    def _forget_rows_and_question(self) -> None:
        self.execution.forget_rows()
        self._questions.forget_outstanding()
