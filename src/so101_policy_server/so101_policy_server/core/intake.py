# SPDX-License-Identifier: Apache-2.0
"""From a request to a complete observation, or to exactly one chunk that says why there is none.

A request waits in the `Mailbox` as a `PendingObservation`, which the frames go to as they arrive; those that arrive
before their request wait among the `EarlyFrames`, and `CameraFreshness` says which are too old.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from so101_node.protocol import ChunkStatus

from so101_policy_server.core.camera_freshness import CameraFreshness, FrameError
from so101_policy_server.core.early_frames import EarlyFrames
from so101_policy_server.core.image import Pixels
from so101_policy_server.core.mailbox import Arrival, Mailbox, every_session
from so101_policy_server.core.pending_observation import PendingObservation
from so101_policy_server.core.request import (
    CameraNeed,
    CompleteRequest,
    PolicyRequest,
    ReceivedFrame,
    RequestKey,
    ServedChunk,
    SessionKey,
)


@dataclass(frozen=True, slots=True, eq=False)
class DecodeFrame:
    """To be done: decompress this frame for this need, and hand the pixels to `Intake.decoded`."""

    frame: ReceivedFrame
    need: CameraNeed


IntakeEffect = ServedChunk | DecodeFrame


class Intake:
    """Collects observations. Not thread-safe; calls take the server's monotonic time and return what is to be done.

    Args:
        obs_queue_timeout_s: a request whose frames have not all arrived after this long is given up.
        max_frame_age_s: see `CameraFreshness`.
    """

    def __init__(self, obs_queue_timeout_s: float, max_frame_age_s: float) -> None:
        self._timeout_s = obs_queue_timeout_s
        self._mailbox = Mailbox()
        self._early = EarlyFrames()
        self._freshness = CameraFreshness(max_frame_age_s)

    def request(self, request: PolicyRequest, cameras: tuple[CameraNeed, ...], now_ns: int) -> list[IntakeEffect]:
        """Take in a request that fits its spec; `cameras` are the images that it needs."""
        arrival, displaced = self._mailbox.put(PendingObservation(request, cameras, now_ns))
        effects: list[IntakeEffect] = [_superseded(old, request) for old in displaced]
        if arrival is Arrival.OUTDATED:
            effects.append(_superseded(request, None))
        if arrival is Arrival.NEW:
            effects += [effect for frame in self._early.take(request.key) for effect in self.frame(frame)]
        return effects

    def knows(self, key: RequestKey) -> bool:
        """Whether this request, or a copy of it, was here before."""
        return self._mailbox.knows(key)

    def note(self, key: RequestKey) -> None:
        """Remember a request that is refused without looking at frames."""
        self._mailbox.note(key)

    def frame(self, frame: ReceivedFrame) -> list[IntakeEffect]:
        """Take in a frame, before or after its request."""
        pending = self._mailbox.get(frame.key)
        if pending is None:
            self._early.keep(frame)
            return []
        need = pending.need_of(frame)
        if need is None:
            return []
        try:
            self._freshness.check(frame)
        except FrameError as error:
            return self.refuse(frame.key, str(error))
        pending.arrived(frame)
        return [DecodeFrame(frame, need)]

    def decoded(self, frame: ReceivedFrame, pixels: Pixels, now_ns: int) -> list[IntakeEffect]:
        """Take in the pixels of a frame that was to be decoded; its request may have left."""
        pending = self._mailbox.get(frame.key)
        if pending is None:
            return []
        pending.decoded(frame, pixels, now_ns)
        return [_superseded(old, pending.request) for old in self._mailbox.completed(frame.key)]

    def refuse(self, key: RequestKey, message: str) -> list[IntakeEffect]:
        """Give a request up because its observation cannot be completed; nothing if it has left."""
        return self._drop(key, ChunkStatus.OBSERVATION_INCOMPLETE, message)

    def tick(self, now_ns: int) -> list[IntakeEffect]:
        """Give up what is overdue. Call every few tens of milliseconds."""
        self._early.drop_old(now_ns, self._timeout_s)
        overdue = [
            (pending.request.key, pending.missing(now_ns, self._timeout_s)) for pending in self._mailbox.waiting()
        ]
        return [effect for key, message in overdue if message for effect in self.refuse(key, message)]

    def ready_since_ns(self, admits: Callable[[SessionKey], bool] = every_session) -> dict[str, int]:
        """The robots that have a complete request of a session that `admits` admits, and since when."""
        return {pending.request.key.session.robot: since_ns for since_ns, pending in self._mailbox.ready(admits)}

    def collecting(self, by_ns: int) -> set[str]:
        """The robots that have a request here whose frames are still to come, and due by then."""
        return self._mailbox.collecting(by_ns)

    def take(
        self, now_ns: int, largest: int = 1, admits: Callable[[SessionKey], bool] = every_session
    ) -> list[CompleteRequest]:
        """Hand up to `largest` complete observations, each of another robot, to an inference thread."""
        return [pending.complete(now_ns) for pending in self._mailbox.take(largest, admits)]

    def give_up(
        self, status: ChunkStatus, message: str, retry_after_s: float, robot: str | None = None
    ) -> list[IntakeEffect]:
        """Refuse every waiting request, or those of one robot."""
        effects: list[IntakeEffect] = []
        for pending in self._mailbox.waiting():
            if robot is None or pending.request.key.session.robot == robot:
                effects += self._drop(pending.request.key, status, message, retry_after_s)
        return effects

    def _drop(
        self, key: RequestKey, status: ChunkStatus, message: str, retry_after_s: float = 0.0
    ) -> list[IntakeEffect]:
        pending = self._mailbox.drop(key)
        return [] if pending is None else [ServedChunk(pending.request, status, message, retry_after_s)]


def _superseded(old: PolicyRequest, newer: PolicyRequest | None) -> ServedChunk:
    by = (
        "a newer request"
        if newer is None or newer.key.session != old.key.session
        else f"request {newer.key.request_id}"
    )
    return ServedChunk(old, ChunkStatus.SUPERSEDED, f"request {old.key.request_id} gave way to {by}")
