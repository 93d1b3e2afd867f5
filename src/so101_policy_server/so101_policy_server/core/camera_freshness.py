# SPDX-License-Identifier: Apache-2.0
"""Which frames are too old to act on, and which cameras deliver the same frame again and again."""

from __future__ import annotations

import math

from so101_policy_server.core.clock import NS_PER_S
from so101_policy_server.core.request import ReceivedFrame
from so101_policy_server.errors import PolicyServerError


class FrameError(PolicyServerError):
    """A frame cannot be used. The message is one line that names the camera."""


class CameraFreshness:
    """Remembers the newest frame of each camera.

    Args:
        max_frame_age_s: a frame older than this at its publication, or repeated for longer, is refused.
    """

    def __init__(self, max_frame_age_s: float) -> None:
        self._max_frame_age_s = max_frame_age_s
        # Per robot and camera: number of the newest frame, and when it was first received.
        self._newest: dict[tuple[str, str], tuple[int, int]] = {}

    def check(self, frame: ReceivedFrame) -> None:
        """Take in a frame of the newest observation step; earlier steps are older on purpose.

        Raises:
            FrameError: it is too old or frozen, or its age makes no sense.
        """
        if frame.history_index:
            return
        age = frame.capture_age_s
        if not math.isfinite(age) or age < 0:
            raise FrameError(f"camera {frame.camera}: capture_age = {age} s makes no sense")
        if age > self._max_frame_age_s:
            raise FrameError(
                f"camera {frame.camera}: frame is {age:.3f} s old, max_frame_age_s = {self._max_frame_age_s:g}; "
                "is the camera still delivering?"
            )
        camera = (frame.key.session.robot, frame.camera)
        newest = self._newest.get(camera)
        if newest is None or newest[0] != frame.frame_seq:
            self._newest[camera] = (frame.frame_seq, frame.received_ns)
            return
        repeated_s = (frame.received_ns - newest[1]) / NS_PER_S
        if repeated_s > self._max_frame_age_s:
            raise FrameError(
                f"camera {frame.camera} is frozen: frame {frame.frame_seq} again after {repeated_s:.3f} s, "
                f"max_frame_age_s = {self._max_frame_age_s:g}"
            )
