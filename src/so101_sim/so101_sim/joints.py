"""The arm's joints in the simulator: names, home pose, and the one conversion between MuJoCo angles and driver rad.

MuJoCo's zero is the zero of the model; the driver's zero (used on every topic) is the middle of a joint's calibrated
range. The virtual arm is calibrated to the model's own joint ranges, so the two differ by the middle of each range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import mujoco

JOINT_NAMES = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
"""Order of every joint array, servo ids 1 to 6, and also the order of the first six entries of qpos and ctrl."""

GRIPPER = JOINT_NAMES.index("gripper")

HOME = (0.0, -1.2, 1.1, 1.0, 0.0, 0.2)
"""Folded pose in which episodes begin and end, MuJoCo angles, rad."""


@dataclass(frozen=True, slots=True)
class JointRanges:
    """The model's joint ranges, MuJoCo angles, (6,) each, rad, in JOINT_NAMES order."""

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    @classmethod
    def of(cls, model: mujoco.MjModel) -> JointRanges:
        """Reads the ranges by name; KeyError if the model is not an SO-101."""
        ranges = np.array([model.joint(name).range for name in JOINT_NAMES])
        return cls(ranges[:, 0].copy(), ranges[:, 1].copy())

    @property
    def middle(self) -> NDArray[np.float64]:
        """MuJoCo angle of each joint where the driver's angle is zero, (6,), rad."""
        return (self.lower + self.upper) / 2

    def to_driver(self, angles: NDArray[np.float64]) -> NDArray[np.float64]:
        """MuJoCo angles, (..., 6), rad -> driver rad."""
        return np.asarray(angles, np.float64) - self.middle

    def to_mujoco(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Driver rad, (..., 6) -> MuJoCo angles, rad."""
        return np.asarray(positions, np.float64) + self.middle
