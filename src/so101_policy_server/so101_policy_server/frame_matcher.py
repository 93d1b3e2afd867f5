"""Brings together requests and the camera frames that answer them, in whatever order they arrive.

Frames are matched by (robot, session, request id, camera, history index). No clock of another host is used: age is what
the camera measured on its own clock, and everything else is the server's monotonic clock.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from so101_policy_server.image_decode import MAX_IMAGE_BYTES, Pixels
from so101_policy_server.request import CameraNeed, Frame, RequestKey

EARLY_FRAMES_KEPT: Final = 128
"""Frames that overtook their request: all of 16 cameras and 8 observation steps. A request whose first copy got lost
comes 10 ms later."""

EARLY_BYTES_KEPT: Final = 32 * 1024 * 1024
"""The same as a bound on memory, whatever somebody sends: one frame may have 8 MB."""

NS_PER_S: Final = 1_000_000_000


class FrameError(ValueError):
    """A frame cannot be used. The message is one line that names the camera."""


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """When a request's last frame was received and when its last picture was decoded, server's monotonic clock, ns.

    `oldest_age_s`: largest age at publication, as the cameras measured it; NaN without any frame.
    """

    received_ns: int
    decoded_ns: int
    oldest_age_s: float


@dataclass(slots=True)
class _Expected:
    cameras: Mapping[str, CameraNeed]
    history: int
    since_ns: int
    arrived: set[tuple[str, int]] = field(default_factory=set)
    pictures: dict[tuple[str, int], Pixels] = field(default_factory=dict)
    last_received_ns: int = 0
    last_decoded_ns: int = 0
    oldest_age_s: float = math.nan

    def missing(self) -> list[tuple[str, int]]:
        wanted = [(camera, index) for camera in self.cameras for index in range(self.history)]
        return [place for place in wanted if place not in self.arrived]

    def is_complete(self) -> bool:
        return len(self.pictures) == len(self.cameras) * self.history


class FrameMatcher:
    """Collects the pictures of each expected request.

    Args:
        timeout_s: a request whose frames are not all there after this long is given up.
        max_frame_age_s: a newest frame older than this at its publication, or repeated for longer, is refused.
    """

    def __init__(self, timeout_s: float, max_frame_age_s: float) -> None:
        self._timeout_s = timeout_s
        self._max_frame_age_s = max_frame_age_s
        self._expected: dict[RequestKey, _Expected] = {}
        self._early: OrderedDict[tuple[RequestKey, str, int], Frame] = OrderedDict()
        self._early_bytes = 0
        # Per robot and camera: number of the newest frame, and when it was first received.
        self._newest: dict[tuple[str, str], tuple[int, int]] = {}

    def expect(self, key: RequestKey, cameras: tuple[CameraNeed, ...], history: int, now_ns: int) -> list[Frame]:
        """Begin to collect for a request; returns the frames that were here before it, to be given to `match`."""
        self._expected[key] = _Expected({need.camera: need for need in cameras}, history, now_ns)
        early = [place for place in self._early if place[0] == key]
        return [self._forget_early(place) for place in early]

    def match(self, frame: Frame) -> CameraNeed | None:
        """Take in a frame; returns what to decode it for, or None when it is early, a copy, or not wanted.

        Raises:
            FrameError: it answers an expected request and cannot be used: too old, frozen, or its age makes no sense.
        """
        place = (frame.camera, frame.history_index)
        expected = self._expected.get(frame.key)
        if expected is None:
            self._keep_early(frame)
            return None
        need = expected.cameras.get(frame.camera)
        if need is None or frame.history_index >= expected.history or place in expected.arrived:
            return None
        if frame.history_index == 0:
            self._check_fresh(frame)
        expected.arrived.add(place)
        expected.last_received_ns = max(expected.last_received_ns, frame.received_ns)
        # A comparison with NaN is false: the first frame replaces it.
        if not expected.oldest_age_s > frame.capture_age_s:
            expected.oldest_age_s = frame.capture_age_s
        return need

    def decoded(self, frame: Frame, pixels: Pixels, now_ns: int) -> bool:
        """Take in a decoded picture; returns whether that completes its request (False too if it has left)."""
        expected = self._expected.get(frame.key)
        if expected is None:
            return False
        expected.pictures[(frame.camera, frame.history_index)] = pixels
        expected.last_decoded_ns = now_ns
        return expected.is_complete()

    def is_complete(self, key: RequestKey) -> bool:
        """Whether all pictures of an expected request are there; at once for a policy without cameras."""
        expected = self._expected.get(key)
        return expected is not None and expected.is_complete()

    def collect(self, key: RequestKey) -> tuple[dict[str, tuple[Pixels, ...]], FrameTimes]:
        """Hand over a complete request's pictures, LeRobot's key -> newest last, and forget the request."""
        expected = self._expected.pop(key)
        images = {
            need.key: tuple(expected.pictures[(camera, index)] for index in reversed(range(expected.history)))
            for camera, need in expected.cameras.items()
        }
        received_ns = expected.last_received_ns or expected.since_ns
        return images, FrameTimes(received_ns, expected.last_decoded_ns or received_ns, expected.oldest_age_s)

    def forget(self, key: RequestKey) -> None:
        """Stop collecting for a request."""
        self._expected.pop(key, None)

    def overdue(self, now_ns: int) -> list[tuple[RequestKey, str]]:
        """Requests whose frames did not all come in time, with a line that names the cameras. They stay expected."""
        late = []
        for key, expected in self._expected.items():
            missing = expected.missing()
            if missing and now_ns - expected.since_ns >= self._timeout_s * NS_PER_S:
                names = ", ".join(
                    camera if index == 0 else f"{camera} (history step {index})" for camera, index in missing
                )
                late.append((key, f"no frame from camera {names} within obs_queue_timeout = {self._timeout_s:g} s"))
        return late

    def drop_old_early_frames(self, now_ns: int) -> None:
        """Forget frames whose request never came."""
        while self._early:
            place, frame = next(iter(self._early.items()))
            if now_ns - frame.received_ns < self._timeout_s * NS_PER_S:
                return
            self._forget_early(place)

    def _keep_early(self, frame: Frame) -> None:
        if frame.data.size > MAX_IMAGE_BYTES:
            return
        place = (frame.key, frame.camera, frame.history_index)
        if place not in self._early:
            self._early[place] = frame
            self._early_bytes += frame.data.size
        while len(self._early) > EARLY_FRAMES_KEPT or self._early_bytes > EARLY_BYTES_KEPT:
            self._forget_early(next(iter(self._early)))

    def _forget_early(self, place: tuple[RequestKey, str, int]) -> Frame:
        frame = self._early.pop(place)
        self._early_bytes -= frame.data.size
        return frame

    def _check_fresh(self, frame: Frame) -> None:
        age = frame.capture_age_s
        if not math.isfinite(age) or age < 0:
            raise FrameError(f"camera {frame.camera}: capture_age = {age} s makes no sense")
        if age > self._max_frame_age_s:
            raise FrameError(
                f"camera {frame.camera}: frame is {age:.3f} s old, max_frame_age_s = {self._max_frame_age_s:g}; "
                "is the camera still delivering?"
            )
        newest = self._newest.get((frame.key.session.robot, frame.camera))
        if newest is None or newest[0] != frame.frame_seq:
            self._newest[(frame.key.session.robot, frame.camera)] = (frame.frame_seq, frame.received_ns)
            return
        repeated_s = (frame.received_ns - newest[1]) / NS_PER_S
        if repeated_s > self._max_frame_age_s:
            raise FrameError(
                f"camera {frame.camera} is frozen: frame {frame.frame_seq} again after {repeated_s:.3f} s, "
                f"max_frame_age_s = {self._max_frame_age_s:g}"
            )
