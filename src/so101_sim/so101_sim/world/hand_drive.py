# SPDX-License-Identifier: Apache-2.0
"""The hand that moves the cube of a scene, step by step; nobody sees it. Its motion goes with the simulator's state."""

from __future__ import annotations

import math

import mujoco

from so101_sim.core import hand_motion
from so101_sim.core.hand_motion import HandMotion
from so101_sim.core.tasks import CUBE_HALF_M
from so101_sim.world import belt_drive
from so101_sim.world.belt_drive import CUBE_JOINT

# In the data's userdata, behind what the belt keeps there: when the motion began, s, until when there is something to
# do, s since then, and the motion.
_BEGUN, _UNTIL = belt_drive.USERDATA_LENGTH, belt_drive.USERDATA_LENGTH + 1
_MOTION = slice(_UNTIL + 1, _UNTIL + 1 + hand_motion.ARRAY_SIZE)
USERDATA_LENGTH = _MOTION.stop
"""Of the belt and the hand together."""

_ON_TABLE_M = 1.5 * CUBE_HALF_M  # below this the cube's centre is when it lies on the table


def place_hand(data: mujoco.MjData, motion: HandMotion | None) -> None:
    """A motion that begins its time now; None = no hand."""
    data.userdata[_UNTIL] = -math.inf if motion is None else motion.begins_s + motion.lasts_s
    if motion is not None:
        data.userdata[_MOTION] = motion.to_array()
    start_hand(data)


def hold_hand(data: mujoco.MjData) -> None:
    """The hand waits until `start_hand`."""
    data.userdata[_BEGUN] = math.inf


def start_hand(data: mujoco.MjData) -> None:
    """Its time begins now."""
    data.userdata[_BEGUN] = data.time


def before_step(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """To be called before each mj_step: moves the cube on by what the hand does within the step, and does not turn it.

    A cube that does not lie on the table, since the jaws hold it, is left to them.
    """
    since_s = data.time - data.userdata[_BEGUN]
    if not 0.0 <= since_s < data.userdata[_UNTIL]:
        return
    motion = HandMotion.from_array(data.userdata[_MOTION])
    step_m = motion.offset_at(since_s + model.opt.timestep) - motion.offset_at(since_s)
    joint = model.joint(CUBE_JOINT)
    position, velocity = int(joint.qposadr[0]), int(joint.dofadr[0])
    if step_m.any() and data.qpos[position + 2] < _ON_TABLE_M:
        data.qpos[position : position + 2] += step_m
        data.qvel[velocity : velocity + 6] = 0.0
