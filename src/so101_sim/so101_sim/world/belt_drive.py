# SPDX-License-Identifier: Apache-2.0
"""What drives the conveyor belt of the scene, step by step; its motion goes with the simulator's state."""

from __future__ import annotations

import math
from dataclasses import replace

import mujoco
import numpy as np
from numpy.typing import NDArray

from so101_sim.core import belt_motion
from so101_sim.core.belt_motion import BeltMotion
from so101_sim.core.tasks import CONVEYOR

CUBE_JOINT = "cube"
LIFT, TRAVEL = -2, -1  # the conveyor's two joints are the last of the model
PITCH_M = 0.04  # of the marks on the belt, by which one sees it run
_LOWERED_M = -0.1  # where the conveyor lies while no task needs it

# In the data's userdata, so that a scene's motion goes with its state: when the motion began, when the belt does
# something else next, its speed until then, and its whole motion, less a nudge that is done. s, s, m/s, BeltMotion.
_BEGUN, _NEXT_CHANGE, _SPEED, _MOTION = 0, 1, 2, slice(3, 3 + belt_motion.ARRAY_SIZE)
USERDATA_LENGTH = _MOTION.stop


def place_belt(data: mujoco.MjData, motion: BeltMotion | None) -> None:
    """Puts the conveyor on the table, its motion begun; None = away, out of sight and touch."""
    if motion is not None:
        data.userdata[_MOTION] = motion.to_array()
    data.qpos[TRAVEL] = 0.0
    data.qpos[LIFT] = _LOWERED_M if motion is None else 0.0
    start_belt(data)


def hold_belt(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Stops a belt that was just placed, and the cube on it, until `start_belt`."""
    data.userdata[_NEXT_CHANGE], data.userdata[_SPEED] = math.inf, 0.0
    cube = int(model.joint(CUBE_JOINT).dofadr[0])
    data.qvel[cube : cube + 6] = 0.0


def start_belt(data: mujoco.MjData) -> None:
    """Begins the belt's motion now."""
    data.userdata[_BEGUN] = data.userdata[_NEXT_CHANGE] = data.time


def before_step(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """To be called before each mj_step: drives the conveyor, which weighs nothing against its motor.

    The belt is a slab that begins each step with its speed; after each pitch of its marks it is put back by one, which
    nothing on it notices and nobody sees. A nudge moves the cube at once, and never off the belt.
    """
    if has_belt(data.qpos):
        if data.time >= data.userdata[_NEXT_CHANGE]:
            _change(model, data)
        data.qpos[LIFT], data.qpos[TRAVEL] = 0.0, data.qpos[TRAVEL] % PITCH_M
        data.qvel[LIFT], data.qvel[TRAVEL] = 0.0, data.userdata[_SPEED]
    else:
        data.qpos[LIFT], data.qpos[TRAVEL] = _LOWERED_M, 0.0
        data.qvel[LIFT:] = 0.0


def has_belt(qpos: NDArray[np.float64]) -> bool:
    """Whether the conveyor stands on the table in this configuration, qpos: (nq,)."""
    return bool(qpos[LIFT] > _LOWERED_M / 2)


def _change(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Begins what the belt does from now on; nudges the cube if it is time."""
    begun_s = float(data.userdata[_BEGUN])
    motion, since_s = BeltMotion.from_array(data.userdata[_MOTION]), data.time - begun_s
    if since_s >= motion.nudge_s:
        _nudge(model, data, motion.nudge_m)
        motion = replace(motion, nudge_s=math.inf)
        data.userdata[_MOTION] = motion.to_array()
    data.userdata[_SPEED] = motion.speed_at(since_s)
    data.userdata[_NEXT_CHANGE] = begun_s + motion.next_change_s(since_s)


def _nudge(model: mujoco.MjModel, data: mujoco.MjData, way_m: float) -> None:
    """Moves the cube along the belt if the belt carries it."""
    at = int(model.joint(CUBE_JOINT).qposadr[0])
    here = data.qpos[at : at + 3].copy()
    if CONVEYOR.carries(here):
        data.qpos[at : at + 3] = CONVEYOR.kept_on(here + way_m * CONVEYOR.direction)
