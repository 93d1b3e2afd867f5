"""The core in virtual time, with an ideal driver, one policy server and a network between: for tuning and for tests.

Nothing here waits: a minute of arm time takes about a second. The server works as the real one does: one inference at a
time, one slot in which the newest question replaces the one that waits, heartbeats at 5 Hz that say whether it is busy.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from so101_action_queue.decisions import ChunkDecision, Counters, Notice, Question, QueueState
from so101_action_queue.driver_watch import COMMAND_TIMEOUT
from so101_action_queue.inputs import (
    Answer,
    AnswerStatus,
    DriverReport,
    DriverState,
    FloatArray,
    JointLimits,
    Pose,
    ServerReport,
    ServerState,
)
from so101_action_queue.journal import Entry, Journal
from so101_action_queue.settings import Settings

HEARTBEAT_NS = 200_000_000
DRIVER_STATUS_NS = 100_000_000
DRIVER_ID = 7
SERVER_ID = 99
SESSION = 4711

COPY_S = 0.010  # questions and answers are published again after this long, as by so101_node.repeat

Policy = Callable[[Question], FloatArray]
Delay = Callable[[int], float | None]


@dataclass(frozen=True, slots=True)
class Link:
    """Times in s by request_id; None loses this copy of the question, the inference, or this copy of the answer.

    uplink_s and downlink_s are asked for each of the two copies.
    """

    uplink_s: Delay = lambda request_id: 0.002
    inference_s: Delay = lambda request_id: 0.1
    downlink_s: Delay = lambda request_id: 0.002


@dataclass(slots=True)
class Trace:
    """What happened, tick by tick, and the answers' fates."""

    states: list[QueueState] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    setpoints: list[tuple[float, ...]] = field(default_factory=list)  # rad; only ticks that command
    action_ages_s: list[float] = field(default_factory=list)  # NaN where no row was executed
    questions: list[Question] = field(default_factory=list)
    question_ticks: list[int] = field(default_factory=list)
    answers: list[ChunkDecision] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)

    def starved_share(self) -> float:
        """Return the share of ticks with an empty queue after the first chunk."""
        moving = sum(state in (QueueState.RUNNING, QueueState.STARVED, QueueState.HOLDING) for state in self.states)
        return self.counters.starved_ticks / moving if moving else 0.0

    def jerk_rms(self, period_s: float) -> float:
        """Return the root mean square of the commands' third difference over all joints, rad/s^3."""
        if len(self.setpoints) < 4:
            return 0.0
        third = np.diff(np.array(self.setpoints), n=3, axis=0) / period_s**3
        return float(np.sqrt(np.mean(third**2)))


class Arm(Protocol):
    """What a VirtualSession commands."""

    @property
    def positions(self) -> tuple[float, ...]:
        """The measured pose, (joints,), rad."""
        ...

    def step(self, setpoint: tuple[float, ...]) -> None:
        """Follow a setpoint, (joints,), rad, for one control period."""
        ...


class IdealArm:
    """Is at once where it is told to be."""

    def __init__(self, positions: tuple[float, ...]) -> None:
        self.positions = positions

    def step(self, setpoint: tuple[float, ...]) -> None:
        """Be there."""
        self.positions = setpoint


class VirtualSession:
    """A started queue and the world around it. Tests change `driver`, `server` and `link` between calls of `run`.

    Args:
        settings: of the queue.
        policy: question -> rows (rows, joints), rad, row 0 meant for `question.step`.
        link: how long everything takes.
        home: (joints,) rad, where the arm stands at the start; all zeros by default.
        arm: what follows the commands; an ideal one by default.
        limits: of the joints; -2 to 2 rad each by default.
    """

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        link: Link | None = None,
        home: tuple[float, ...] | None = None,
        *,
        arm: Arm | None = None,
        limits: JointLimits | None = None,
    ) -> None:
        joints = len(settings.joint_names)
        self.settings = settings
        self.policy = policy
        self.link = link or Link()
        self.entries: list[Entry] = []
        self.trace = Trace()
        self.now_ns = 1_000_000_000
        self.goal = home or (0.0,) * joints
        self.arm: Arm = arm or IdealArm(self.goal)
        self.limits = limits or JointLimits(
            DRIVER_ID, settings.joint_names, (-2.0,) * joints, (2.0,) * joints, (-2.0,) * joints, (2.0,) * joints,
            (0,) * joints,
        )  # fmt: skip
        self.journal = Journal(self.now_ns, settings, self.entries.append)
        self.journal.set_limits(self.now_ns, self.limits)
        self.driver = DriverReport(DRIVER_ID, DriverState.HOLD, "", "", settings.joint_names, self.goal)
        self.driver_speaks = True
        self.driver_engages_again = True
        self.server = ServerReport(SERVER_ID, "virtual", self.spec_id, ServerState.READY)
        self.server_speaks = True
        self._order = itertools.count()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._waiting: Question | None = None
        self._working: Question | None = None
        self._received: set[tuple[int, int]] = set()
        self._next_tick_ns = self.now_ns
        self._beat()
        self._report()

    @property
    def spec_id(self) -> int:
        """The id under which the queue published its spec."""
        return self.journal.core.spec.spec_id if self.journal.core.spec else 0

    def start(self) -> None:
        """Start the queue, as the operator does."""
        outcome = self.journal.start(self.now_ns, SESSION)
        if not outcome.done:
            raise RuntimeError(outcome.reason)

    def run(self, seconds: float) -> Trace:
        """Let `seconds` of virtual time pass and return the trace of everything so far."""
        until_ns = self.now_ns + round(seconds * 1e9)
        while self.now_ns < until_ns:
            due_ns = self._events[0][0] if self._events else until_ns
            self.now_ns = min(until_ns, due_ns, self._next_tick_ns)
            if self._events and self._events[0][0] <= self.now_ns:
                heapq.heappop(self._events)[2]()
            elif self._next_tick_ns <= self.now_ns:
                self._next_tick_ns += self.settings.period_ns
                self.tick()
        self.trace.counters = self.journal.core.status(self.now_ns).counters
        self.trace.notices += self.journal.core.notices.take()
        return self.trace

    def hold_up(self, seconds: float) -> None:
        """The queue's process stands still for that long; the driver brakes meanwhile, as it does without commands."""
        self.now_ns += round(seconds * 1e9)
        self._next_tick_ns = self.now_ns
        self.driver = replace(self.driver, state=DriverState.HOLD, cause=COMMAND_TIMEOUT)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something `seconds` from now."""
        heapq.heappush(self._events, (self.now_ns + round(seconds * 1e9), next(self._order), action))

    def tick(self) -> None:
        """One control tick, now."""
        decision = self.journal.tick(self.now_ns, Pose(self.arm.positions, 0.0))
        core = self.journal.core
        self.trace.states.append(core.state)
        self.trace.steps.append(core.execution.step)
        self.trace.lengths.append(core.execution.length)
        self.trace.action_ages_s.append(core.execution.action_age_s)
        if decision.question is not None:
            self.trace.questions.append(decision.question)
            self.trace.question_ticks.append(len(self.trace.states) - 1)
            self._send(decision.question)
        if decision.setpoint is not None:
            self._follow(decision.setpoint)
        self.arm.step(self.goal)

    def answer(self, question: Question, rows: FloatArray, **changes: object) -> Answer:
        """Return the server's OK answer to a question, with some fields changed where a test wants it."""
        answer = Answer(
            session=question.session,
            request_id=question.request_id,
            spec_id=question.spec_id,
            step=question.step,
            server_id=self.server.server_id,
            server_name=self.server.server_name,
            status=AnswerStatus.OK,
            message="",
            retry_after_s=0.0,
            period_s=1.0 / self.settings.fps,
            joint_names=self.settings.joint_names,
            rows=len(rows),
            positions=np.asarray(rows, dtype=np.float32).ravel(),
        )
        return replace(answer, **changes)  # type: ignore[arg-type]

    def deliver(self, answer: Answer) -> ChunkDecision:
        """Hand an answer to the queue, now."""
        decision = self.journal.take_answer(self.now_ns, answer)
        self.trace.answers.append(decision)
        return decision

    # -- driver ------------------------------------------------------------------------------------------------------

    def _follow(self, setpoint: tuple[float, ...]) -> None:
        self.trace.setpoints.append(setpoint)
        engages = self.driver.cause == "" or (self.driver.cause == COMMAND_TIMEOUT and self.driver_engages_again)
        if self.driver.state == DriverState.HOLD and engages:
            self.driver = replace(self.driver, state=DriverState.ENGAGED, cause="")
            self.after(0.001, self._say_driver)
        if self.driver.state == DriverState.ENGAGED:
            self.goal = setpoint
            self.driver = replace(self.driver, goal=setpoint)

    def _say_driver(self) -> None:
        if self.driver_speaks:
            self.journal.hear_driver(self.now_ns, self.driver)

    def _report(self) -> None:
        self._say_driver()
        self.after(DRIVER_STATUS_NS / 1e9, self._report)

    # -- server ------------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        if self.server_speaks:
            busy = self._working.session if self._working else 0
            self.journal.hear_server(self.now_ns, replace(self.server, busy_session=busy))
        self.after(HEARTBEAT_NS / 1e9, self._beat)

    def _send(self, question: Question) -> None:
        for copy_s in (0.0, COPY_S):
            delay_s = self.link.uplink_s(question.request_id)
            if delay_s is not None:
                self.after(copy_s + delay_s, lambda: self._receive(question))

    def _receive(self, question: Question) -> None:
        key = (question.session, question.request_id)
        if key in self._received:
            return
        self._received.add(key)
        if self._waiting is not None:
            nothing = np.empty((0, len(self.settings.joint_names)))
            self._reply(self.answer(self._waiting, nothing, status=AnswerStatus.SUPERSEDED))
        self._waiting = question
        if self._working is None:
            self._work()

    def _work(self) -> None:
        self._working, self._waiting = self._waiting, None
        question = self._working
        if question is None:
            return
        inference_s = self.link.inference_s(question.request_id)
        if inference_s is not None:
            self.after(inference_s, lambda: self._finish(question))

    def _finish(self, question: Question) -> None:
        self._reply(self.answer(question, self.policy(question)))
        self._work()

    def _reply(self, answer: Answer) -> None:
        for copy_s in (0.0, COPY_S):
            delay_s = self.link.downlink_s(answer.request_id)
            if delay_s is not None:
                self.after(copy_s + delay_s, lambda: self._arrive(answer))

    def _arrive(self, answer: Answer) -> None:
        self.deliver(answer)
