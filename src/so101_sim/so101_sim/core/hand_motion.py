# SPDX-License-Identifier: Apache-2.0
"""When and how a hand moves a cube that lies on the table: drawn from the scene's seed, whatever the arm does.

Times are seconds since the scene was laid out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from so101_sim.errors import ArrayShapeError

ARRAY_SIZE = 4
"""Length of a motion as an array."""

_BEGINS_S, _LASTS_S = (0.3, 1.1), (0.2, 0.4)  # over before the expert closes its jaws, at 1.9 s
_WAY_M = (0.02, 0.04)

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class HandMotion:
    """One straight motion from rest to rest. ArrayShapeError if `way_m` is of another shape.

    Attributes:
        begins_s: when the hand begins to move the cube.
        lasts_s: how long it does, above 0.
        way_m: (2,), by how much, along x and y of the arm's base.
    """

    begins_s: float
    lasts_s: float
    way_m: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check the shape."""
        if self.way_m.shape != (2,):
            raise ArrayShapeError(f"way_m has shape {self.way_m.shape}: expected (2,)")

    def offset_at(self, time_s: float) -> NDArray[np.float64]:
        """By how much the cube has been moved until then, (2,), m, of least jerk, as a human hand reaches."""
        ratio = min(max((time_s - self.begins_s) / self.lasts_s, 0.0), 1.0)
        return np.asarray(self.way_m * (10 * ratio**3 - 15 * ratio**4 + 6 * ratio**5))

    def to_array(self) -> NDArray[np.float64]:
        """The same as (ARRAY_SIZE,) numbers, as the simulator carries it with its state."""
        return np.array([self.begins_s, self.lasts_s, *self.way_m])

    @classmethod
    def from_array(cls, numbers: NDArray[np.float64]) -> HandMotion:
        """A motion out of `to_array`. ArrayShapeError for another length."""
        if numbers.shape != (ARRAY_SIZE,):
            raise ArrayShapeError(f"a motion has shape {numbers.shape}: expected ({ARRAY_SIZE},)")
        return cls(float(numbers[0]), float(numbers[1]), numbers[2:].copy())


def nudged(seed: int, start_m: NDArray[np.float64], x_m: Range, y_m: Range) -> HandMotion:
    """Once, by 2 to 4 cm within 0.2 to 0.4 s, begun between 0.3 and 1.1 s, in any direction that stays in the area.

    start_m: (2,), where the cube lies, m; x_m, y_m: the area in which scenes place it, m.
    """
    source = np.random.default_rng([seed, 78])  # apart from the numbers that place the cube
    begins_s, lasts_s, length_m = source.uniform(*_BEGINS_S), source.uniform(*_LASTS_S), source.uniform(*_WAY_M)
    while True:  # the area is 8 cm x 14 cm: from anywhere in it a quarter of all directions stays inside, or more
        heading_rad = source.uniform(-math.pi, math.pi)
        way_m = length_m * np.array([math.cos(heading_rad), math.sin(heading_rad)])
        x, y = start_m + way_m
        if x_m[0] <= x <= x_m[1] and y_m[0] <= y <= y_m[1]:
            return HandMotion(begins_s, lasts_s, way_m)
