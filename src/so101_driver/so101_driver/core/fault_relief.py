# SPDX-License-Identifier: Apache-2.0
"""What a fault asks of goals and torque limits of single joints, so that the arm neither presses on nor leaps later.

A servo that reports an overload keeps a fifth of its torque until its goal lies on the other side of it; one that
reports overcurrent or overheating is limp, and has its torque back at once when it has cooled.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from so101_node.protocol import GRIPPER, FloatArray

from so101_driver.core import causes
from so101_driver.core.arm import ArmReading
from so101_driver.core.fault_monitor import Fault
from so101_driver.core.gate_values import ServoOrder
from so101_driver.core.goal_path import GoalPath
from so101_driver.core.registers import StatusBits

_RELIEF_RAD: Final = 0.02  # 13 encoder steps: more than a joint at rest trembles
_CUTS_TORQUE: Final = StatusBits.OVERCURRENT | StatusBits.OVERHEAT
_LOWER_TORQUE_ON: Final = (causes.OVERLOAD, causes.OVERCURRENT, causes.OVERHEAT, causes.VOLTAGE)


class FaultRelief:
    """Remembers, until `reset`, which joints were lowered and on which side of overloaded ones the load lies."""

    def __init__(self, path: GoalPath, emergency_error_rad: float) -> None:
        """`path`: where goals come to rest. `emergency_error_rad`: of the held goals from the joint positions."""
        self._path = path
        self._emergency_error_rad = emergency_error_rad
        self.reset()

    def reset(self) -> None:
        """Forget: all joints hold with their full torque again."""
        self.lowered: tuple[int, ...] = ()
        self._load_sides: dict[int, float] = {}  # 1: the load pulls the joint below its goal; -1: above

    def protect(self, fault: Fault, reading: ArmReading | None, armed: bool) -> tuple[ServoOrder, ...]:
        """Orders for joints that suffer: torque limits are lowered once; overloaded joints lose their load.

        `reading`: the newest. `armed`: whether goals are written.
        """
        if fault.cause == causes.POSITION_JUMP:
            return (ServoOrder.HOLD_HERE,) if reading is not None and reading.jumped else ()
        if fault.cause not in _LOWER_TORQUE_ON:
            return ()
        fresh = tuple(joint for joint in fault.joints if joint not in self.lowered)
        self.lowered += fresh
        if fault.cause == causes.OVERLOAD and armed:
            self._relieve([joint for joint in fresh if joint != GRIPPER], reading)  # it would let go of what it holds
        return (ServoOrder.LOWER_TORQUE,) if fresh else ()

    def relieve_again(self, standing: Sequence[Fault], reading: ArmReading | None) -> bool:
        """Put the goals of joints that sank under their overload beyond it once more. False: there is none."""
        joints = [joint for fault in standing if fault.cause == causes.OVERLOAD for joint in fault.joints]
        return self._relieve(joints, reading)

    def settle(self, fault: Fault, measured: FloatArray) -> None:
        """After an emergency stop goals rest near the joints, after a stall where they are. `measured`: (6,), rad."""
        if fault.cause not in (causes.EMERGENCY_STOP, causes.STALL):
            return
        allowed = self._emergency_error_rad if fault.cause == causes.EMERGENCY_STOP else 0.0
        goal = self._path.goal
        known = np.where(np.isnan(measured), goal, measured)
        goal = np.clip(goal, known - allowed, known + allowed)
        self._path.settle_at({joint: float(goal[joint]) for joint in fault.joints})

    def follow_limp_joints(self, reading: ArmReading) -> None:
        """Goals go where joints stand that cut their own torque and sank farther than emergency_error_rad.

        One that is nearer may still hold, and following it would let it creep down. The gripper closes on by itself.
        """
        limp = (reading.error_bits & _CUTS_TORQUE != 0) & reading.answered
        limp[GRIPPER] = False
        sunk = limp & (np.abs(self._path.goal - reading.positions) > self._emergency_error_rad)
        self._path.settle_at({joint: float(reading.positions[joint]) for joint in np.flatnonzero(sunk).tolist()})

    def _relieve(self, joints: Sequence[int], reading: ArmReading | None) -> bool:
        """Goals go a little beyond where overloaded joints stand, away from their load: that alone ends an overload."""
        if not joints or reading is None:
            return False
        goal = self._path.goal
        goals: dict[int, float] = {}
        for joint in joints:
            position = float(reading.positions[joint])
            if not np.isfinite(position):
                continue  # it did not answer
            pressed = float(np.sign(goal[joint] - position) or np.sign(reading.loads[joint]))
            goals[joint] = position - self._load_sides.setdefault(joint, pressed) * _RELIEF_RAD
        self._path.settle_at(goals)
        return True
