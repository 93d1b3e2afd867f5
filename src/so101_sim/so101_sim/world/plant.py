# SPDX-License-Identifier: Apache-2.0
"""MuJoCo behind the servos: each physics step the servos' drives go in, and what the joints do comes out."""

from __future__ import annotations

import copy
from collections.abc import Callable

import mujoco
from so101_node.protocol import JOINT_NAMES

from so101_sim.core import servo_registers as reg
from so101_sim.core.arm_servos import TICKS_PER_RAD, EncoderMount, calibration_of, configured_servos
from so101_sim.core.joints import JointRanges
from so101_sim.core.virtual_servo import Drive, VirtualServo

BLOCKED_DAMPING_NM_S = 1000.0
"""Damping of a blocked joint: at its full 2.9 Nm a servo moves it by 3 mrad a second."""

StepHook = Callable[[mujoco.MjModel, mujoco.MjData], None]

_JOINTS = len(JOINT_NAMES)


class ArmPlant:
    """The arm and whatever else the model holds, advanced in whole physics steps by `step`.

    model, data: the arm at its start pose; its joints and actuators come first, in JOINT_NAMES order. The model is
    copied, since its actuators change while running; data is not. before_step: called before each mj_step.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, before_step: StepHook) -> None:
        _require_arm_first(model)
        model = copy.copy(model)
        self.model, self.data = model, data
        ranges = JointRanges.of(model)
        self.calibration = calibration_of(ranges)
        self._mounts = EncoderMount.of(ranges, self.calibration)
        angles = data.qpos[:_JOINTS].tolist()
        encoders = [mount.encoder(angle) for mount, angle in zip(self._mounts, angles, strict=True)]
        self.servos = configured_servos(self.calibration, encoders)
        self.step_ns = round(model.opt.timestep * 1e9)
        self.time_ns = 0
        self._before_step = before_step
        self._dt_s = float(model.opt.timestep)
        self._stiffness = model.actuator_gainprm[:_JOINTS, 0].copy()
        self._damping = -model.actuator_biasprm[:_JOINTS, 2]
        self._stall_nm = model.actuator_forcerange[:_JOINTS, 1].copy()
        self._free_damping = model.dof_damping[:_JOINTS].copy()
        self._applied: list[tuple[float, float, float] | None] = [None] * _JOINTS
        mujoco.mj_forward(model, data)

    def enable_torque(self) -> None:
        """Lets every servo hold where it is, as a driver that has been here before leaves them."""
        for servo in self.servos:
            servo.write(reg.TORQUE_ENABLE, b"\x01")

    def servo(self, servo_id: int) -> VirtualServo:
        """The servo with that id; KeyError if there is none."""
        for servo in self.servos:
            if servo.id == servo_id:
                return servo
        raise KeyError(servo_id)

    def block(self, servo_id: int, blocked: bool) -> None:
        """Jams the joint of a servo where it is, or frees it. KeyError if there is no such servo."""
        joint = self.servos.index(self.servo(servo_id))
        self.model.dof_damping[joint] = BLOCKED_DAMPING_NM_S if blocked else self._free_damping[joint]

    def step(self, count: int = 1) -> None:
        """Advances by `count` physics steps and lets the servos read their sensors."""
        for _ in range(count):
            self._control()
            self._before_step(self.model, self.data)
            mujoco.mj_step(self.model, self.data)
            self.time_ns += self.step_ns
        self._sense()

    def _control(self) -> None:
        data = self.data
        loads = self._loads()
        targets = []
        angles = data.qpos[:_JOINTS].tolist()
        for joint, (servo, mount) in enumerate(zip(self.servos, self._mounts, strict=True)):
            encoder = mount.encoder(angles[joint])
            drive = servo.control(self._dt_s, encoder, loads[joint])
            self._apply(joint, drive)
            targets.append(mount.angle(drive.target))
        data.ctrl[:_JOINTS] = targets

    def _apply(self, joint: int, drive: Drive) -> None:
        """Sets the strength of one actuator; the arrays are touched only when it changes."""
        strength = (drive.stiffness, drive.damping, drive.torque_limit)
        if strength == self._applied[joint]:
            return
        self._applied[joint] = strength
        model, stiffness = self.model, self._stiffness[joint] * drive.stiffness
        model.actuator_gainprm[joint, 0] = stiffness
        model.actuator_biasprm[joint, 1] = -stiffness
        model.actuator_biasprm[joint, 2] = -self._damping[joint] * drive.damping
        limit = self._stall_nm[joint] * drive.torque_limit
        model.actuator_forcerange[joint] = (-limit, limit)

    def _sense(self) -> None:
        angles, loads = self.data.qpos[:_JOINTS].tolist(), self._loads()
        velocities = (self.data.qvel[:_JOINTS] * TICKS_PER_RAD).tolist()
        for joint, (servo, mount) in enumerate(zip(self.servos, self._mounts, strict=True)):
            servo.sense(mount.encoder(angles[joint]), velocities[joint], loads[joint])

    def _loads(self) -> list[float]:
        loads: list[float] = (self.data.actuator_force[:_JOINTS] / self._stall_nm).tolist()
        return loads


def _require_arm_first(model: mujoco.MjModel) -> None:
    for index, name in enumerate(JOINT_NAMES):
        if int(model.joint(name).qposadr[0]) != index or model.actuator(name).id != index:
            raise ValueError(f"{name}: expected joint and actuator {index} of the model")
