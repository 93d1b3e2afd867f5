# SPDX-License-Identifier: Apache-2.0
"""The core in virtual time, with an ideal driver, one policy server and a network between: for tuning and for tests.

Nothing here waits: a minute of arm time takes about a second. The server works as the real one does: one inference at a
time, one slot in which the newest request replaces the one that waits, heartbeats at 5 Hz that say whether it is busy.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from so101_node.protocol import ChunkStatus, DriverState, FloatArray, PolicyState

from so101_action_queue.core.decisions import ChunkDecision, ChunkRequest
from so101_action_queue.core.driver_watch import COMMAND_TIMEOUT
from so101_action_queue.core.inputs import DriverReport, JointLimits, JointPositions, ReceivedChunk, ServerReport
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.errors import StartError
from so101_action_queue.record.journal import Journal, JournalEntry
from so101_action_queue.record.session_trace import SessionTrace

HEARTBEAT_NS = 200_000_000
DRIVER_STATUS_NS = 100_000_000
DRIVER_ID = 7
SERVER_ID = 99
SESSION = 4711

COPY_S = 0.010  # requests and chunks are published again after this long, as by so101_node.topics.repeat

RowsPolicy = Callable[[ChunkRequest], FloatArray]
Delay = Callable[[int], float | None]


@dataclass(frozen=True, slots=True)
class VirtualLink:
    """Times in s by request_id; None loses this copy of the request, the inference, or this copy of the chunk.

    uplink_s and downlink_s are called for each of the two copies.
    """

    uplink_s: Delay = lambda request_id: 0.002
    inference_s: Delay = lambda request_id: 0.1
    downlink_s: Delay = lambda request_id: 0.002


class CommandedArm(Protocol):
    """What a VirtualSession commands."""

    @property
    def positions(self) -> tuple[float, ...]:
        """The measured joint positions, (joints,), rad."""
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
        policy: request -> rows (rows, joints), rad, row 0 meant for `request.step`.
        link: how long everything takes.
        home: (joints,) rad, where the arm stands at the start; all zeros by default.
        arm: what follows the commands; an ideal one by default.
        limits: of the joints; -2 to 2 rad each by default.
    """

    def __init__(
        self,
        settings: QueueSettings,
        policy: RowsPolicy,
        link: VirtualLink | None = None,
        home: tuple[float, ...] | None = None,
        *,
        arm: CommandedArm | None = None,
        limits: JointLimits | None = None,
    ) -> None:
        joints = len(settings.joint_names)
        self.settings = settings
        self.policy = policy
        self.link = link or VirtualLink()
        self.entries: list[JournalEntry] = []
        self.trace = SessionTrace()
        self.now_ns = 1_000_000_000
        self.goal = home or (0.0,) * joints
        self.arm: CommandedArm = arm or IdealArm(self.goal)
        self.limits = limits or JointLimits(
            DRIVER_ID, settings.joint_names, (-2.0,) * joints, (2.0,) * joints, (-2.0,) * joints, (2.0,) * joints,
            (0,) * joints,
        )  # fmt: skip
        self.journal = Journal(self.now_ns, settings, self.entries.append)
        self.journal.set_limits(self.now_ns, self.limits)
        self.driver = DriverReport(DRIVER_ID, DriverState.HOLD, "", "", settings.joint_names, self.goal)
        self.driver_speaks = True
        self.driver_engages_again = True
        self.server = ServerReport(SERVER_ID, "virtual", self.spec_id, PolicyState.READY)
        self.server_speaks = True
        self._order = itertools.count()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._waiting: ChunkRequest | None = None
        self._working: ChunkRequest | None = None
        self._received: set[tuple[int, int]] = set()
        self._newest_received: dict[int, int] = {}  # request_id by session
        self._next_tick_ns = self.now_ns
        self._beat()
        self._report()

    @property
    def spec_id(self) -> int:
        """The id under which the queue published its spec."""
        return self.journal.core.spec.spec_id if self.journal.core.spec else 0

    def start(self) -> None:
        """Start the queue, as the operator does."""
        result = self.journal.start(self.now_ns, SESSION)
        if not result.done:
            raise StartError(result.reason)

    def run(self, seconds: float) -> SessionTrace:
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
        self.trace.lines += self.journal.core.lines.take()
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
        decision = self.journal.tick(self.now_ns, JointPositions(self.arm.positions, 0.0))
        core = self.journal.core
        self.trace.states.append(core.state)
        self.trace.steps.append(core.step)
        self.trace.lengths.append(core.length)
        self.trace.action_ages_s.append(core.action_age_s)
        if decision.request is not None:
            self.trace.requests.append(decision.request)
            self.trace.request_ticks.append(len(self.trace.states) - 1)
            self._send(decision.request)
        if decision.setpoint is not None:
            self._follow(decision.setpoint)
        self.arm.step(self.goal)

    def chunk(self, request: ChunkRequest, rows: FloatArray, **changes: object) -> ReceivedChunk:
        """Return the server's OK chunk to a request, with some fields changed where a test wants it."""
        chunk = ReceivedChunk(
            session=request.session,
            request_id=request.request_id,
            spec_id=request.spec_id,
            step=request.step,
            server_id=self.server.server_id,
            server_name=self.server.server_name,
            status=ChunkStatus.OK,
            message="",
            retry_after_s=0.0,
            period_s=1.0 / self.settings.fps,
            joint_names=self.settings.joint_names,
            rows=len(rows),
            positions=np.asarray(rows, dtype=np.float32).ravel(),
        )
        return replace(chunk, **changes)  # type: ignore[arg-type]

    def deliver(self, chunk: ReceivedChunk) -> ChunkDecision:
        """Hand a chunk to the queue, now."""
        decision = self.journal.take_chunk(self.now_ns, chunk)
        self.trace.chunks.append(decision)
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

    def _send(self, request: ChunkRequest) -> None:
        for copy_s in (0.0, COPY_S):
            delay_s = self.link.uplink_s(request.request_id)
            if delay_s is not None:
                self.after(copy_s + delay_s, lambda: self._receive(request))

    def _receive(self, request: ChunkRequest) -> None:
        key = (request.session, request.request_id)
        if key in self._received:
            return
        self._received.add(key)
        if request.request_id < self._newest_received.get(request.session, 0):  # overtaken on its way
            self._supersede(request)
            return
        self._newest_received[request.session] = request.request_id
        if self._waiting is not None:
            self._supersede(self._waiting)
        self._waiting = request
        if self._working is None:
            self._work()

    def _supersede(self, request: ChunkRequest) -> None:
        nothing = np.empty((0, len(self.settings.joint_names)))
        self._reply(self.chunk(request, nothing, status=ChunkStatus.SUPERSEDED))

    def _work(self) -> None:
        self._working, self._waiting = self._waiting, None
        request = self._working
        if request is None:
            return
        inference_s = self.link.inference_s(request.request_id)
        if inference_s is not None:
            self.after(inference_s, lambda: self._finish(request))

    def _finish(self, request: ChunkRequest) -> None:
        self._reply(self.chunk(request, self.policy(request)))
        self._work()

    def _reply(self, chunk: ReceivedChunk) -> None:
        for copy_s in (0.0, COPY_S):
            delay_s = self.link.downlink_s(chunk.request_id)
            if delay_s is not None:
                self.after(copy_s + delay_s, lambda: self._arrive(chunk))

    def _arrive(self, chunk: ReceivedChunk) -> None:
        self.deliver(chunk)
