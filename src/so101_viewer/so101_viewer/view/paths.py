# SPDX-License-Identifier: Apache-2.0
"""Where the gripper was and where it is going: measured and planned joint positions as points in the base frame."""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from so101_description.robot_model import RobotModel

GRIPPER_FRAME = "gripper_frame_link"
TRAIL_S = 3.0


class Trail:
    """The points of the last seconds. Times are one clock's, ns."""

    def __init__(self, trail_s: float = TRAIL_S) -> None:
        self._trail_ns = int(trail_s * 1e9)
        self._points: deque[tuple[int, NDArray[np.float64]]] = deque()

    def add(self, now_ns: int, point: NDArray[np.float64]) -> None:
        """Take in one point, (3,), m; one that is not finite is left out.

        Where time goes back, as when a bag is played again, the path begins again.
        """
        if self._points and now_ns < self._points[-1][0]:
            self._points.clear()
        if np.isfinite(point).all():
            self._points.append((now_ns, point.copy()))
        while self._points and self._points[0][0] < now_ns - self._trail_ns:
            self._points.popleft()

    def points(self) -> NDArray[np.float64]:
        """Return the path, (n, 3), m, oldest first."""
        return np.array([point for _, point in self._points]).reshape(-1, 3)


def planned_path(
    model: RobotModel, joint_names: Sequence[str], rows: Sequence[Sequence[float]], link: str = GRIPPER_FRAME
) -> NDArray[np.float64]:
    """Return the path that rows of joint positions lead along, (n, 3), m; empty where the rows do not fit the names."""
    if not rows or any(len(row) != len(joint_names) for row in rows):
        return np.empty((0, 3))
    return model.path(link, joint_names, np.array(rows, np.float64))
