# SPDX-License-Identifier: Apache-2.0
"""Which goal comes next: on the way of the commands, to a place where to park, to rest. No clock: the time comes in.

Whatever leads the goals, they leave only through the motion limiter.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from so101_node.protocol import FloatArray

from so101_driver.core.approach import Approach
from so101_driver.core.interpolation import CommandInterpolator
from so101_driver.core.motion_limits import MotionLimiter, MotionLimits
from so101_driver.core.park_motion import ParkMotion

_PARKED_GOAL_RAD: Final = 0.001


class GoalPath:
    """Goals of one arm, one fixed period at a time. Arrays are (joints,), rad."""

    def __init__(self, limits: MotionLimits, period_s: float, *, interpolate: bool, deceleration_rad_s2: float) -> None:
        """`deceleration_rad_s2`: of goals that `brake`."""
        self._limiter = MotionLimiter(limits, period_s)
        self._interpolator = CommandInterpolator(interpolate)
        self._approach = Approach()
        self._deceleration = deceleration_rad_s2
        self._slowest_limit = float(limits.max_speed.min())
        self._follows = False
        self._park: ParkMotion | None = None
        self._settle: FloatArray | None = None  # goal to come to rest at, instead of braking where the goal is
        self.limited = 0
        """Values of followed commands that a limit held back."""

    @property
    def goal(self) -> FloatArray:
        """Last goal; NaN before `seed`."""
        return self._limiter.goal

    @property
    def is_still(self) -> bool:
        """Whether the goal has come to rest."""
        return self._limiter.is_still

    @property
    def is_parking(self) -> bool:
        """Whether the goals are on their way to where `park` sent them."""
        return self._park is not None

    @property
    def command_period_s(self) -> float:
        """Period of the commands as learned; the longest there can be until two commands have shown it."""
        return self._interpolator.period_s

    def seed(self, goal: npt.ArrayLike) -> None:
        """Stand still at `goal`."""
        self.brake()
        self._limiter.seed(goal)
        self._interpolator.reset(self._limiter.goal)

    def follow_from(self, command: FloatArray, now_ns: int) -> None:
        """Begin to follow commands; the distance from the goal to this first one is closed slowly."""
        self.brake()
        self._follows = True
        self._interpolator.reset(command)
        self._approach.begin(self._limiter.goal - command, now_ns)

    def command(self, command: FloatArray, now_ns: int) -> None:
        """Take the next command. `follow_from` goes first."""
        self._interpolator.command(command, now_ns)

    def brake(self) -> None:
        """Follow nothing any more and come to rest."""
        self._follows = False
        self._park = self._settle = None

    def park(self, positions: FloatArray, speed_rad_s: float, now_ns: int) -> None:
        """Move there in a straight line; the fastest joint reaches `speed_rad_s`, or the slowest speed limit."""
        self.brake()
        self._park = ParkMotion(self._limiter.goal, positions, min(speed_rad_s, self._slowest_limit), now_ns)

    def park_again(self, now_ns: int) -> None:
        """Begin the motion of `park` again from where the goal is: its time ran on while the driver stood still."""
        if self._park is not None:
            self.park(self._park.end, self._park.peak_speed, now_ns)

    def settle_at(self, goals: Mapping[int, float]) -> None:
        """Bring some joints to rest at these goals, rad, by index, and the others where their goal is now."""
        if not goals:
            return
        settle = self._limiter.goal if self._settle is None else self._settle
        for joint, goal in goals.items():
            settle[joint] = goal
        self._settle = settle

    def next(self, now_ns: int) -> FloatArray:
        """Goal of this period. Ends parking when it has arrived."""
        if self._follows:
            goal, limited = self._limiter.follow(self._interpolator.sample(now_ns) + self._approach.remaining(now_ns))
            self.limited += limited
            return goal
        if self._park is not None:
            goal, _ = self._limiter.follow(self._park.sample(now_ns))
            there = np.abs(goal - self._park.end) <= _PARKED_GOAL_RAD  # limits may have made it late
            if self._park.is_over(now_ns) and np.all(there):
                self._park = None
            return goal
        if self._settle is not None:
            goal, _ = self._limiter.follow(self._settle)
            return goal
        return self._limiter.slow_down(self._deceleration)
