# SPDX-License-Identifier: Apache-2.0
"""Joint angles for a place of the tool: damped least squares on MuJoCo's Jacobian."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from so101_node.protocol import GRIPPER

from so101_sim.core.joints import JointRanges
from so101_sim.world.scene import TOOL_SITE

_TILT_WEIGHT_M = 0.15  # one radian of tilt counts as much as 15 cm of distance
_DAMPING = 1e-4
_MAX_STEP_RAD = 0.2
_NEAR_M, _SETTLED_RAD = 3e-4, 2e-3
_ITERATIONS = 150


@dataclass(frozen=True, slots=True)
class Reach:
    """An answer. angles: (6,) MuJoCo angles, rad, the gripper as given; what is left of the errors: m and rad."""

    angles: NDArray[np.float64]
    distance_m: float
    tilt_rad: float
    jaw_heading_rad: float


class InverseKinematics:
    """Solves for one model on its own data, so that it can share the model with a running simulation."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._data = mujoco.MjData(model)
        self._tool = model.site(TOOL_SITE).id
        self._gripper = model.body("gripper").id
        ranges = JointRanges.of(model)
        self._lower, self._upper = ranges.lower[:GRIPPER], ranges.upper[:GRIPPER]
        self._jacobian = np.zeros((3, model.nv)), np.zeros((3, model.nv))

    def reach(
        self, position: NDArray[np.float64], start: NDArray[np.float64], *, wrist_roll: float | None = None
    ) -> Reach:
        """Puts the tool at `position`, the gripper pointing down as far as the arm's five joints allow.

        position: (3,), m; start: (6,) MuJoCo angles where the search begins; wrist_roll: wanted angle of that joint,
        rad, or None for any. A position out of reach is no error: `distance_m` says by how much it was missed.
        """
        angles = np.array(start, np.float64)
        for _ in range(_ITERATIONS):
            rotation = self._place(angles)
            offset = position - self._data.site_xpos[self._tool]
            tilt = np.cross(-rotation[:, 2], [0.0, 0.0, -1.0])
            linear, angular = self._jacobian
            mujoco.mj_jacSite(self._model, self._data, linear, angular, self._tool)
            jacobian = np.vstack([linear[:, :GRIPPER], _TILT_WEIGHT_M * angular[:, :GRIPPER]])
            error = np.concatenate([offset, _TILT_WEIGHT_M * tilt])
            if wrist_roll is not None:
                jacobian = np.vstack([jacobian, [0.0, 0.0, 0.0, 0.0, 1.0]])
                error = np.append(error, wrist_roll - angles[GRIPPER - 1])
            damped = jacobian @ jacobian.T + _DAMPING * np.eye(len(jacobian))
            step = jacobian.T @ np.linalg.solve(damped, error)
            moved = angles[:GRIPPER] + np.clip(step, -_MAX_STEP_RAD, _MAX_STEP_RAD)
            angles[:GRIPPER] = np.clip(moved, self._lower, self._upper)
            if np.linalg.norm(offset) < _NEAR_M and np.linalg.norm(step) < _SETTLED_RAD:
                break
        rotation = self._place(angles)
        return Reach(
            angles=angles,
            distance_m=float(np.linalg.norm(position - self._data.site_xpos[self._tool])),
            tilt_rad=float(np.arccos(np.clip(rotation[2, 2], -1.0, 1.0))),
            jaw_heading_rad=float(np.arctan2(rotation[1, 0], rotation[0, 0])),
        )

    def _place(self, angles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Moves the arm; returns the gripper's orientation, (3, 3), its z axis pointing out of its back."""
        self._data.qpos[: len(angles)] = angles
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        return np.asarray(self._data.xmat[self._gripper].reshape(3, 3))
