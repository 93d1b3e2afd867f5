# SPDX-License-Identifier: Apache-2.0
"""A ServoBus without a port: registers in memory, servos that stand exactly where they are told.

The double on which everything above the bus is tested, and it keeps a record of what was asked of it. It knows nothing
of time, load and wire; what does is `so101_sim`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from so101_node.protocol import GRIPPER

from so101_driver.core import registers as reg
from so101_driver.core.calibration import Calibration
from so101_driver.core.errors import NoReplyError, PortError
from so101_driver.core.registers import Register, ServoState
from so101_driver.core.servo_bus import StatesRead

_REGISTERS = 87


@dataclass(frozen=True, slots=True)
class Written:
    """One acknowledged write."""

    servo_id: int
    register: str
    value: int


class MemoryBus:
    """Six servos as LeRobot leaves them: calibrated, configured, torque off, in the middle of their ranges."""

    def __init__(self, calibration: Calibration) -> None:
        self.registers: dict[int, bytearray] = {}
        self.silent: set[int] = set()  # servos that are unplugged
        self.status: dict[int, int] = {}  # status bits that servos report
        self.tripped: dict[int, int] = {}  # the same, until their torque goes off
        self.blocked: set[int] = set()  # servos that do not move
        self.unplugged = False  # the port itself
        self.garbled = False  # noise on the wire
        self.writes: list[Written] = []
        self.goals: list[dict[int, int]] = []
        self.opened = 0
        self._open = False
        for index, joint in enumerate(calibration.joints):
            self.registers[joint.servo_id] = bytearray(_REGISTERS)
            middle = (joint.range_min + joint.range_max) // 2
            for register, value in (
                (reg.FIRMWARE_MAJOR, 3),
                (reg.FIRMWARE_MINOR, 10),
                (reg.MODEL_NUMBER, reg.MODEL_STS3215),
                (reg.RESPONSE_STATUS_LEVEL, 1),
                (reg.MIN_POSITION_LIMIT, joint.range_min),
                (reg.MAX_POSITION_LIMIT, joint.range_max),
                (reg.MIN_VOLTAGE_LIMIT, 40),
                (reg.MAX_VOLTAGE_LIMIT, 140),
                (reg.MAX_TORQUE_LIMIT, 500 if index == GRIPPER else 1000),
                (reg.TORQUE_LIMIT, 500 if index == GRIPPER else 1000),
                (reg.PHASE, 12),
                (reg.P_COEFFICIENT, 16),
                (reg.D_COEFFICIENT, 32),
                (reg.PROTECTION_CURRENT, 250 if index == GRIPPER else 500),
                (reg.OVERLOAD_TORQUE, 25 if index == GRIPPER else 80),
                (reg.HOMING_OFFSET, joint.homing_offset),
                (reg.LOCK, 1),
                (reg.GOAL_POSITION, middle),
                (reg.PRESENT_POSITION, middle),
                (reg.PRESENT_VOLTAGE, 121),
                (reg.PRESENT_TEMPERATURE, 31),
            ):
                self.poke(joint.servo_id, register, value)

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""
        return self._open

    def open(self) -> None:
        """Open; refused while unplugged."""
        self.opened += 1
        if self.unplugged:
            raise PortError("port memory does not exist; plug the arm in")
        self._open = True

    def close(self) -> None:
        """Close."""
        self._open = False

    def ping(self, servo_id: int) -> bool:
        """Whether the servo is plugged in."""
        self._check_port()
        return servo_id in self.registers and servo_id not in self.silent

    def read_states(self, servo_ids: Sequence[int]) -> StatesRead:
        """States of the servos that are plugged in."""
        self._check_port()
        states = {}
        for servo_id in servo_ids:
            if servo_id not in self.silent:
                block = self._block(servo_id, *reg.STATE_BLOCK)
                status = self.status.get(servo_id, 0) | self.tripped.get(servo_id, 0)
                states[servo_id] = ServoState.decode(block, status)
        return StatesRead(states=states, retried=len(servo_ids) - len(states), garbled=self.garbled)

    def read_block(self, servo_id: int, address: int, length: int) -> bytes:
        """Registers of one servo."""
        self._check_port()
        self._check_servo(servo_id)
        return self._block(servo_id, address, length)

    def write_register(self, servo_id: int, register: Register, value: int) -> None:
        """Write and record."""
        self._check_port()
        self._check_servo(servo_id)
        self.writes.append(Written(servo_id, register.name, value))
        self.poke(servo_id, register, value)
        if register == reg.TORQUE_ENABLE and value == 0:
            self.tripped.pop(servo_id, None)
        self._move(servo_id)

    def write_goals(self, goals: Mapping[int, int]) -> None:
        """Write and record; servos with torque are there at once."""
        self._check_port()
        self.goals.append(dict(goals))
        for servo_id, goal in goals.items():
            self.poke(servo_id, reg.GOAL_POSITION, goal)
            self._move(servo_id)

    def poke(self, servo_id: int, register: Register, value: int) -> None:
        """Set a register from outside, without a record."""
        self.registers[servo_id][register.address : register.address + register.length] = register.encode(value)

    def peek(self, servo_id: int, register: Register) -> int:
        """A register's value."""
        return register.decode(self.registers[servo_id])

    def _block(self, servo_id: int, address: int, length: int) -> bytes:
        return bytes(self.registers[servo_id][address : address + length])

    def _move(self, servo_id: int) -> None:
        if self.peek(servo_id, reg.TORQUE_ENABLE) == 1 and servo_id not in self.blocked:
            goal = self.peek(servo_id, reg.GOAL_POSITION)
            lower, upper = self.peek(servo_id, reg.MIN_POSITION_LIMIT), self.peek(servo_id, reg.MAX_POSITION_LIMIT)
            self.poke(servo_id, reg.PRESENT_POSITION, min(max(goal, lower), upper))

    def _check_port(self) -> None:
        if self.unplugged or not self._open:
            raise PortError("port memory is gone; plug the arm in again")

    def _check_servo(self, servo_id: int) -> None:
        if servo_id in self.silent or servo_id not in self.registers:
            raise NoReplyError(f"servo {servo_id} on memory does not answer")
