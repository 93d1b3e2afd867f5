"""What the virtual arm can be asked to do: where the cube starts, where it belongs, and how long that may take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from so101_sim.errors import TaskError

CUBE_HALF_M = 0.0125
"""Half an edge of the cube, m."""

BIN_CENTRE_M = (0.19, -0.15)
"""Middle of the bin on the floor, x and y, m, in the frame of the arm's base."""

BIN_HALF_M = 0.055
"""Half an inner edge of the bin, m."""


@dataclass(frozen=True, slots=True)
class CubePose:
    """Where the cube is. position: (3,), m, of its centre; yaw: turn about the vertical, rad."""

    position: NDArray[np.float64]
    yaw: float


@dataclass(frozen=True, slots=True)
class Task:
    """One task. The ranges are those of the cube's start: m and rad, drawn evenly."""

    name: str
    instruction: str
    timeout_s: float
    x_m: tuple[float, float]
    y_m: tuple[float, float]
    yaw_rad: tuple[float, float]

    def cube_start(self, seed: int) -> CubePose:
        """The cube's start pose; the same for the same seed, on every machine."""
        draw = np.random.default_rng(seed).uniform
        position = np.array([draw(*self.x_m), draw(*self.y_m), CUBE_HALF_M])
        return CubePose(position, float(draw(*self.yaw_rad)))


STATIC = Task(
    name="static",
    instruction="Pick the cube to place",
    timeout_s=15.0,  # the expert needs 6 s
    x_m=(0.19, 0.27),
    y_m=(-0.03, 0.11),
    yaw_rad=(-0.35, 0.35),
)

TASKS = {task.name: task for task in (STATIC,)}


def task_named(name: str) -> Task:
    """The task of that name; TaskError lists the names there are."""
    try:
        return TASKS[name]
    except KeyError:
        raise TaskError(f"task = {name!r}: no such task; there are {', '.join(TASKS)}") from None
