"""What a fault asks of goals and torque limits of single joints, so that the arm neither presses on nor leaps later.

A servo that reports an overload keeps a fifth of its torque until its goal lies on the other side of it; one that
reports overcurrent or overheating is limp, and has its torque back at once when it has cooled.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from so101_driver.arm import ArmReading
from so101_driver.calibration import GRIPPER, FloatArray
from so101_driver.registers import StatusBits

_RELIEF_RAD: Final = 0.02  # 13 encoder steps: more than a joint at rest trembles
_CUTS_TORQUE: Final = StatusBits.OVERCURRENT | StatusBits.OVERHEAT


class LoadRelief:
    """Remembers, until `reset`, which joints were lowered and on which side of overloaded ones the load lies."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget: all joints hold with their full torque again."""
        self.lowered: tuple[int, ...] = ()
        self._load_sides: dict[int, float] = {}  # 1: the load pulls the joint below its goal; -1: above

    def lower(self, joints: Sequence[int]) -> tuple[int, ...]:
        """Count these joints as lowered; returns those that were not before."""
        fresh = tuple(joint for joint in joints if joint not in self.lowered)
        self.lowered += fresh
        return fresh

    def beyond_load(self, joints: Sequence[int], goal: FloatArray, reading: ArmReading) -> dict[int, float]:
        """Goals a little beyond where overloaded joints stand, away from their load, rad, by joint.

        `goal`: those in force, (6,), rad. Joints that did not answer are left out.
        """
        goals: dict[int, float] = {}
        for joint in joints:
            pose = float(reading.positions[joint])
            if not np.isfinite(pose):
                continue
            pressed = float(np.sign(goal[joint] - pose) or np.sign(reading.loads[joint]))
            goals[joint] = pose - self._load_sides.setdefault(joint, pressed) * _RELIEF_RAD
        return goals


def poses_of_limp_joints(reading: ArmReading, goal: FloatArray, tolerance_rad: float) -> dict[int, float]:
    """Where joints stand that cut their own torque and sank farther than `tolerance_rad` from their goals; by joint.

    One that is nearer may still hold, and following it would let it creep down. The gripper closes on by itself.
    """
    limp = (reading.error_bits & _CUTS_TORQUE != 0) & reading.answered
    limp[GRIPPER] = False
    return {
        joint: float(reading.positions[joint])
        for joint in np.flatnonzero(limp).tolist()
        if abs(goal[joint] - reading.positions[joint]) > tolerance_rad
    }
