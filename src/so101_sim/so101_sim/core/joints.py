# SPDX-License-Identifier: Apache-2.0
"""The arm's joints in the simulator: home, and the one conversion between MuJoCo angles and driver rad.

MuJoCo's zero is the zero of the model; the driver's zero (used on every topic) is the middle of a joint's calibrated
range. The virtual arm is calibrated to the model's own joint ranges, so the two differ by the middle of each range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from so101_node.protocol import JOINT_NAMES

from so101_sim.errors import ArrayShapeError

if TYPE_CHECKING:
    import mujoco

HOME = (0.0, -1.2, 1.1, 1.0, 0.0, 0.2)
"""Folded joint positions in which episodes begin and end, MuJoCo angles, rad; the protocol's HOME_POSITIONS.

JOINT_NAMES is also the order of the first six entries of qpos and ctrl.
"""


@dataclass(frozen=True, slots=True)
class JointRanges:
    """The model's joint ranges, MuJoCo angles, (6,) each, rad, in JOINT_NAMES order; ArrayShapeError for others."""

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check the shapes."""
        lower, upper, expected = self.lower.shape, self.upper.shape, (len(JOINT_NAMES),)
        if (lower, upper) != (expected, expected):
            raise ArrayShapeError(f"lower has shape {lower}, upper {upper}: expected {expected} each")

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
