# SPDX-License-Identifier: Apache-2.0
"""Decides how an episode ends: the cube rests in the bin, let go by the gripper; or time is up, or the belt has it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from so101_sim.core.tasks import BIN_CENTRE_M, BIN_HALF_M, Belt, CubePose

IN_BIN_HEIGHT_M = 0.04
"""Below this the cube's centre is when it lies in the bin (then it is at 15 mm), not when it is carried over."""

_IN_BIN_M = BIN_HALF_M - 0.003  # the cube's centre this near the middle in x and y: within the walls
_AT_REST_M_S, _AT_REST_RAD_S = 0.02, 0.5
_REST_TIME_S = 0.3  # a cube that tumbles is at rest for a moment at the top of a bounce


STANDSTILL_NS = 10_000_000_000
"""An episode is not counted when simulated time stands still for this long on the clock: the simulator has died."""


class TaskVerdict(Enum):
    """What the judge says of an episode."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"


def in_bin(cube: CubePose) -> bool:
    """Whether the cube's centre is within the bin's walls and low enough to lie in it."""
    aside = np.abs(cube.position[:2] - BIN_CENTRE_M)
    return bool(aside.max() < _IN_BIN_M and cube.position[2] < IN_BIN_HEIGHT_M)


def at_rest(velocity: NDArray[np.float64]) -> bool:
    """velocity: (6,), linear m/s and angular rad/s."""
    return bool(np.linalg.norm(velocity[:3]) < _AT_REST_M_S and np.linalg.norm(velocity[3:]) < _AT_REST_RAD_S)


@dataclass(frozen=True, slots=True)
class Moment:
    """What the judge sees at one time.

    now_ns: this host's monotonic clock; sim_time_s: simulated time; scene_count: how often the scene was laid out;
    velocity: (6,), of the cube, linear m/s and angular rad/s.
    """

    now_ns: int
    sim_time_s: float
    scene_count: int
    cube: CubePose
    velocity: NDArray[np.float64]


class Judge:
    """Judges one episode. Durations are simulated time: a slow machine does not shorten an episode."""

    def __init__(self, timeout_s: float, start: Moment, belt: Belt | None = None) -> None:
        """belt: what carries the cube, and in the end out of the arm's reach."""
        self._timeout_s = timeout_s
        self._belt = belt
        self._start = self._last = start
        self._moved_ns = start.now_ns
        self._resting_since_s: float | None = None

    @property
    def duration_s(self) -> float:
        """Simulated time from the start to the last look, s."""
        return self._last.sim_time_s - self._start.sim_time_s

    def look(self, moment: Moment) -> tuple[TaskVerdict, str]:
        """The verdict at this moment, and why, one line."""
        if moment.scene_count != self._start.scene_count or moment.sim_time_s < self._last.sim_time_s:
            return TaskVerdict.ABORTED, "the scene was laid out again"
        if moment.sim_time_s > self._last.sim_time_s:
            self._moved_ns = moment.now_ns
        elif moment.now_ns - self._moved_ns >= STANDSTILL_NS:
            return TaskVerdict.ABORTED, "simulated time stands still; is virtual_arm running?"
        self._last = moment
        if self._rests_in_bin(moment):
            return TaskVerdict.SUCCEEDED, "the cube rests in the bin"
        if self._belt is not None and self._belt.has_carried_off(moment.cube.position):
            return TaskVerdict.FAILED, "the belt has carried the cube away"
        if self.duration_s >= self._timeout_s:
            x, y, z = moment.cube.position
            return TaskVerdict.FAILED, f"after {self._timeout_s:g} s the cube is at x {x:.3f}, y {y:.3f}, z {z:.3f} m"
        return TaskVerdict.RUNNING, ""

    def _rests_in_bin(self, moment: Moment) -> bool:
        if not (in_bin(moment.cube) and at_rest(moment.velocity)):
            self._resting_since_s = None
            return False
        if self._resting_since_s is None:
            self._resting_since_s = moment.sim_time_s
        return moment.sim_time_s - self._resting_since_s >= _REST_TIME_S
