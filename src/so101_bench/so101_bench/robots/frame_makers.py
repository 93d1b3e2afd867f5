# SPDX-License-Identifier: Apache-2.0
"""What virtual robots show: a code that comes back with the stand-in policy, photographs with a real one."""

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from so101_bench.frames import JPEG_QUALITY, photograph_view
from so101_bench.robots.code import frame_of, is_own, positions_of

PHOTOGRAPHS = 8
"""Different ones of each robot, shown again and again."""


class FrameMaker(Protocol):
    """What robot number `robot` shows with a request, and whether a chunk is of that."""

    def positions(self, robot: int, request_id: int, joints: int) -> NDArray[np.float64]:
        """Joint positions, (joints,) rad."""

    def frame(self, robot: int, request_id: int, height: int, width: int) -> tuple[bytes, str]:
        """Return an encoded frame of that size, pixels, and its format."""

    def is_mixed(self, robot: int, request_id: int, rows: NDArray[np.float32]) -> bool:
        """Whether a chunk, (rows, joints) rad, is of another request, as far as the policy's chunks tell."""


class Coded:
    """For the stand-in policy."""

    def positions(self, robot: int, request_id: int, joints: int) -> NDArray[np.float64]:
        """Those that tell the request."""
        return positions_of(robot, request_id)

    def frame(self, robot: int, request_id: int, height: int, width: int) -> tuple[bytes, str]:
        """One colour; of the size that the stand-in reads."""
        return frame_of(robot, request_id), "png"

    def is_mixed(self, robot: int, request_id: int, rows: NDArray[np.float32]) -> bool:
        """Whether colour or joint positions are of another request."""
        return not is_own(robot, request_id, rows[0])


class Photographs:
    """For a real policy, whose chunks do not tell whose frames it saw."""

    def __init__(self) -> None:
        self._encoded: dict[tuple[int, int, int, int], bytes] = {}

    def positions(self, robot: int, request_id: int, joints: int) -> NDArray[np.float64]:
        """A little different for each request."""
        return np.full(joints, 0.1) + robot / 100 + request_id % 100 / 10000

    def frame(self, robot: int, request_id: int, height: int, width: int) -> tuple[bytes, str]:
        """A window on a photograph, JPEG as cameras send it."""
        place = (robot, request_id % PHOTOGRAPHS, height, width)
        if place not in self._encoded:
            picture = photograph_view(PHOTOGRAPHS * robot + request_id % PHOTOGRAPHS, height, width)
            self._encoded[place] = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1].tobytes()
        return self._encoded[place], "jpeg"

    def is_mixed(self, robot: int, request_id: int, rows: NDArray[np.float32]) -> bool:
        """It cannot be told."""
        return False
