# SPDX-License-Identifier: Apache-2.0
"""The set point inside a servo: it runs to the goal with bounded velocity and acceleration, as the firmware's does."""

from __future__ import annotations

import math


class MotionProfile:
    """Position (ticks) and velocity (ticks/s) of the set point."""

    __slots__ = ("position", "velocity")

    def __init__(self, position: float = 0.0) -> None:
        self.position = position
        self.velocity = 0.0

    def restart(self, position: float) -> None:
        """Puts the set point at rest at `position`."""
        self.position = position
        self.velocity = 0.0

    def advance(self, goal: float, dt_s: float, max_velocity: float, acceleration: float) -> float:
        """The set point `dt_s` later on its way to rest at `goal`, ticks.

        max_velocity: ticks/s, may be infinite. acceleration: ticks/s^2, may be infinite. A goal that moves is followed
        from the present velocity; the set point may pass a goal that jumps back, and returns to it.
        """
        distance = goal - self.position
        if distance == 0.0 and self.velocity == 0.0:
            return self.position
        if math.isinf(acceleration):
            wanted = distance / dt_s
            self.velocity = max(-max_velocity, min(max_velocity, wanted))
        else:
            change = acceleration * dt_s
            # The highest speed from which whole steps of deceleration still end at the goal.
            braking = math.sqrt(change * change / 4 + 2 * acceleration * abs(distance)) - change / 2
            wanted = math.copysign(min(braking, max_velocity, abs(distance) / dt_s), distance)
            self.velocity += max(-change, min(change, wanted - self.velocity))
            if abs(distance) <= change * dt_s and abs(self.velocity) <= 2 * change:
                self.restart(goal)
                return goal
        self.position += self.velocity * dt_s
        if math.isinf(acceleration) and abs(goal - self.position) < 1e-9:
            self.restart(goal)
        return self.position
