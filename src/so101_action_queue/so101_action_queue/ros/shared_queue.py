# SPDX-License-Identifier: Apache-2.0
"""The queue of one node behind a lock: the spinning thread and the control thread use it alike."""

import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from so101_msgs.msg import ActionChunk, DriverStatus, FrameTiming, JointLimits, PolicyStatus
from so101_node.log_lines import LogLevel, LogLine
from so101_node.protocol import ChunkVerdict, DriverState, FloatArray, PolicySpec
from so101_node.timing import clock

from so101_action_queue import translation
from so101_action_queue.core.camera_choice import CameraChoice
from so101_action_queue.core.decisions import CoreStatus, ServiceResult, TickDecision
from so101_action_queue.core.fresh_frames import FreshFrames
from so101_action_queue.core.inputs import JointPositions
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.journal import Journal, JournalEntry
from so101_action_queue.ros.correction_diagnosis import CorrectionView
from so101_action_queue.ros.diagnosis import QueueLatency

if TYPE_CHECKING:  # imported only where a correction is loaded
    from so101_action_queue.ros.queue_correction import QueueCorrection


@dataclass(frozen=True, slots=True)
class SpecInForce:
    """What `policy_spec` must say."""

    spec: PolicySpec
    session: int
    task: str


@dataclass(frozen=True, slots=True)
class QueueView:
    """What people are told: new lines for the log, the status, and names of servers that answer besides ours."""

    lines: list[LogLine]
    status: CoreStatus
    rivals: list[str]
    correction: CorrectionView | None


@dataclass(frozen=True, slots=True)
class TickOutcome:
    """One tick: the decision, the state after it, and what the driver is told.

    command: (joints,) rad, the setpoint with the correction; None while nothing may be commanded. correction: (joints,)
    rad, empty where none is loaded; correction_cause: why nothing is added. frame_wait_s: how long the cameras may let
    the decision's request wait, no part of the decision.
    """

    decision: TickDecision
    status: CoreStatus
    command: tuple[float, ...] | None
    correction: tuple[float, ...] = ()
    correction_cause: str = ""
    frame_wait_s: float = 0.0


class SharedQueue:
    """Holds a journal from `open` to `close`, and the choice of cameras. Each call holds the lock for one input.

    Outside of that time inputs are dropped, and what would be returned is None.

    Args:
        settings: the parameters; their cameras are those that the robot has.
        fresh_frames_within_s: how long a request may let the cameras wait, s.
    """

    def __init__(self, settings: QueueSettings, fresh_frames_within_s: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._parameters = settings
        self._cameras = CameraChoice(settings.cameras)
        self._latency = QueueLatency()
        self._fresh_frames = FreshFrames(round(fresh_frames_within_s * 1e9))
        self._journal: Journal | None = None
        self._correction: QueueCorrection | None = None

    def correct_with(self, correction: "QueueCorrection | None") -> None:
        """Correct the setpoints from now on, or no more."""
        with self._lock:
            self._correction = correction

    def open(self, sink: Callable[[JournalEntry], None]) -> None:
        """Begin with a fresh core, whose inputs and decisions go to `sink`."""
        with self._lock:
            self._journal = Journal(clock.now_ns(), self._settings(), sink)

    def close(self) -> None:
        """Let go of the core: a tick that comes now commands nothing."""
        with self._lock:
            self._journal = None

    # -- control thread ----------------------------------------------------------------------------------------------

    def tick(self, now_ns: int, measured: JointPositions | None) -> TickOutcome | None:
        """One control tick."""
        with self._lock:
            if self._journal is None:
                return None
            correction = self._correction
            correct = partial(correction.tick, now_ns, measured, self._cameras.known) if correction else None
            decision = self._journal.tick(now_ns, measured, correct)
            status = self._journal.core.status(now_ns)
            self._latency.tick(status.session, now_ns, status.step)
            frame_wait_s = self._frame_wait_s(now_ns, decision, self._journal)
            if correction is None:
                return TickOutcome(decision, status, decision.setpoint, frame_wait_s=frame_wait_s)
            delta, cause = correction.delta, correction.cause
        command = decision.setpoint and tuple(row + added for row, added in zip(decision.setpoint, delta, strict=True))
        return TickOutcome(decision, status, command, delta, cause, frame_wait_s)

    def _frame_wait_s(self, now_ns: int, decision: TickDecision, journal: Journal) -> float:
        """How long cameras may let the request of this tick wait; a robot with nothing to execute waits for none."""
        spec = journal.core.spec
        if decision.request is None or decision.request.must_go or spec is None:
            return 0.0
        return self._fresh_frames.wait_ns(now_ns, spec.cameras) / 1e9

    # -- what others say ---------------------------------------------------------------------------------------------

    def hear_driver(self, message: DriverStatus) -> None:
        """A DriverStatus."""
        report = translation.driver_from(message)
        with self._lock:
            if self._journal:
                self._journal.hear_driver(clock.now_ns(), report, message)
            if self._correction:
                self._correction.take_engaged(report.state == DriverState.ENGAGED)

    def hear_frame_timing(self, message: FrameTiming) -> None:
        """A FrameTiming."""
        timing = translation.frame_timing_from(message, clock.now_ns())
        with self._lock:
            self._fresh_frames.hear(message.camera, timing)

    def set_limits(self, message: JointLimits) -> None:
        """A JointLimits."""
        limits = translation.limits_from(message)
        with self._lock:
            if self._journal:
                self._journal.set_limits(clock.now_ns(), limits, message)
            if self._correction:
                self._correction.take_limits(limits)

    def hear_server(self, message: PolicyStatus) -> bool:
        """A PolicyStatus; return whether its server has not heard of our spec."""
        report = translation.server_from(message)
        with self._lock:
            if self._journal is None:
                return False
            self._journal.hear_server(clock.now_ns(), report, message)
            self._choose_cameras(self._journal)
            spec = self._journal.core.spec
        return spec is not None and report.spec_id != spec.spec_id and not report.leaving

    def take_chunk(self, message: ActionChunk) -> FloatArray | None:
        """An ActionChunk; return the rows ahead, (rows, joints) rad, where it was accepted."""
        chunk = translation.chunk_from(message)
        with self._lock:
            if self._journal is None:
                return None
            now_ns, core = clock.now_ns(), self._journal.core
            decision = self._journal.take_chunk(now_ns, chunk, message)
            if decision.verdict is not ChunkVerdict.ACCEPTED:
                return None
            self._latency.chunk(core.session, now_ns, core.step, decision.round_trip_s, message)
            return core.rows_ahead()

    # -- what operators want -----------------------------------------------------------------------------------------

    def start(self) -> ServiceResult | None:
        """Begin a session under a random number; the reply says what it waits for, where that is more than a chunk."""

        def begin(journal: Journal, now_ns: int) -> ServiceResult:
            result = journal.start(now_ns, new_session())
            missing = journal.core.waits_for(now_ns) if result.done else ""
            return replace(result, reason=f"{result.reason}, but nothing moves yet: {missing}") if missing else result

        return self._call(begin)

    def stop(self) -> ServiceResult | None:
        """End the session."""
        return self._call(lambda journal, now_ns: journal.stop(now_ns))

    def pause(self) -> ServiceResult | None:
        """Hold; `start` goes on in a new session."""
        return self._call(lambda journal, now_ns: journal.pause(now_ns))

    def _call(self, wish: Callable[[Journal, int], ServiceResult]) -> ServiceResult | None:
        with self._lock:
            return wish(self._journal, clock.now_ns()) if self._journal else None

    def change(self, parameters: QueueSettings) -> bool:
        """Changed parameters; return whether they concern the core."""
        with self._lock:
            before = self._settings()
            self._parameters = parameters
            after = self._settings()
            if before != after and self._journal:
                self._journal.change(clock.now_ns(), after)
        return before != after

    # -- cameras -----------------------------------------------------------------------------------------------------

    @property
    def searches_cameras(self) -> bool:
        """Whether the policy reads cameras that have not been found yet."""
        return self._cameras.is_searching

    def find_cameras(self, names: Iterable[str]) -> None:
        """The cameras that are there now."""
        with self._lock:
            self._cameras.find(names)
            if self._journal:
                self._choose_cameras(self._journal)

    def _settings(self) -> QueueSettings:
        """The parameters, with the cameras that the policy reads in place of those that the robot has."""
        return replace(self._parameters, cameras=self._cameras.chosen)

    def _choose_cameras(self, journal: Journal) -> None:
        """Let the spec name the cameras that the server's policy reads; the caller holds the lock."""
        now_ns, core = clock.now_ns(), journal.core
        spec_id = core.spec.spec_id if core.spec else 0
        if not self._cameras.choose(now_ns, core.server, spec_id):
            return
        journal.change(now_ns, self._settings())
        left_out = self._cameras.left_out
        text = f"cameras: {', '.join(self._cameras.chosen) or 'none'}"
        if left_out:
            text += f"; left out, the policy does not read them: {', '.join(left_out)}"
        core.lines.add(now_ns, "cameras", LogLevel.INFO, text)

    # -- reading -----------------------------------------------------------------------------------------------------

    def spec_in_force(self) -> SpecInForce | None:
        """Return what `policy_spec` must say; None before the joint limits are known."""
        with self._lock:
            core = self._journal.core if self._journal else None
            if core is None or core.spec is None:
                return None
            return SpecInForce(core.spec, core.session, core.settings.task)

    def look(self) -> QueueView | None:
        """Return what people are told. Lines are taken: each is returned once."""
        with self._lock:
            if self._journal is None:
                return None
            core, now_ns = self._journal.core, clock.now_ns()
            view = self._correction.view() if self._correction else None
            return QueueView(core.lines.take(), core.status(now_ns), core.rival_servers(now_ns), view)

    def latency(self) -> dict[str, str]:
        """Return where the time of the last chunks went, as values for diagnostics."""
        with self._lock:
            return self._latency.values()


def new_session() -> int:
    """Return a random session number, never 0."""
    return secrets.randbits(63) | 1
