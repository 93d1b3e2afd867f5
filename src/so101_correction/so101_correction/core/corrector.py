# SPDX-License-Identifier: Apache-2.0
"""The correction over time: frames of now, of a moment ago and of each request, and a delta that moves in bounds.

It reads no clock, so that the action queue's node and virtual time run the very same object.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from so101_node.protocol import FloatArray

from so101_correction.core.causes import NO_HINDRANCE, CorrectionCause, Hindrance
from so101_correction.core.correct import SetpointCorrection, positive
from so101_correction.core.correction_file import CorrectionFile
from so101_correction.core.network import Thumbnail
from so101_correction.core.seen_frame import SeenFrame
from so101_correction.errors import CorrectionInputError, expect_array

FADE_S: Final = 0.1
FRAME_TIMEOUT_S: Final = 0.2
FROZEN_S: Final = 0.25
REQUESTS_KEPT: Final = 64
"""15 kB each and camera. A plan lives for 3 s at most, in which 8 requests in flight are repeated a few times."""

EARLIER_STEPS_OFF: Final = 1.5
"""Control steps by which an earlier frame may be older or younger than the network was trained for, at most. Where none
is as near as that, the newest frame stands for it, which training shows the network too."""

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class BasePlan:
    """What the queue commands in a tick, and what it will.

    Attributes:
        setpoint: (joints,), rad.
        rows_ahead: (rows, joints) of the ticks after this one, rad.
        request_id: of the newest accepted chunk.
        age_steps: control steps since that request.
        executes: rows are executed; False while the queue waits, holds or is starved.

    Raises:
        CorrectionInputError: shapes that do not agree, or a negative age.
    """

    setpoint: FloatArray
    rows_ahead: FloatArray
    request_id: int
    age_steps: int
    executes: bool

    def __post_init__(self) -> None:
        expect_array("setpoint", self.setpoint.shape, ("joints",))
        expect_array("rows_ahead", self.rows_ahead.shape, ("rows", self.setpoint.size))
        if self.age_steps < 0:
            raise CorrectionInputError(f"age_steps: expected 0 or more, got {self.age_steps}")


@dataclass(frozen=True, slots=True)
class Correction:
    """What is added to the setpoint of a tick.

    Attributes:
        delta: (joints,), rad.
        cause: why it fades or is zero, one line; "" while it works.
        cause_name: the same by name, one of CorrectionCause.
    """

    delta: FloatArray
    cause: str = ""
    cause_name: CorrectionCause = CorrectionCause.NONE


class Corrector:
    """One correction, running.

    `see` and `lost` may be called from a thread that decodes while another one calls the rest: they swap one reference.
    """

    def __init__(
        self,
        file: CorrectionFile,
        limits: tuple[FloatArray, FloatArray] | None = None,
        *,
        largest_delta_rad: float = 0.0,
        largest_change_rad: float = 0.0,
        frame_timeout_s: float = FRAME_TIMEOUT_S,
        frozen_s: float = FROZEN_S,
    ) -> None:
        """Begin without frames.

        Args:
            file: the correction.
            limits: lower and upper (joints,), rad; None = none.
            largest_delta_rad: bound of what is added to a joint; 0 = the file's.
            largest_change_rad: bound of its change in a tick, rad; 0 = the file's.
            frame_timeout_s: a frame older than this stops the correction.
            frozen_s: so do equal frames for longer than this; 0 = never, for rendered ones, which are equal in a scene
                where nothing moves.

        Raises:
            CorrectionInputError: bounds, times or limits that cannot be.
        """
        if not 0 < frame_timeout_s < 60:
            raise CorrectionInputError(f"frame_timeout_s: expected above 0 and below 60, got {frame_timeout_s}")
        if not 0 <= frozen_s < 60:
            raise CorrectionInputError(f"frozen_s: expected 0 or more and below 60, got {frozen_s}")
        self.file = file
        self._rule = SetpointCorrection(file, limits, largest_delta_rad=largest_delta_rad)
        self.largest_delta_rad = self._rule.largest_delta_rad
        self.largest_change_rad = positive("largest_change_rad", largest_change_rad or file.largest_change_rad)
        self._timeout_ns, self._frozen_ns = round(frame_timeout_s * _NS), round(frozen_s * _NS)
        period_ns = _NS / file.fps
        self._earlier_ns, self._off_ns = round(file.earlier_steps * period_ns), EARLIER_STEPS_OFF * period_ns
        self._keep_ns = self._earlier_ns + self._off_ns if self._earlier_ns else 0.0
        self._fade = _Fade(file.fps)
        self._seen: dict[str, SeenFrame] = {}
        self._lost: dict[str, str] = {}
        self.begin()

    def begin(self) -> None:
        """Forget requests and delta: a session begins.

        Newest frames stay, since its first request is often sent before the next one comes.
        """
        self._requests: OrderedDict[int, Mapping[str, Thumbnail] | None] = OrderedDict()
        self._plan_id: int | None = None
        self._delta: FloatArray = np.zeros(len(self.file.joint_names))
        self._fade.end()

    def set_limits(self, lower: FloatArray, upper: FloatArray) -> None:
        """Take other limits of the joints; (joints,), rad."""
        self._rule.set_limits(lower, upper)

    def see(self, camera: str, thumbnail: Thumbnail, now_ns: int) -> None:
        """Take the newest frame of a camera.

        Args:
            camera: one of the file's.
            thumbnail: (height, width, 3) uint8 RGB; copied.
            now_ns: when it was received, on the clock of `tick`.

        Raises:
            CorrectionInputError: another camera, shape or type.
        """
        self._rule.expect_thumbnail(camera, thumbnail)
        before = self._seen.get(camera)
        if before is not None and before.received_ns <= now_ns:
            self._seen[camera] = before.followed_by(thumbnail, now_ns, self._keep_ns)
        else:  # the first one, or the clock is another one since
            self._seen[camera] = SeenFrame(thumbnail.copy(), now_ns, now_ns)
        self._lost.pop(camera, None)

    def lost(self, camera: str, problem: str) -> None:
        """Stop by reason of a camera, until its next good frame: its frame could not be used.

        Args:
            camera: one of the file's.
            problem: one line for people.
        """
        self._lost[camera] = problem

    def requested(self, request_id: int, now_ns: int) -> None:
        """Keep the newest frames as those of a request that is sent now; none of them where one cannot be used.

        Frozen ones are kept: the policy is given the same, and in a simulated scene where nothing moves they are right.
        """
        found = {self._hindrance_of(camera, now_ns).cause for camera in self.file.cameras}
        usable = found <= {CorrectionCause.NONE, CorrectionCause.FRAME_FROZEN}
        frames = {camera: self._seen[camera].thumbnail for camera in self.file.cameras} if usable else None
        self._requests[request_id] = frames
        while len(self._requests) > REQUESTS_KEPT:
            oldest = next(one for one in self._requests if one not in (self._plan_id, request_id))
            del self._requests[oldest]

    def tick(self, now_ns: int, plan: BasePlan | None, joint_positions: FloatArray) -> Correction:
        """Return what is added to the setpoint of this tick; to be called once in each.

        Args:
            now_ns: time of the tick.
            plan: what the queue commands; None = nothing.
            joint_positions: (joints,) measured, rad; NaN = not known.

        Raises:
            CorrectionInputError: a number of joints that is not the file's.
        """
        positions = np.asarray(joint_positions, np.float64)
        expect_array("joint_positions", positions.shape, self._delta.shape)
        if plan is not None:
            expect_array("setpoint", plan.setpoint.shape, self._delta.shape)
            self._plan_id = plan.request_id
        wanted, hindrance = self._wanted(now_ns, plan, positions)
        if wanted is None:
            delta = self._fade.of(self._delta, now_ns)
        else:
            self._fade.end()
            change = np.clip(wanted - self._delta, -self.largest_change_rad, self.largest_change_rad)
            delta = np.clip(self._delta + change, -self.largest_delta_rad, self.largest_delta_rad)
        if plan is not None and np.isfinite(plan.setpoint).all():
            delta = self._rule.limited(plan.setpoint, delta)
        self._delta = delta
        return Correction(delta.copy(), hindrance.text, hindrance.cause)

    def _wanted(self, now_ns: int, plan: BasePlan | None, positions: FloatArray) -> tuple[FloatArray | None, Hindrance]:
        """What the network wants to add, or what stops it."""
        if plan is None:
            return None, Hindrance(CorrectionCause.NO_PLAN, "the queue commands nothing")
        if hindrance := self._hindrance(now_ns, plan, positions):
            return None, hindrance
        seen = {camera: self._seen[camera] for camera in self.file.cameras}
        now = {camera: frame.thumbnail for camera, frame in seen.items()}
        then = self._requests.get(plan.request_id) or {}
        earlier = {
            camera: frame.at(frame.received_ns - self._earlier_ns, self._off_ns) for camera, frame in seen.items()
        }
        wanted = self._rule.wanted(plan.setpoint, plan.rows_ahead, positions, plan.age_steps, now, then, earlier)
        if not np.isfinite(wanted).all():
            return None, Hindrance(CorrectionCause.RESULT_NOT_FINITE, "the network's result is not finite")
        return wanted, NO_HINDRANCE

    def _hindrance(self, now_ns: int, plan: BasePlan, positions: FloatArray) -> Hindrance:
        if not plan.executes:
            return Hindrance(CorrectionCause.NOT_EXECUTING, "the queue executes no rows")
        if not np.isfinite(positions).all():
            return Hindrance(CorrectionCause.JOINTS_UNKNOWN, "joint positions are not known")
        if plan.age_steps > self.file.oldest_age_steps:
            return Hindrance(
                CorrectionCause.PLAN_TOO_OLD,
                f"plan of {plan.age_steps} steps ago, trained up to {self.file.oldest_age_steps}",
            )
        for camera in self.file.cameras:
            if hindrance := self._hindrance_of(camera, now_ns):
                return hindrance
        if self.file.cameras and self._requests.get(plan.request_id) is None:
            return Hindrance(
                CorrectionCause.REQUEST_FRAME_MISSING, f"no usable frames of when request {plan.request_id} was sent"
            )
        return NO_HINDRANCE

    def _hindrance_of(self, camera: str, now_ns: int) -> Hindrance:
        """What is wrong with the newest frame of a camera."""
        if problem := self._lost.get(camera):
            return Hindrance(CorrectionCause.FRAME_UNUSABLE, f"camera {camera}: {problem}")
        seen = self._seen.get(camera)
        if seen is None:
            return Hindrance(CorrectionCause.FRAME_MISSING, f"camera {camera}: no frame yet")
        age_ns = now_ns - seen.received_ns
        if abs(age_ns) > self._timeout_ns:  # far ahead: received on another clock
            limit = self._timeout_ns / _NS
            return Hindrance(
                CorrectionCause.FRAME_OLD, f"camera {camera}: newest frame {age_ns / _NS:.2f} s old, limit {limit:g} s"
            )
        equal_ns = seen.received_ns - seen.changed_ns
        if self._frozen_ns and equal_ns > self._frozen_ns:
            return Hindrance(
                CorrectionCause.FRAME_FROZEN, f"camera {camera}: the same frame for {equal_ns / _NS:.2f} s"
            )
        return NO_HINDRANCE


class _Fade:
    """A line from the delta at its begin to zero, within FADE_S counted from the tick in which it begins."""

    def __init__(self, fps: float) -> None:
        self._period_ns = _NS / fps
        self._steps = max(1, int(FADE_S * fps + 1e-9))
        self.end()

    def end(self) -> None:
        """The next fade begins at what the delta is then."""
        self._first: FloatArray | None = None
        self._begin_ns, self._ticks = 0, 0

    def of(self, delta: FloatArray, now_ns: int) -> FloatArray:
        """The delta of this tick. Ticks count, and so does time, where ticks were missed."""
        if self._first is None:
            self._first, self._begin_ns = delta, now_ns
        self._ticks += 1
        passed = max(self._ticks, 1 + (now_ns - self._begin_ns) / self._period_ns)
        faded = self._first * max(0.0, 1 - passed / self._steps)
        # Limits of joints may have cut the delta meanwhile; fading never takes it back out.
        return np.where(np.abs(faded) < np.abs(delta), faded, delta)
