# SPDX-License-Identifier: Apache-2.0
"""The newest frame of a camera, and those before it as far back as a network is shown one of a moment ago."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from so101_correction.core.network import Thumbnail

FRAMES_KEPT: Final = 64
"""Of a camera, for its earlier frame: more than any comes in that time."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenFrame:
    """Newest frame of a camera.

    Attributes:
        thumbnail: (height, width, 3) uint8 RGB.
        received_ns: when.
        changed_ns: when the first of all equal ones up to it came.
        before: those before it, oldest first, and when each was received.
    """

    thumbnail: Thumbnail
    received_ns: int
    changed_ns: int
    before: tuple[tuple[int, Thumbnail], ...] = ()

    def followed_by(self, thumbnail: Thumbnail, now_ns: int, keep_ns: float) -> SeenFrame:
        """Return the frame received now, with those before it that are at most `keep_ns` old; 0 = none of them."""
        frames = (*self.before, (self.received_ns, self.thumbnail)) if keep_ns else ()
        kept = tuple(frame for frame in frames if frame[0] >= now_ns - keep_ns)[-FRAMES_KEPT:]
        if np.array_equal(self.thumbnail, thumbnail):
            return replace(self, received_ns=now_ns, before=kept)
        return SeenFrame(thumbnail.copy(), now_ns, now_ns, kept)

    def at(self, wanted_ns: int, off_ns: float) -> Thumbnail:
        """Return the frame received nearest to a time, or the newest one where none is as near as that."""
        near = min(self.before, key=lambda frame: abs(frame[0] - wanted_ns), default=None)
        return self.thumbnail if near is None or abs(near[0] - wanted_ns) > off_ns else near[1]
