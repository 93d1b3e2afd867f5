# SPDX-License-Identifier: Apache-2.0
"""How long a request lets the cameras wait, so that the oldest frame of the observation is as young as it can be.

Cameras run free: whenever a request goes out, the newest frame of each is between nothing and a period old, and the
oldest of them counts. The moment at which that one is youngest is right after a frame, the one before the longest time
without any; the request goes out at once, and says until then. The server has it, and the frames that come earlier,
by the time the last one does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

STALE_NS: Final = 600_000_000
"""A camera tells its timing every 0.2 s; one that has been silent for this long is taken for missing or frozen."""

WORTH: Final = 0.1
"""Each ms of waiting has to make the oldest frame younger by at least this many ms."""

_ROUNDING_NS: Final = 1_000


@dataclass(frozen=True, slots=True)
class FrameTiming:
    """When the frames of a camera come, ns, on the monotonic clock of whoever asks.

    period_ns: between two of them; 0 = not known, or irregular. ready_ns: when one of them was ready to be sent.
    delay_ns: from its capture to then. heard_ns: when the camera was heard.
    """

    period_ns: int
    ready_ns: int
    delay_ns: int
    heard_ns: int

    def next_due_ns(self, now_ns: int) -> int:
        """When the next frame after `now_ns` will be ready."""
        return self.ready_ns + ((now_ns - self.ready_ns) // self.period_ns + 1) * self.period_ns

    def age_ns(self, at_ns: int) -> int:
        """How old the newest frame will be at that time."""
        return (at_ns + _ROUNDING_NS - self.ready_ns) % self.period_ns + self.delay_ns


class FreshFrames:
    """The timing of all cameras of one robot, as they told it last. Not thread-safe.

    Args:
        longest_ns: no request lets cameras wait longer, ns; 0 = none waits.
    """

    def __init__(self, longest_ns: int) -> None:
        self._longest_ns = longest_ns
        self._timings: dict[str, FrameTiming] = {}

    def hear(self, camera: str, timing: FrameTiming) -> None:
        """A camera told when its frames come."""
        self._timings[camera] = timing

    def wait_ns(self, now_ns: int, cameras: Sequence[str]) -> int:
        """Return how long a request that goes out now lets these cameras wait, ns; 0 = each sends its newest frame.

        Nothing waits where one of them is missing, frozen, irregular or not known yet.
        """
        timings = self._known(now_ns, cameras) if self._longest_ns else {}
        if not timings:
            return 0
        moments = [now_ns]
        for timing in timings.values():
            due_ns = timing.next_due_ns(now_ns)
            while due_ns <= now_ns + self._longest_ns:
                moments.append(due_ns)
                due_ns += timing.period_ns

        def cost(at_ns: int) -> float:
            return max(timing.age_ns(at_ns) for timing in timings.values()) + WORTH * (at_ns - now_ns)

        best_ns = min(moments, key=lambda at_ns: (cost(at_ns), at_ns))
        return best_ns - now_ns

    def _known(self, now_ns: int, cameras: Sequence[str]) -> Mapping[str, FrameTiming]:
        """The timing of all these cameras; none where one is not to be relied on."""
        known = {}
        for camera in cameras:
            timing = self._timings.get(camera)
            if timing is None or timing.period_ns <= 0 or now_ns - timing.heard_ns > STALE_NS:
                return {}
            known[camera] = timing
        return known
