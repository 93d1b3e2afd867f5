# SPDX-License-Identifier: Apache-2.0
"""What the virtual arm can be asked to do: where the cube starts, where it belongs, and how long that may take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from so101_sim.core import belt_motion, hand_motion
from so101_sim.core.belt_motion import BeltMotion
from so101_sim.core.hand_motion import HandMotion
from so101_sim.errors import ArrayShapeError, TaskError

CUBE_HALF_M = 0.0125
"""Half an edge of the cube, m."""

BIN_CENTRE_M = (0.19, -0.15)
"""Middle of the bin on the floor, x and y, m, in the frame of the arm's base."""

BIN_HALF_M = 0.055
"""Half an inner edge of the bin, m."""


@dataclass(frozen=True, slots=True)
class CubePose:
    """Where the cube is. position: (3,), m, of its centre; yaw: turn about the vertical, rad. ArrayShapeError."""

    position: NDArray[np.float64]
    yaw: float

    def __post_init__(self) -> None:
        """Check the shape."""
        if self.position.shape != (3,):
            raise ArrayShapeError(f"position has shape {self.position.shape}: expected (3,)")


@dataclass(frozen=True, slots=True)
class Belt:
    """A conveyor belt on the table. middle_m: x and y of its middle; heading_rad: where it runs, 0 is along x.

    speed_m_s: at which it runs in scenes that do not change it.
    """

    middle_m: tuple[float, float]
    heading_rad: float
    half_length_m: float
    half_width_m: float
    height_m: float
    speed_m_s: float

    @property
    def direction(self) -> NDArray[np.float64]:
        """Unit vector, (3,), in which it runs."""
        return np.array([math.cos(self.heading_rad), math.sin(self.heading_rad), 0.0])

    @property
    def velocity(self) -> NDArray[np.float64]:
        """Velocity of what lies on it, (3,), m/s."""
        return self.speed_m_s * self.direction

    def point(self, along_m: float, across_m: float) -> NDArray[np.float64]:
        """A place on its surface, (3,), m: so far from its middle along its run, and across it to the left."""
        along, middle = self.direction, np.array([*self.middle_m, self.height_m])
        return np.asarray(middle + along_m * along + across_m * np.array([-along[1], along[0], 0.0]))

    def carries(self, position: NDArray[np.float64]) -> bool:
        """Whether the centre of a cube, (3,), m, is where it is when the cube lies on the belt."""
        offset, along = position - self.point(0.0, 0.0), self.direction
        return bool(
            abs(offset @ along) < self.half_length_m
            and abs(offset[1] * along[0] - offset[0] * along[1]) < self.half_width_m
            and offset[2] < 1.5 * CUBE_HALF_M
        )

    def has_carried_off(self, position: NDArray[np.float64]) -> bool:
        """Whether the centre of a cube, (3,), m, lies beyond an end of the belt, as high as on it or on the table."""
        offset = position - self.point(0.0, 0.0)
        return bool(abs(offset @ self.direction) > self.half_length_m and offset[2] < 1.5 * CUBE_HALF_M)

    def kept_on(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """The place, (3,), m, along the belt nearest to `position` at which a cube lies on it whole."""
        along = float((position - self.point(0.0, 0.0)) @ self.direction)
        longest = self.half_length_m - CUBE_HALF_M
        return np.asarray(position + (np.clip(along, -longest, longest) - along) * self.direction)


DrawHand = Callable[[int, NDArray[np.float64], tuple[float, float], tuple[float, float]], HandMotion]


@dataclass(frozen=True, slots=True)
class Task:
    """One task. The ranges are those of the cube's start: m and rad, drawn evenly.

    belt: what carries the cube from the start on, if anything does; x_m and y_m are then along and across it.
    draw_motion: how that belt runs in a scene, from the scene's seed and the belt's own speed, m/s.
    draw_hand: how a hand moves the cube in a scene, from its seed, where the cube lies, and x_m and y_m.
    """

    name: str
    instruction: str
    timeout_s: float
    x_m: tuple[float, float]
    y_m: tuple[float, float]
    yaw_rad: tuple[float, float]
    belt: Belt | None = None
    draw_motion: Callable[[int, float], BeltMotion] = belt_motion.steady
    draw_hand: DrawHand | None = None

    @property
    def changes(self) -> bool:
        """Whether the belt or a hand does what cannot be seen beforehand."""
        return self.draw_motion is not belt_motion.steady or self.draw_hand is not None

    def cube_start(self, seed: int) -> CubePose:
        """The cube's start pose; the same for the same seed, on every machine."""
        draw = np.random.default_rng(seed).uniform
        x_m, y_m, yaw = draw(*self.x_m), draw(*self.y_m), float(draw(*self.yaw_rad))
        if self.belt is None:
            return CubePose(np.array([x_m, y_m, CUBE_HALF_M]), yaw)
        return CubePose(self.belt.point(x_m, y_m) + np.array([0.0, 0.0, CUBE_HALF_M]), yaw)

    def belt_motion(self, seed: int) -> BeltMotion | None:
        """How the belt runs in the scene `seed`, the same on every machine; None without a belt."""
        return None if self.belt is None else self.draw_motion(seed, self.belt.speed_m_s)

    def hand_motion(self, seed: int) -> HandMotion | None:
        """How a hand moves the cube in the scene `seed`, the same on every machine; None without a hand."""
        if self.draw_hand is None:
            return None
        return self.draw_hand(seed, self.cube_start(seed).position[:2], self.x_m, self.y_m)


STATIC = Task(
    name="static",
    instruction="Pick the cube to place",
    timeout_s=15.0,  # the expert needs 6 s
    x_m=(0.19, 0.27),
    y_m=(-0.03, 0.11),
    yaw_rad=(-0.35, 0.35),
)

# The policy of STATIC serves it as well.
STATIC_NUDGED = replace(
    STATIC,
    name="static_nudged",
    timeout_s=9.0,  # one reach: a policy that misses the moved cube and reaches again places it after 11 s
    draw_hand=hand_motion.nudged,
)

CONVEYOR = Belt(
    # It passes the bin: a cube that is missed is carried out of reach, so there is one try, and it cannot be late.
    middle_m=(0.256, -0.01),
    heading_rad=math.radians(-69.0),
    half_length_m=0.225,
    half_width_m=0.033,
    height_m=0.004,
    speed_m_s=0.05,
)

BELT = Task(
    name="belt",
    instruction="Pick the cube from the moving belt",
    timeout_s=15.0,
    x_m=(-0.182, -0.107),
    y_m=(-0.014, 0.014),
    yaw_rad=(-0.35, 0.35),
    belt=CONVEYOR,
)

# One policy serves these as well: the cube starts as in BELT, and what the belt does next cannot be seen beforehand.
BELT_CHANGING = replace(BELT, name="belt_changing", draw_motion=belt_motion.changing)
BELT_NUDGED = replace(BELT, name="belt_nudged", draw_motion=belt_motion.nudged)
BELT_REVERSING = replace(
    BELT,
    name="belt_reversing",
    timeout_s=20.0,  # the belt needs 10 s on average to carry a missed cube away
    draw_motion=belt_motion.reversing,
)
# To learn from: what the others do, and a belt that stands still, but none that runs backwards.
BELT_STOPPING = replace(BELT, name="belt_stopping", timeout_s=20.0, draw_motion=belt_motion.stopping)

TASKS = {
    task.name: task for task in (STATIC, STATIC_NUDGED, BELT, BELT_CHANGING, BELT_NUDGED, BELT_REVERSING, BELT_STOPPING)
}


def task_named(name: str) -> Task:
    """The task of that name; TaskError lists the names there are."""
    try:
        return TASKS[name]
    except KeyError:
        raise TaskError(f"task = {name!r}: no such task; there are {', '.join(TASKS)}") from None
