# SPDX-License-Identifier: Apache-2.0
"""The last frames of a camera, for policies that look at more than one observation step."""

from collections import deque

from so101_camera.core.frame import Frame


class FrameHistory:
    """Keeps the newest frame and as many older ones as the observation steps asked for reach back.

    Not thread-safe; the owner holds a lock.
    """

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._span_ns = 0

    def add(self, frame: Frame) -> None:
        """Take in a newer frame, and drop what is older than the span in use.

        Raises:
            ValueError: seq or capture time runs backwards.
        """
        if self._frames:
            last = self._frames[-1]
            if frame.seq <= last.seq or frame.capture_ns < last.capture_ns:
                raise ValueError(
                    f"frame {frame.seq} at {frame.capture_ns} ns is not newer than {last.seq} at {last.capture_ns} ns"
                )
        self._frames.append(frame)
        # One frame beyond the span stays: the nearest one to the oldest step may lie on its far side.
        while len(self._frames) > 1 and frame.capture_ns - self._frames[1].capture_ns >= self._span_ns:
            self._frames.popleft()

    @property
    def newest(self) -> Frame | None:
        """The newest frame; None before the first."""
        return self._frames[-1] if self._frames else None

    def select(self, steps: int, period_ns: int) -> list[Frame]:
        """Return the frames of the last observation steps, newest first; empty before the first frame.

        Step i is the frame captured nearest to i periods before the newest. Where the history does not reach back that
        far the oldest frame stands in, as LeRobot fills its own queue at the start of an episode. From now on frames
        are kept long enough for such a request.

        Args:
            steps: observation steps wanted, 1 = the newest only.
            period_ns: time between observation steps, ns.
        """
        if steps < 1 or period_ns < 0:
            raise ValueError(f"expected steps >= 1 and period >= 0, got {steps} and {period_ns}")
        self._span_ns = (steps - 1) * period_ns
        if not self._frames:
            return []
        now = self._frames[-1].capture_ns
        return [
            min(reversed(self._frames), key=lambda frame: abs(now - i * period_ns - frame.capture_ns))
            for i in range(steps)
        ]
