# SPDX-License-Identifier: Apache-2.0
"""The action queue's core: inputs with `now_ns` in, decisions out. It reads no clock and knows no ROS.

A *step* is one executed control tick; row i of a chunk requested at step s is meant for step s + i. The same inputs in
the same order give the same decisions, bit for bit, which is what `replay` checks. Not thread-safe.

One module because it is one class: each public method is one input or one reading of the queue, and what they share is
its state. How each decision is made stands in the modules around it.
"""

from dataclasses import replace

from so101_node.log_lines import LogLevel, ThrottledLines
from so101_node.protocol import ChunkVerdict, FloatArray, PolicySpec, QueueState

from so101_action_queue.core import causes
from so101_action_queue.core.causes import NO_REASON, Reason
from so101_action_queue.core.decisions import (
    ChunkDecision,
    ChunkRequest,
    CoreStatus,
    PlanInForce,
    QueueCounters,
    ServiceResult,
    TickDecision,
)
from so101_action_queue.core.driver_watch import DriverWatch
from so101_action_queue.core.execution import Execution
from so101_action_queue.core.inputs import (
    Bounds,
    DriverReport,
    JointLimits,
    JointPositions,
    ReceivedChunk,
    ServerReport,
)
from so101_action_queue.core.intake import ChunkIntake, ChunkOrigin, IntakeTerms
from so101_action_queue.core.requests import Requests
from so101_action_queue.core.server_watch import ServerEvent, ServerWatch
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.core.spec import RobotSpec
from so101_action_queue.core.states import HEALTHY, QueueEvent, QueuePhase, next_phase, tick_event
from so101_action_queue.core.tick_times import Elapsed, TickTimes


class ActionQueue:
    """One session at most: `start` begins it, `stop` or a fault ends it for good; the next one is a new object."""

    def __init__(self, now_ns: int, settings: QueueSettings) -> None:
        self.settings = settings
        self.session = 0  # 0 before it began
        self.phase = QueuePhase.IDLE
        self.lines = ThrottledLines()
        self._reason = Reason(causes.NOT_STARTED, "")
        self._created_ns = now_ns
        self._robot = RobotSpec()
        self._driver = DriverWatch()
        self._servers = ServerWatch()
        self._requests = Requests()
        self._execution = Execution(len(settings.joint_names))
        self._counters = QueueCounters()
        self._intake = ChunkIntake(self._execution, self._requests, self._counters)
        self._times = TickTimes()

    # -- inputs ------------------------------------------------------------------------------------------------------

    def configure(self, now_ns: int, settings: QueueSettings) -> None:
        """Take over changed parameters while running. Joints and rate of a session never change."""
        if settings.task != self.settings.task:
            self._requests.request_at_once()
        self.settings = settings
        self._make_spec(now_ns)

    def set_task(self, now_ns: int, task: str) -> None:
        """Change the task and request rows for it at once."""
        self.configure(now_ns, replace(self.settings, task=task))

    def set_limits(self, now_ns: int, limits: JointLimits) -> None:
        """Take in JointLimits; unusable ones stop a running session."""
        self._robot.take_limits(limits)
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
            self.lines.add(now_ns, "unwanted server", LogLevel.WARNING, text)
            return
        if not connected:
            self.lines.add(now_ns, "connected", LogLevel.INFO, f"Connected to policy server {report.server_name}")
        if self.session and report.busy_session == self.session and report.server_id == self._servers.bound_id:
            self._requests.server_is_busy_with_us(now_ns)

    def start_refusal(self, now_ns: int) -> str:
        """Return in one line why `start` would not begin a session now, or ""."""
        if self.is_started:
            return "already started"
        if self._robot.fault:
            return self._robot.fault
        refusal = self._driver.start_refusal(now_ns, self.settings.joint_names)
        if refusal:
            return refusal
        if not self._servers.any_heard_lately(now_ns):
            return self._servers.explain(now_ns, self._robot.spec_id, self.settings).text
        return ""

    def start(self, now_ns: int, session: int) -> ServiceResult:
        """Begin the session `session` (not 0) from the driver's last written goal. Only once in this object's life."""
        refusal = "this session is over" if self.session else self.start_refusal(now_ns)
        if refusal or self._robot.bounds is None:
            return ServiceResult(False, refusal)
        self.session = session
        self._execution.begin(self._robot.bounds.clip(self._driver.begin(now_ns, self.settings.joint_names)))
        self._enter(QueueEvent.START, Reason(causes.WAITING, ""))
        return ServiceResult(True, "started")

    def waits_for(self, now_ns: int) -> str:
        """Return in one line what a session that has begun still lacks of a server, "" where chunks can come."""
        return self._servers.missing(now_ns, self._robot.spec_id, self.settings) if self.is_started else ""

    def stop(self, now_ns: int, fault: Reason = NO_REASON) -> ServiceResult:
        """End the session: nothing is commanded any more; the driver decelerates and holds."""
        words = self.phase.words
        if fault:
            reason = replace(fault, text=f"{fault.text}; `start` needed")
        else:
            reason = Reason(causes.STOP_REQUESTED, "stop requested")
        if not self._enter(QueueEvent.FAULT if fault else QueueEvent.STOP, reason):
            return ServiceResult(True, f"already {words}" if self.session else words)
        self._forget_rows_and_request()
        level = LogLevel.ERROR if fault else LogLevel.INFO
        self.lines.add(now_ns, "stopped", level, f"stopped: {self.cause}")
        return ServiceResult(True, self.cause)

    def pause(self, now_ns: int) -> ServiceResult:
        """Forget the rows ahead and hold the setpoint; `start` goes on in a new session."""
        if not self._enter(QueueEvent.PAUSE, Reason(causes.PAUSED, "paused")):
            return ServiceResult(self.phase is QueuePhase.PAUSED, f"nothing to pause: {self.phase.words}")
        self._forget_rows_and_request()
        self.lines.add(now_ns, "paused", LogLevel.INFO, "paused")
        return ServiceResult(True, "paused")

    def take_chunk(self, now_ns: int, chunk: ReceivedChunk) -> ChunkDecision:
        """Take in an ActionChunk and say what became of it."""
        second = self._second_server(now_ns)
        second_id = second.server_id if second else 0
        origin = ChunkOrigin(self.session, self._robot.spec_id, self._servers.bound_id, second_id)
        bounds = self._robot.bounds if self.phase.is_started else None
        idle = "" if bounds is not None else f"the queue is {self.phase.words}"
        decision = self._intake.take(now_ns, chunk, origin, IntakeTerms(self.settings, bounds, self.lines, idle))
        if decision.verdict is ChunkVerdict.ACCEPTED:
            slow = self._requests.slow_warning(self._execution.chunk_rows, self.settings)
            if slow:
                self.lines.add(now_ns, "slow", LogLevel.WARNING, slow)
        return decision

    def tick(self, now_ns: int, measured: JointPositions | None) -> TickDecision:
        """Decide one control tick: what to command now, and whether to send a request."""
        elapsed = self._times.tick(now_ns, self.settings.period_ns)
        if self.phase is QueuePhase.IDLE:
            return TickDecision(None, fatal=self._servers.connect_failure(now_ns, self._created_ns, self.settings))
        self._watch_own_time(now_ns, elapsed)
        self._watch_server(now_ns)
        self._watch_driver(now_ns)
        bounds = self._robot.bounds
        if not self.phase.commands or bounds is None:
            return TickDecision(None)
        request = None
        if self.phase.is_started:
            self._requests.see(measured)
            executed = self._advance(now_ns, elapsed.periods, bounds)
            obstacle = self._driver.obstacle(measured, self.settings)
            obstacle = obstacle or self._servers.obstacle(now_ns, self._robot.spec_id, self.settings)
            request = self._request_if_due(now_ns, measured) if not obstacle else None
            self._settle(now_ns, executed, obstacle)
        return TickDecision(tuple(self._execution.setpoint.tolist()), request)

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> QueueState:
        """QueueStatus.state."""
        return self.phase.state

    @property
    def cause(self) -> str:
        """Why the state is what it is, one line; "" when nothing is wrong."""
        return self._reason.text

    @property
    def cause_name(self) -> str:
        """The cause as a constant of `causes`."""
        return self._reason.cause

    @property
    def is_started(self) -> bool:
        """Whether the session runs: started, and neither paused nor stopped since."""
        return self.phase.is_started

    @property
    def spec(self) -> PolicySpec | None:
        """What the robot expects of a policy; None before the joint limits are known."""
        return self._robot.spec

    @property
    def step(self) -> int:
        """The step to execute next."""
        return self._execution.step

    @property
    def executed(self) -> int:
        """Rows executed in this session."""
        return self._execution.executed

    @property
    def length(self) -> int:
        """Rows still to execute."""
        return self._execution.length

    @property
    def setpoint(self) -> FloatArray:
        """The last command, (joints,) float64, rad; NaN before the first."""
        return self._execution.setpoint.copy()

    @property
    def action_age_s(self) -> float:
        """Age of the observation behind the row executed last, s; NaN where the last tick executed none."""
        return self._execution.action_age_s

    def rows_ahead(self) -> FloatArray:
        """Return a copy of the rows still to execute, (rows, joints), rad."""
        return self._execution.rows_ahead()

    def base_plan(self) -> PlanInForce | None:
        """Return what the last tick follows; None while nothing is commanded. It changes nothing."""
        return self._execution.in_force(self.phase is QueuePhase.RUNNING) if self.phase.commands else None

    @property
    def server(self) -> ServerReport | None:
        """What the server says whose policy counts: the bound one, or before that the last that was heard."""
        return self._servers.spokesman

    def rival_servers(self, now_ns: int) -> list[str]:
        """Return the names of live servers that answer us too, though another is bound."""
        return self._servers.rivals(now_ns, self.settings)

    def status(self, now_ns: int) -> CoreStatus:
        """Return the whole state for people and plots."""
        outstanding, trips = self._requests.outstanding, self._requests.round_trips
        rows = self._execution.chunk_rows
        level = self._requests.level(rows, self.settings)
        return CoreStatus(
            state=self.state,
            cause=self.cause,
            cause_name=self.cause_name,
            session=self.session,
            spec_id=self._robot.spec_id,
            server_id=self._servers.bound_id,
            step=self._execution.step,
            length=self._execution.length,
            chunk_size=rows,
            threshold=level / rows if rows else self.settings.chunk_size_threshold,
            outstanding_request_id=outstanding.request_id if outstanding else 0,
            outstanding_age_s=(now_ns - outstanding.sent_ns) / 1e9 if outstanding else 0.0,
            outstanding=self._requests.count,
            accepted_request_id=self._requests.ledger.last_accepted_id,
            round_trip_last_s=trips.last_s,
            round_trip_p50_s=trips.p50_s,
            round_trip_p95_s=trips.p95_s,
            action_age_s=self._execution.action_age_s,
            counters=replace(self._counters),
        )

    # -- a tick, piece by piece --------------------------------------------------------------------------------------

    def _watch_own_time(self, now_ns: int, elapsed: Elapsed) -> None:
        """Nobody is lost because this queue could not listen; after long, nobody knows what happened meanwhile."""
        if self.phase is QueuePhase.STOPPED or not elapsed.is_held_up(self.settings):
            return
        fault = elapsed.fault(self.settings)
        if fault:
            self.stop(now_ns, fault)
            return
        self._driver.excuse(now_ns, elapsed.held_up_ns)
        self._servers.excuse(now_ns, elapsed.held_up_ns)

    def _watch_server(self, now_ns: int) -> None:
        if not self.phase.is_started:
            return
        for event in self._servers.judge(now_ns, self._robot.spec_id, self.settings):
            self._requests.forget_outstanding()
            if event in (ServerEvent.BOUND, ServerEvent.READY):
                self._requests.new_server()
                for kind, level, text in self._servers.greeting(self.settings):
                    self.lines.add(now_ns, kind, level, text)
                continue
            lost = event is ServerEvent.LOST  # another may have been bound in the same breath
            reason = self._servers.loss
            if not lost:
                reason = self._servers.explain(now_ns, self._robot.spec_id, self.settings)
            self.lines.add(now_ns, event.value, LogLevel.ERROR, f"Error receiving actions: {reason.text}")
            if lost and self.settings.on_server_lost == "stop":
                self.stop(now_ns, replace(reason, text=f"{reason.text} (on_server_lost: stop)"))
                return

    def _watch_driver(self, now_ns: int) -> None:
        if not self.phase.commands:
            return
        self._go_on_after_late_commands(now_ns)
        fault = self._driver.fault(now_ns, self.settings)
        if fault:
            self.stop(now_ns, fault)

    def _go_on_after_late_commands(self, now_ns: int) -> None:
        """The driver braked for want of commands or replies: hold where it did, until it engages again."""
        bounds = self._robot.bounds
        goal = self._driver.go_on(now_ns, self.settings) if bounds is not None else None
        if goal is None or bounds is None:
            return
        self._forget_rows_and_request()
        self._execution.begin(bounds.clip(goal))
        self.lines.add(now_ns, "late", LogLevel.WARNING, self._driver.pause_text)

    def _advance(self, now_ns: int, periods: int, bounds: Bounds) -> bool:
        """Execute the next row if there is one; return whether there was."""
        if not self._driver.is_engaged:
            self._execution.forget_rows()
        advance = self._execution.advance(now_ns, periods, self.settings, bounds)
        self._counters.rows_trimmed += advance.rows_skipped
        if advance.too_old:
            text = f"rows older than {self.settings.max_action_age_s:g} s dropped (max_action_age_s)"
            self._intake.trouble = Reason(causes.ROWS_TOO_OLD, text)
        if not advance.executed and self._execution.chunk_rows:
            self._counters.starved_ticks += 1
        return advance.executed

    def _request_if_due(self, now_ns: int, measured: JointPositions | None) -> ChunkRequest | None:
        due = self._requests.due(now_ns, self._execution, self.settings)
        server = self._servers.bound
        if measured is None or server is None:
            return None
        if not due.now:
            return self._hedge_if_due(now_ns, measured)
        self._counters.timeouts += due.timed_out
        self._counters.requests += 1
        return self._requests.make(now_ns, measured, self._execution, server, self.session, self.settings)

    def _hedge_if_due(self, now_ns: int, measured: JointPositions) -> ChunkRequest | None:
        """Ask a second server too, where the bound one is late."""
        if not self._requests.is_hedge_due(now_ns):
            return None
        second = self._second_server(now_ns)
        if second is None:
            return None
        self._counters.requests += 1
        self._counters.hedged += 1
        return self._requests.make(
            now_ns, measured, self._execution, second, self.session, self.settings, is_hedge=True
        )

    def _second_server(self, now_ns: int) -> ServerReport | None:
        if not self.settings.hedge:
            return None
        return self._servers.second(now_ns, self._robot.spec_id, self.settings)

    def _settle(self, now_ns: int, executed: bool, obstacle: Reason) -> None:
        """Enter the phase that the tick leads to."""
        was_running = self.phase is QueuePhase.RUNNING
        outstanding = self._requests.outstanding is not None
        has_request = outstanding and not obstacle and not self._intake.is_refused
        event = tick_event(executed, self._execution.chunk_rows > 0, has_request)
        self._enter(event, obstacle or self._intake.trouble)
        if was_running and not executed:
            self.lines.add(now_ns, "empty", LogLevel.WARNING, f"action queue empty, holding: {self.cause}")

    # -- small parts -------------------------------------------------------------------------------------------------

    def _enter(self, event: QueueEvent, reason: Reason) -> bool:
        """Move to the phase that the table names; return whether it names one. No reason: all is well there."""
        phase = next_phase(self.phase, event)
        if phase is None:
            return False
        self.phase, self._reason = phase, reason or HEALTHY[phase]
        return True

    def _make_spec(self, now_ns: int) -> None:
        unusable = self._robot.make(self.settings)
        if unusable:
            self.lines.add(now_ns, "limits", LogLevel.ERROR, unusable)
            self.stop(now_ns, Reason(causes.LIMITS_UNUSABLE, unusable))

    def _forget_rows_and_request(self) -> None:
        self._execution.forget_rows()
        self._requests.forget_outstanding()
