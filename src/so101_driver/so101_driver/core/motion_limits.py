# SPDX-License-Identifier: Apache-2.0
"""Position, speed and acceleration limits on goals, against the last goal rather than the measured position.

Measuring against lagging feedback would throttle a servo that is merely slow to follow; whether it follows at all is
judged apart (`fault_monitor`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from so101_node.protocol import FloatArray


@dataclass(frozen=True, slots=True)
class MotionLimits:
    """Bounds per joint, each (joints,): rad, rad, rad/s, rad/s^2."""

    lower: FloatArray
    upper: FloatArray
    max_speed: FloatArray
    max_acceleration: FloatArray

    def __post_init__(self) -> None:
        """Raises ValueError for shapes that differ or bounds that admit nothing."""
        shapes = {array.shape for array in (self.lower, self.upper, self.max_speed, self.max_acceleration)}
        if len(shapes) != 1:
            raise ValueError(f"limits must have one shape, got {sorted(shapes)}")
        if not (np.all(self.lower < self.upper) and np.all(self.max_speed > 0) and np.all(self.max_acceleration > 0)):
            raise ValueError("limits must have lower < upper, and speed and acceleration above 0")


class MotionLimiter:
    """Follows a target as closely as the limits allow, one fixed period at a time.

    For every sequence of targets: the goal stays within the position limits, its speed within max_speed, the change
    of speed per period within max_acceleration, and it never overshoots a target that stands still. A goal that was
    seeded outside the limits stays there until a target leads it inside, and never goes farther out: a joint that
    happens to stand there must not be thrown inside when its torque comes on.
    """

    def __init__(self, limits: MotionLimits, period_s: float) -> None:
        """`period_s`: time between two calls of `follow` or `slow_down`."""
        self._limits = limits
        self._period_s = period_s
        self._goal = np.full(limits.lower.shape, np.nan)
        self._velocity = np.zeros(limits.lower.shape)

    @property
    def goal(self) -> FloatArray:
        """Last goal, (joints,), rad; NaN before `seed`."""
        return self._goal.copy()

    @property
    def is_still(self) -> bool:
        """Whether the goal has come to rest."""
        return bool(np.all(np.abs(self._velocity) < 1e-6))

    def seed(self, position: npt.ArrayLike) -> FloatArray:
        """Stand still at `position`, (joints,), rad, within the position limits or not, and return that goal."""
        self._goal = np.array(position, dtype=np.float64)
        self._velocity = np.zeros_like(self._goal)
        return self.goal

    def follow(self, target: npt.ArrayLike) -> tuple[FloatArray, int]:
        """Goal one period later on the way to `target`, and how many joints a limit held back."""
        wanted = np.asarray(target, dtype=np.float64)
        inside = np.clip(wanted, *self._ends())
        self._advance((inside - self._goal) / self._period_s, inside, self._limits.max_acceleration)
        limited = int(np.count_nonzero(np.abs(self._goal - wanted) > 1e-9))
        return self.goal, limited

    def slow_down(self, deceleration: float) -> FloatArray:
        """Goal one period later while braking at `deceleration`, rad/s^2, harder where a position limit is near."""
        step = np.minimum(deceleration, self._limits.max_acceleration) * self._period_s
        wanted = np.sign(self._velocity) * np.maximum(np.abs(self._velocity) - step, 0.0)
        lower, upper = self._ends()
        ahead = np.where(self._velocity >= 0, upper, lower)
        self._advance(wanted, ahead, self._limits.max_acceleration)
        return self.goal

    def _ends(self) -> tuple[FloatArray, FloatArray]:
        """Position limits, each (joints,), widened to where a goal still is that was seeded outside them."""
        return np.minimum(self._limits.lower, self._goal), np.maximum(self._limits.upper, self._goal)

    def _advance(self, velocity: FloatArray, end: FloatArray, acceleration: FloatArray) -> None:
        """Move one period at `velocity`, cut so that standing still at `end` remains possible."""
        distance = end - self._goal
        reachable = self._braking_speed(np.abs(distance), acceleration)
        toward = np.sign(distance)
        velocity = toward * np.minimum(toward * velocity, reachable)
        velocity = np.clip(velocity, -self._limits.max_speed, self._limits.max_speed)
        step = acceleration * self._period_s
        velocity = np.clip(velocity, self._velocity - step, self._velocity + step)
        self._goal = np.clip(self._goal + velocity * self._period_s, *self._ends())
        self._velocity = velocity

    def _braking_speed(self, distance: FloatArray, acceleration: FloatArray) -> FloatArray:
        """Largest speed of this period from which whole periods of braking end within `distance`.

        With s = acceleration * period^2, moving k + f periods' worth of braking (0 <= f < 1) covers
        (k + 1) * (k / 2 + f) * s; the inverse of that, piece by piece.
        """
        unit = acceleration * self._period_s**2
        steps = distance / unit
        whole = np.floor((np.sqrt(1.0 + 8.0 * steps) - 1.0) / 2.0)
        speed: FloatArray = (whole / 2.0 + steps / (whole + 1.0)) * unit / self._period_s
        return speed
