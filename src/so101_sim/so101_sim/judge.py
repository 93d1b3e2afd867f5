"""Decides whether an episode succeeded: the cube lies in the bin, at rest, let go by the gripper; or time is up."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from so101_sim.tasks import BIN_CENTRE_M, BIN_HALF_M, CubePose

IN_BIN_HEIGHT_M = 0.04
"""Below this the cube's centre is when it lies in the bin (then it is at 15 mm), not when it is carried over."""

_IN_BIN_M = BIN_HALF_M - 0.003  # the cube's centre this near the middle in x and y: within the walls
_AT_REST_M_S, _AT_REST_RAD_S = 0.02, 0.5
_REST_TIME_S = 0.3  # a cube that tumbles is at rest for a moment at the top of a bounce


class Verdict(Enum):
    """What the judge says of an episode."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


def in_bin(cube: CubePose) -> bool:
    """Whether the cube's centre is within the bin's walls and low enough to lie in it."""
    aside = np.abs(cube.position[:2] - BIN_CENTRE_M)
    return bool(aside.max() < _IN_BIN_M and cube.position[2] < IN_BIN_HEIGHT_M)


def at_rest(velocity: NDArray[np.float64]) -> bool:
    """velocity: (6,), linear m/s and angular rad/s."""
    return bool(np.linalg.norm(velocity[:3]) < _AT_REST_M_S and np.linalg.norm(velocity[3:]) < _AT_REST_RAD_S)


@dataclass(slots=True)
class Judge:
    """Judges one episode. Times are simulated, s: a slow machine does not shorten an episode."""

    timeout_s: float
    started_at_s: float
    _resting_since_s: float | None = None

    def look(self, sim_time_s: float, cube: CubePose, velocity: NDArray[np.float64]) -> Verdict:
        """The verdict at this moment; velocity: (6,), of the cube, m/s and rad/s."""
        if in_bin(cube) and at_rest(velocity):
            if self._resting_since_s is None:
                self._resting_since_s = sim_time_s
            if sim_time_s - self._resting_since_s >= _REST_TIME_S:
                return Verdict.SUCCEEDED
        else:
            self._resting_since_s = None
        if sim_time_s - self.started_at_s >= self.timeout_s:
            return Verdict.FAILED
        return Verdict.RUNNING
