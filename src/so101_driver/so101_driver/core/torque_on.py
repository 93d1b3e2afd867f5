# SPDX-License-Identifier: Apache-2.0
"""Switching one servo on so that its joint stays where it is, whatever the servo did before."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from so101_node.protocol import GRIPPER, JOINT_NAMES

from so101_driver.core import registers as reg
from so101_driver.core.calibration import MAX_RAW, RAD_PER_STEP, JointCalibration
from so101_driver.core.encoder_track import TURN
from so101_driver.core.errors import ServoRefusedError
from so101_driver.core.patience import patiently
from so101_driver.core.registers import Register, StatusBits
from so101_driver.core.servo_bus import ServoBus
from so101_driver.core.servo_settings import ACCELERATION_VALUE

# A servo pulls a joint that stands outside its range inside at once, as fast as it can; 2 cm at the tip of the arm.
_OUTSIDE_RAD: Final = 0.05
# A joint this far from its goal was not held there: 0.05 rad is about what the arm's own weight makes of it.
_SAGGED_RAD: Final = 0.05
_READS_WITHOUT_TORQUE: Final = 20  # 1 to 2 ms each; a servo judges itself every few milliseconds


@dataclass(frozen=True, slots=True)
class Start:
    """How one servo is switched on."""

    goal: int  # encoder steps
    eeprom: bytes
    control: bytes  # CONTROL_BLOCK before
    off_first: bool  # its torque is on, but has to go off for a moment


class TorqueOn:
    """Two steps, so that nothing is switched on where a later joint is refused: `start_of` each, then `switch_on`."""

    def __init__(self, bus: ServoBus, joints: Sequence[JointCalibration], *, shadow: bool) -> None:
        """`shadow`: read everything, write nothing."""
        self._bus = bus
        self._joints = tuple(joints)
        self._shadow = shadow

    def start_of(self, index: int, position: int, tripped: bool, tolerance_rad: float) -> Start:
        """Goal with which the joint at `position` stays where it is. Raises ServoRefusedError when none does."""
        joint = self._joints[index]
        servo_id = joint.servo_id
        eeprom = patiently(lambda: self._bus.read_block(servo_id, *reg.EEPROM_BLOCK))
        control = patiently(lambda: self._bus.read_block(servo_id, *reg.CONTROL_BLOCK))
        first = reg.CONTROL_BLOCK[0]
        on = reg.TORQUE_ENABLE.decode(control, first) == 1
        own_goal = reg.GOAL_POSITION.decode(control, first)
        lowered = reg.TORQUE_LIMIT.decode(control, first) < reg.MAX_TORQUE_LIMIT.decode(eeprom)
        away_rad = abs(own_goal - position) * RAD_PER_STEP
        leaps = index != GRIPPER and (lowered or away_rad > tolerance_rad)
        keeps = on and not tripped and not leaps
        wanted = own_goal if keeps else position
        goal = min(max(wanted, joint.range_min), joint.range_max)
        if not keeps and abs(goal - wanted) * RAD_PER_STEP > _OUTSIDE_RAD:
            raise ServoRefusedError(_outside(JOINT_NAMES[index], wanted, joint))
        # The servo moves to a new goal along a ramp that begins at its old one, and only torque that comes on begins
        # it at the position; in the 3 ms without torque an arm falls by less than 0.1 mm.
        sagged = leaps and lowered and away_rad > _SAGGED_RAD
        return Start(goal, eeprom, control, off_first=on and (tripped or sagged))

    def switch_on(self, index: int, start: Start) -> None:
        """Goal first, then torque, and only then all of it."""
        servo_id, first = self._joints[index].servo_id, reg.CONTROL_BLOCK[0]

        def ensure(register: Register, value: int) -> None:
            if register.decode(start.control, first) != value:
                self._write(servo_id, register, value)

        ensure(reg.ACCELERATION, ACCELERATION_VALUE)
        ensure(reg.LOCK, 1)
        ensure(reg.GOAL_POSITION, start.goal)
        if start.off_first and not self._shadow:
            self._switch_off_and_on(index)
        ensure(reg.TORQUE_ENABLE, 1)
        ensure(reg.TORQUE_LIMIT, reg.MAX_TORQUE_LIMIT.decode(start.eeprom))  # an earlier fault may have lowered it
        if not self._shadow and not patiently(lambda: has_torque(self._bus, servo_id)):
            raise ServoRefusedError(
                f"{JOINT_NAMES[index]} (id {servo_id}) keeps its torque off: let it cool down or cycle its power"
            )

    def _switch_off_and_on(self, index: int) -> None:
        """Torque off until the servo has forgotten its overcurrent, and on in any case. Raises ServoRefusedError."""
        servo_id = self._joints[index].servo_id
        self._write(servo_id, reg.TORQUE_ENABLE, 0)
        try:
            for _ in range(_READS_WITHOUT_TORQUE):
                state = self._bus.read_states([servo_id]).states.get(servo_id)
                if state is not None and not state.status & StatusBits.OVERCURRENT:
                    return
        finally:
            self._write(servo_id, reg.TORQUE_ENABLE, 1)
        raise ServoRefusedError(
            f"{JOINT_NAMES[index]} (id {servo_id}) reports overcurrent with its torque off too: cycle its power; if it "
            "comes back, replace the servo"
        )

    def _write(self, servo_id: int, register: Register, value: int) -> None:
        if not self._shadow:
            patiently(lambda: self._bus.write_register(servo_id, register, value))


def has_torque(bus: ServoBus, servo_id: int) -> bool:
    """Whether a servo has its torque on. Raises NoReplyError."""
    block = bus.read_block(servo_id, *reg.CONTROL_BLOCK)
    return reg.TORQUE_ENABLE.decode(block, reg.CONTROL_BLOCK[0]) == 1


def _outside(name: str, step: int, joint: JointCalibration) -> str:
    """Why a joint at `step` gets no torque."""
    away = min(abs(step - end) for end in (joint.range_min, joint.range_max))
    over = [
        end
        for end, other in ((joint.range_min, step - TURN), (joint.range_max, step + TURN))
        if abs(other - end) < away
    ]
    seam = (
        f"; it seems to have gone over the encoder's 0/{MAX_RAW} seam, near which its range ends ({over[0]})"
        if over
        else ""
    )
    return (
        f"{name} stands at step {step}, outside its calibrated range {joint.range_min}..{joint.range_max}{seam}: move "
        "it inside by hand, or run lerobot-calibrate again, beginning with the joint in its middle"
    )
