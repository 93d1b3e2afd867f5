# SPDX-License-Identifier: Apache-2.0
"""Which observation request a camera answers, and when: once each, and only if the policy wants this camera.

A request comes twice, 10 ms apart, so that one lost datagram costs 10 ms instead of a heartbeat period. The first copy
that can be answered is, the other is not. A request that cannot be answered yet, because its PolicySpec or the first
frame has not come, waits here for a moment: at start-up the latched spec and the first request race each other. So does
one that shall get the camera's next frame (`FramePhase`), until that comes or its time is over.
"""

from collections import deque
from dataclasses import dataclass

from so101_camera.core.frame_phase import NO_WAIT, FrameWait

# A request older than this is not worth answering: the queue asks again after its request_timeout_s (1 s), and an
# answer to what is long superseded only fills the network.
PENDING_LIMIT_NS = 500_000_000

# Answered ids remembered. Requests come 1-3 times a second and are repeated after 10 ms; reordering over more than a
# few of them does not happen on one reliable topic.
REMEMBERED = 32

# Most observation steps that one request gets; the action queue asks for no more, and LeRobot's policies read 1 to 5.
MAX_STEPS = 32


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """What a camera needs to know of an ObservationRequest.

    Attributes:
        session, request_id: identify the request; a copy has the same.
        spec_id: the PolicySpec it belongs to.
        history: observation steps wanted, 1 = now only; 0 is read as 1.
        must_go: the robot has nothing left to execute, so that it waits for no frame.
        frame_sizes: height and width at which each camera of the spec may send its frames, pixels, flat; 0, 0 = as
            captured; empty = all as captured.
        frame_wait_ns: how long it may wait here for the camera's next frame, ns.
    """

    session: int
    request_id: int
    spec_id: int
    history: int = 1
    must_go: bool = False
    frame_sizes: tuple[int, ...] = ()
    frame_wait_ns: int = 0

    @property
    def steps(self) -> int:
        """Observation steps to send, 1 to MAX_STEPS."""
        return min(max(1, self.history), MAX_STEPS)


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """What a camera needs to know of a PolicySpec: which cameras it names, and the observation period in ns."""

    spec_id: int
    cameras: tuple[str, ...]
    period_ns: int

    def size_for(self, camera: str, request: FrameRequest) -> tuple[int, int]:
        """Return height and width that the request gives this camera's frames, pixels; (0, 0) = as captured."""
        at = 2 * self.cameras.index(camera) if camera in self.cameras else 0
        height, width = (*request.frame_sizes[at : at + 2], 0, 0)[:2]
        return (height, width) if height and width else (0, 0)


class AnsweringRule:
    """Decides for one camera. Not thread-safe; the owner holds a lock."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._spec: CameraSpec | None = None
        self._answered: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)
        self._pending: tuple[FrameRequest, int] | None = None
        self._given: tuple[FrameRequest, int] | None = None
        self._overtaken: tuple[FrameRequest, int] | None = None
        self._hold_until_ns = 0
        self._held_since_ns = 0
        self._frames_to_come = 0
        self._waited_ns = 0

    @property
    def spec(self) -> CameraSpec | None:
        """The newest spec; None before the first."""
        return self._spec

    @property
    def is_wanted(self) -> bool:
        """Whether the newest spec names this camera."""
        return self._spec is not None and self._camera in self._spec.cameras

    @property
    def waited_ns(self) -> int:
        """How long the request that `due` gave last had waited for a newer frame, ns; 0 = not at all."""
        return self._waited_ns

    def on_spec(self, spec: CameraSpec) -> None:
        """Take over the newest spec. Call `due` afterwards: a waiting request may have become answerable."""
        self._spec = spec

    def on_request(self, request: FrameRequest, now_ns: int, wait: FrameWait = NO_WAIT) -> bool:
        """Note a request or its copy. Call `due` afterwards, and again when its time is over where this returns True.

        Args:
            request: what came.
            now_ns: monotonic clock, ns.
            wait: for what it waits, unless the robot has nothing left to execute.

        Returns:
            Whether it begins to wait for one; its second copy does not begin again.
        """
        if (request.session, request.request_id) in self._answered:
            return False
        previous, self._pending = self._pending, (request, now_ns)
        is_new = previous is None or previous[0] != request
        if not is_new:
            return False
        if self._frames_to_come and self._overtaken is None:
            self._overtaken = previous  # its wait ends here: no request costs another one its frame
        is_held = wait.frames > 0 and wait.longest_ns > 0 and not request.must_go
        self._held_since_ns, self._frames_to_come = now_ns, wait.frames if is_held else 0
        self._hold_until_ns = now_ns + wait.longest_ns if is_held else 0
        return is_held

    def on_frame(self) -> None:
        """A newer frame came: what waited for it waits no more. Call `due` afterwards."""
        self._frames_to_come = max(0, self._frames_to_come - 1)

    def due(self, now_ns: int, frame_ready: bool) -> FrameRequest | None:
        """Return a request to answer now, at most once each; None when there is none. Call it until then.

        Args:
            now_ns: monotonic clock, ns.
            frame_ready: whether the camera has any frame to answer with.
        """
        if self._overtaken is not None and frame_ready:
            self._given, self._overtaken = self._overtaken, None
            self._waited_ns = max(0, now_ns - self._given[1])
            if self._is_answerable(self._given[0]) and self.is_wanted and self._waited_ns <= PENDING_LIMIT_NS:
                self._answered.append((self._given[0].session, self._given[0].request_id))
                return self._given[0]
        if self._pending is None:
            return None
        request, arrived_ns = self._pending
        if now_ns - arrived_ns > PENDING_LIMIT_NS:
            self._pending = None
            return None
        if not self._is_answerable(request) or not frame_ready:
            return None
        if self._frames_to_come and now_ns < self._hold_until_ns:
            return None
        self._waited_ns = now_ns - self._held_since_ns if self._hold_until_ns else 0
        self._given, self._pending = self._pending, None
        if not self.is_wanted:
            return None
        self._answered.append((request.session, request.request_id))
        return request

    def _is_answerable(self, request: FrameRequest) -> bool:
        return self._spec is not None and request.spec_id == self._spec.spec_id

    def take_back(self, request: FrameRequest) -> None:
        """The frame for a request that `due` gave was of no use: it waits for the next one, unless a newer one does."""
        if self._given is None or self._given[0] != request or self._pending is not None:
            return
        self._pending, self._given = self._given, None
        self._answered.remove((request.session, request.request_id))
