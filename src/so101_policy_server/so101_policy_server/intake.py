"""From a request to a complete observation: mailbox and frame matcher together, and who is owed which answer."""

from __future__ import annotations

from dataclasses import dataclass

from so101_policy_server.frame_matcher import NS_PER_S, FrameError, FrameMatcher
from so101_policy_server.image_decode import Pixels
from so101_policy_server.mailbox import Arrival, Mailbox
from so101_policy_server.request import Answer, CameraNeed, CompleteRequest, Frame, Request, RequestKey, Status, Timing


@dataclass(frozen=True, slots=True, eq=False)
class Decode:
    """To be done: decompress this frame for this need, and hand the picture to `Intake.decoded`."""

    frame: Frame
    need: CameraNeed


Effect = Answer | Decode


class Intake:
    """Collects observations. Not thread-safe; calls take the server's monotonic time and return what is to be done."""

    def __init__(self, obs_queue_timeout_s: float, max_frame_age_s: float) -> None:
        self._mailbox = Mailbox()
        self._frames = FrameMatcher(obs_queue_timeout_s, max_frame_age_s)

    def request(self, request: Request, cameras: tuple[CameraNeed, ...], now_ns: int) -> list[Effect]:
        """Take in a request that fits its spec; `cameras` are the images that it needs."""
        arrival, displaced = self._mailbox.put(request)
        effects: list[Effect] = [self._superseded(old, request) for old in displaced]
        if arrival is Arrival.OUTDATED:
            return [*effects, self._superseded(request, None)]
        if arrival is Arrival.DUPLICATE:
            return effects
        history = request.positions.shape[0]
        for frame in self._frames.expect(request.key, cameras, history, now_ns):
            effects += self.frame(frame)
        if self._frames.is_complete(request.key):
            self._mailbox.complete(request.key, now_ns)
        return effects

    def knows(self, key: RequestKey) -> bool:
        """Whether this request, or a copy of it, was here before."""
        return self._mailbox.knows(key)

    def note(self, key: RequestKey) -> None:
        """Remember a request that is refused without looking at frames."""
        self._mailbox.note(key)

    def frame(self, frame: Frame) -> list[Effect]:
        """Take in a frame, before or after its request."""
        try:
            need = self._frames.match(frame)
        except FrameError as error:
            return self.refuse(frame.key, str(error))
        return [] if need is None else [Decode(frame, need)]

    def decoded(self, frame: Frame, pixels: Pixels, now_ns: int) -> None:
        """Take in the picture of a frame that was to be decoded."""
        if self._frames.decoded(frame, pixels, now_ns):
            self._mailbox.complete(frame.key, now_ns)

    def refuse(self, key: RequestKey, message: str) -> list[Effect]:
        """Give a request up because its observation cannot be completed; nothing if it has left."""
        return self._drop(key, Status.OBSERVATION_INCOMPLETE, message)

    def tick(self, now_ns: int) -> list[Effect]:
        """Give up what is overdue. Call every few tens of milliseconds."""
        self._frames.drop_old_early_frames(now_ns)
        return [effect for key, message in self._frames.overdue(now_ns) for effect in self.refuse(key, message)]

    def take(self, now_ns: int) -> CompleteRequest | None:
        """Hand the next complete observation to the inference thread; None when there is none."""
        request = self._mailbox.take()
        if request is None:
            return None
        images, times = self._frames.collect(request.key)
        timing = Timing(
            wait_frames=max(0, times.received_ns - request.received_ns) / NS_PER_S,
            decode=max(0, times.decoded_ns - max(times.received_ns, request.received_ns)) / NS_PER_S,
            mailbox_wait=max(0, now_ns - max(times.decoded_ns, request.received_ns)) / NS_PER_S,
            frame_age=times.oldest_age_s,
        )
        return CompleteRequest(request, images, timing)

    def give_up(self, status: Status, message: str, retry_after_s: float, robot: str | None = None) -> list[Effect]:
        """Answer every waiting request, or those of one robot, with an error."""
        effects: list[Effect] = []
        for key in self._mailbox.waiting():
            if robot is None or key.session.robot == robot:
                effects += self._drop(key, status, message, retry_after_s)
        return effects

    def _drop(self, key: RequestKey, status: Status, message: str, retry_after_s: float = 0.0) -> list[Effect]:
        request = self._mailbox.drop(key)
        self._frames.forget(key)
        return [] if request is None else [Answer(request, status, message, retry_after_s)]

    def _superseded(self, old: Request, newer: Request | None) -> Answer:
        self._frames.forget(old.key)
        by = (
            "a newer request"
            if newer is None or newer.key.session != old.key.session
            else f"request {newer.key.request_id}"
        )
        return Answer(old, Status.SUPERSEDED, f"request {old.key.request_id} gave way to {by}")
