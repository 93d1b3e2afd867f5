# SPDX-License-Identifier: Apache-2.0
"""One request with the frames that have arrived for it so far."""

from __future__ import annotations

import math
from typing import Final

from so101_policy_server.core.clock import NS_PER_S
from so101_policy_server.core.image import Pixels
from so101_policy_server.core.request import CameraNeed, ChunkTiming, CompleteRequest, PolicyRequest, ReceivedFrame

LONGEST_WAY_S: Final = 0.005
"""Of a request to a camera on the robot's own computer; it takes 1 to 4 ms."""


class PendingObservation:
    """Collects the frames that the policy reads, each once, in whatever order they arrive.

    Frames are matched by (robot, session, request id, camera, history index). No clock of another host is used: age is
    what the camera measured on its own clock, and everything else is the server's monotonic clock.

    Args:
        request: as the robot sent it; its history says how many frames of each camera are read.
        cameras: the images of the policy and which camera gives them.
        now_ns: when the collecting begins.
    """

    def __init__(self, request: PolicyRequest, cameras: tuple[CameraNeed, ...], now_ns: int) -> None:
        self.request = request
        self._cameras = {need.camera: need for need in cameras}
        self._history = request.positions.shape[0]
        self._since_ns = now_ns
        self._arrived: set[tuple[str, int]] = set()
        self._pixels: dict[tuple[str, int], Pixels] = {}
        self._last_received_ns = 0
        self._last_decoded_ns = 0
        self._oldest_age_s = math.nan
        self._waited_s = 0.0
        self._oldest_at_request_s = math.nan  # how old the oldest frame was when the cameras had the request
        self.complete_since_ns = now_ns if not cameras or not self._history else None
        """When the last frame was decoded; None while one is missing. A policy without cameras never waits."""

    @property
    def frames_due_ns(self) -> int:
        """When cameras that wait for their next frame send it at the latest, as the request lets them."""
        return self._since_ns + self.request.frame_wait_ns

    def need_of(self, frame: ReceivedFrame) -> CameraNeed | None:
        """What to decode a frame for; None for a copy, another camera, or a step that is not read."""
        place = (frame.camera, frame.history_index)
        if frame.history_index >= self._history or place in self._arrived:
            return None
        return self._cameras.get(frame.camera)

    def arrived(self, frame: ReceivedFrame) -> None:
        """Take note of a frame that is needed; its pixels follow."""
        self._arrived.add((frame.camera, frame.history_index))
        self._last_received_ns = max(self._last_received_ns, frame.received_ns)
        # A comparison with NaN is false: the first frame replaces it.
        if not self._oldest_age_s > frame.capture_age_s:
            self._oldest_age_s = frame.capture_age_s
        if frame.history_index:
            return
        waited_s = frame.waited_s if 0 < frame.waited_s < math.inf else 0.0
        self._waited_s = max(self._waited_s, waited_s)
        if not self._oldest_at_request_s > frame.capture_age_s - waited_s:
            self._oldest_at_request_s = frame.capture_age_s - waited_s

    def decoded(self, frame: ReceivedFrame, pixels: Pixels, now_ns: int) -> None:
        """Take in the pixels of a frame that was needed."""
        self._pixels[(frame.camera, frame.history_index)] = pixels
        self._last_decoded_ns = now_ns
        if self.complete_since_ns is None and len(self._pixels) == len(self._cameras) * self._history:
            self.complete_since_ns = now_ns

    def missing(self, now_ns: int, timeout_s: float) -> str:
        """A line that names the cameras whose frames have not arrived within the timeout; "" before it, and without."""
        if now_ns - self._since_ns < timeout_s * NS_PER_S:
            return ""
        wanted = [(camera, index) for camera in self._cameras for index in range(self._history)]
        names = [
            camera if index == 0 else f"{camera} (history step {index})"
            for camera, index in wanted
            if (camera, index) not in self._arrived
        ]
        return f"no frame from camera {', '.join(names)} within obs_queue_timeout = {timeout_s:g} s" if names else ""

    def _waited_on_purpose_s(self) -> float:
        """From the request until the last frame that a camera waited for was due.

        A camera says how long it waited once it had the request, whose way to it passes meanwhile. Where the plan held,
        that is all of what the request lets cameras wait but this way; a frame that is later than planned is late.
        """
        planned_s = self.request.frame_wait_ns / NS_PER_S
        held = self._waited_s > 0 and self._waited_s > planned_s - LONGEST_WAY_S
        return planned_s if planned_s and held else self._waited_s

    def complete(self, now_ns: int) -> CompleteRequest:
        """The request with all its pixels, LeRobot's key -> newest last, and where its time went until now."""
        images = {
            need.key: tuple(self._pixels[(camera, index)] for index in reversed(range(self._history)))
            for camera, need in self._cameras.items()
        }
        asked_ns = self.request.received_ns
        received_ns = self._last_received_ns or self._since_ns
        decoded_ns = self._last_decoded_ns or received_ns
        timing = ChunkTiming(
            wait_frames=max(0, received_ns - asked_ns) / NS_PER_S,
            decode=max(0, decoded_ns - max(received_ns, asked_ns)) / NS_PER_S,
            mailbox_wait=max(0, now_ns - max(decoded_ns, asked_ns)) / NS_PER_S,
            frame_age=self._oldest_age_s,
            frame_wait=self._waited_on_purpose_s(),
            observation_age=self._oldest_at_request_s + self._waited_s,
        )
        return CompleteRequest(self.request, images, timing)
