# SPDX-License-Identifier: Apache-2.0
"""Frames that overtook their request: kept for a while, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from so101_policy_server.core.clock import NS_PER_S
from so101_policy_server.core.image import MAX_IMAGE_BYTES
from so101_policy_server.core.request import ReceivedFrame, RequestKey

FRAMES_KEPT: Final = 128
"""All of 16 cameras and 8 observation steps. A request whose first copy got lost comes 10 ms later."""

BYTES_KEPT: Final = 32 * 1024 * 1024
"""The same as a bound on memory, whatever somebody sends: one frame may have 8 MB."""


class EarlyFrames:
    """The oldest is given up first."""

    def __init__(self) -> None:
        self._frames: OrderedDict[tuple[RequestKey, str, int], ReceivedFrame] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def keep(self, frame: ReceivedFrame) -> None:
        """Keep a frame whose request is not here; a copy, and what is too large for a frame, is left out."""
        place = (frame.key, frame.camera, frame.history_index)
        if place in self._frames or frame.data.size > MAX_IMAGE_BYTES:
            return
        self._frames[place] = frame
        self._bytes += frame.data.size
        while len(self._frames) > FRAMES_KEPT or self._bytes > BYTES_KEPT:
            self._forget(next(iter(self._frames)))

    def take(self, key: RequestKey) -> list[ReceivedFrame]:
        """Hand out the frames of a request, in order of arrival."""
        return [self._forget(place) for place in [place for place in self._frames if place[0] == key]]

    def drop_old(self, now_ns: int, timeout_s: float) -> None:
        """Forget frames whose request did not come within the timeout."""
        while self._frames:
            place, frame = next(iter(self._frames.items()))
            if now_ns - frame.received_ns < timeout_s * NS_PER_S:
                return
            self._forget(place)

    def _forget(self, place: tuple[RequestKey, str, int]) -> ReceivedFrame:
        frame = self._frames.pop(place)
        self._bytes -= frame.data.size
        return frame
