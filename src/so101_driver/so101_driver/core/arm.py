# SPDX-License-Identifier: Apache-2.0
"""The six servos of one arm in radians, over any ServoBus.

No thread, no clock: the ROS driver and the data recorder, which steps virtual time itself, both use this class.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from so101_node.protocol import JOINT_NAMES, BoolArray, FloatArray, IntArray

from so101_driver.core import registers as reg
from so101_driver.core.arm_checks import identify, read_eeprom, verify_settings
from so101_driver.core.calibration import MAX_RAW, Calibration
from so101_driver.core.encoder_track import EncoderTrack, Tracked
from so101_driver.core.errors import NoReplyError, ServoRefusedError
from so101_driver.core.patience import TIMES
from so101_driver.core.registers import Register, ServoState, StatusBits
from so101_driver.core.servo_bus import ServoBus, StatesRead
from so101_driver.core.servo_settings import Gains
from so101_driver.core.torque_on import TorqueOn, has_torque

JOINTS: Final = len(JOINT_NAMES)

_PER_JOINT: Final = (
    "positions",
    "velocities",
    "loads",
    "voltages",
    "temperatures",
    "currents",
    "error_bits",
    "answered",
)
_OFF_SEAM: Final = 10  # encoder steps, 0.015 rad


@dataclass(frozen=True, slots=True)
class ArmReading:
    """One read of all servos. Arrays are (6,), JOINT_NAMES order; NaN, or 0 in `error_bits`, where none answered."""

    positions: FloatArray  # rad
    velocities: FloatArray  # rad/s
    loads: FloatArray  # ratio to the largest torque, -1..1
    voltages: FloatArray  # V
    temperatures: FloatArray  # deg C
    currents: FloatArray  # A
    error_bits: IntArray  # StatusBits
    answered: BoolArray
    retried: int = 0  # servos that were asked twice
    garbled: bool = False  # noise or late replies were seen
    jumps: Mapping[int, str] = field(default_factory=dict)  # joints whose position jumped, and what is to be done
    jumped: tuple[int, ...] = ()  # those of them that jumped at this read

    def __post_init__(self) -> None:
        """Raises ValueError for an array of another shape than (6,)."""
        for name in _PER_JOINT:
            if (shape := getattr(self, name).shape) != (JOINTS,):
                raise ValueError(f"{name} has shape {shape}, expected {(JOINTS,)}")

    @property
    def complete(self) -> bool:
        """Whether all six servos answered."""
        return bool(self.answered.all())


class Arm:
    """An SO-101 follower."""

    def __init__(
        self,
        bus: ServoBus,
        calibration: Calibration,
        *,
        shadow: bool = False,
        repair: str = "",
        gains: Gains | None = None,
        known: Iterable[Path] = (),
        ports: Callable[[], str] = str,
    ) -> None:
        """`shadow`: read everything, write nothing. `repair`: command named when settings differ.

        `gains`: those that the servos should have; default: LeRobot's. `known`: calibration files of this computer,
        to tell whose servos answer when they are not those of `calibration`. `ports`: the serial ports there are, as a
        phrase for that message.
        """
        self._bus = bus
        self._calibration = calibration
        self._shadow = shadow
        self._gains = gains or Gains()
        self._known = tuple(known)
        self._ports = ports
        self._repair = repair or "ros2 run so101_driver configure_servos"
        self._track = EncoderTrack(calibration.joints)
        self._torque_on = TorqueOn(bus, calibration.joints, shadow=shadow)
        self._left_alone: set[int] = set()  # joints that jumped: their servos keep the goal that they were given

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""
        return self._bus.is_open

    @property
    def calibration(self) -> Calibration:
        """Calibration in use."""
        return self._calibration

    @property
    def shadow(self) -> bool:
        """Whether writing is off."""
        return self._shadow

    def open(self) -> None:
        """Open the port and forget what was read before. Raises PortError."""
        self._bus.open()
        self._track.reopen()

    def close(self) -> None:
        """Close the port. The servos keep torque and goal: the arm stays where it is."""
        self._bus.close()

    def identify(self) -> None:
        """Make sure that six STS3215 with one firmware and a healthy supply answer.

        Raises NoReplyError or ServoRefusedError naming the servo and the remedy.
        """
        identify(self._bus, self._ids)

    def verify_settings(self) -> None:
        """Compare the EEPROM with the settings and the calibration.

        Raises SettingsMismatchError; OtherArmError where the servos seem not to be those of the calibration at all.
        """
        verify_settings(self._calibration, self.read_eeprom(), self._gains, self._known, self._repair, self._ports)

    def read_eeprom(self) -> Mapping[int, bytes]:
        """EEPROM_BLOCK by servo id. Raises NoReplyError."""
        return {servo_id: read_eeprom(self._bus, servo_id) for servo_id in self._ids}

    def read(self) -> ArmReading:
        """Read all servos once. Raises PortError; who does not answer is NaN in the reading."""
        answer = self._bus.read_states(self._ids)
        states = [answer.states.get(servo_id) for servo_id in self._ids]
        raw = np.array([np.nan if state is None else float(state.position) for state in states])
        return self._reading(self._track.update(raw), states, answer)

    def torque(self) -> BoolArray:
        """Which servos have their torque on, (6,). Raises NoReplyError."""
        return np.array([self.torque_of(index) for index in range(JOINTS)])

    def torque_of(self, index: int) -> bool:
        """Whether the servo of joint `index` has its torque on. Raises NoReplyError."""
        return has_torque(self._bus, self._ids[index])

    def torque_on(self, tolerance_rad: float = 0.2) -> FloatArray:
        """Seed every goal so that nothing moves, then switch torque on servo by servo. Returns the goals, (6,), rad.

        A servo that already holds keeps its own goal (a closed gripper's lies beyond its position); the others get
        their present position. So does one that only seems to hold: a fault lowered its torque limit, or its goal is
        farther away than `tolerance_rad`, or overcurrent has made it limp; with its full torque it would leap.
        Raises NoReplyError, and ServoRefusedError for a joint that stands outside its calibrated range: torque would
        throw it back inside.
        """
        reading = self._read_patiently()
        if not reading.complete:
            silent = [name for name, answered in zip(JOINT_NAMES, reading.answered, strict=True) if not answered]
            raise NoReplyError(f"servo {', '.join(silent)} does not answer: check its cable")
        if reading.jumps:
            raise ServoRefusedError(next(iter(reading.jumps.values())))
        raw = self._calibration.to_raw(reading.positions)
        tripped = (reading.error_bits & StatusBits.OVERCURRENT) != 0
        starts = [
            self._torque_on.start_of(index, int(raw[index]), bool(tripped[index]), tolerance_rad)
            for index in range(JOINTS)
        ]
        self._left_alone.clear()
        for index, start in enumerate(starts):
            self._torque_on.switch_on(index, start)
        return self._calibration.to_rad([start.goal for start in starts])

    def torque_off(self) -> None:
        """Switch torque off, servo by servo: the arm falls unless it rests. Raises NoReplyError naming who kept it."""
        failed: list[str] = []
        for name, servo_id in zip(JOINT_NAMES, self._ids, strict=True):
            try:
                self._write(servo_id, reg.TORQUE_ENABLE, 0)
            except NoReplyError:
                failed.append(name)
        if failed:
            raise NoReplyError(f"servo {', '.join(failed)} did not acknowledge torque off; try again")

    def limit_torque(self, joints: Sequence[int], ratio: float) -> None:
        """Lower the torque limit of some joints to `ratio` times what their EEPROM allows.

        A servo that does not answer is left out: it protects itself, and the monitor counts its silence.
        """
        for index in joints:
            with contextlib.suppress(NoReplyError):
                block = self._bus.read_block(self._ids[index], *reg.EEPROM_BLOCK)
                self._write(self._ids[index], reg.TORQUE_LIMIT, int(reg.MAX_TORQUE_LIMIT.decode(block) * ratio))

    def hold_here(self, joints: Sequence[int]) -> list[int]:
        """Stop servos whose count jumped where they stand: they drive to a goal that means another place now.

        Their goals are not written any more until `torque_on`. Returns the joints that had to be left without torque,
        since the count lies outside the range within which their servo takes goals. One that does not answer is left.
        """
        limp: list[int] = []
        for index in joints:
            self._left_alone.add(index)
            with contextlib.suppress(NoReplyError):
                if not self._shadow and self.torque_of(index) and not self._hold_one(index):
                    limp.append(index)
        return limp

    def _hold_one(self, index: int) -> bool:
        servo_id, joint = self._ids[index], self._calibration.joints[index]
        self._write(servo_id, reg.TORQUE_ENABLE, 0)
        state = self._bus.read_states([servo_id]).states.get(servo_id)
        position = -1 if state is None else state.position
        if not joint.range_min <= position <= joint.range_max:
            return False
        # A few steps off the seam, or a tremble takes the count over it again; torque that comes on begins there.
        self._write(servo_id, reg.GOAL_POSITION, min(max(position, _OFF_SEAM), MAX_RAW - _OFF_SEAM))
        self._write(servo_id, reg.TORQUE_ENABLE, 1)
        return True

    def write_goals(self, goals: npt.ArrayLike) -> None:
        """Send goals, (6,), rad, rounded to encoder steps. Raises ValueError for NaN, PortError."""
        raw = self._calibration.to_raw(np.asarray(goals, dtype=np.float64))
        followed = {self._ids[index]: int(raw[index]) for index in range(JOINTS) if index not in self._left_alone}
        if followed and not self._shadow:
            self._bus.write_goals(followed)

    @property
    def _ids(self) -> tuple[int, ...]:
        return self._calibration.servo_ids

    def _read_patiently(self) -> ArmReading:
        for _ in range(TIMES - 1):
            reading = self.read()
            if reading.complete:
                return reading
        return self.read()

    def _write(self, servo_id: int, register: Register, value: int) -> None:
        if not self._shadow:
            self._bus.write_register(servo_id, register, value)

    def _reading(self, tracked: Tracked, states: Sequence[ServoState | None], answer: StatesRead) -> ArmReading:
        positions = self._calibration.to_rad(tracked.steps)
        answered = np.isfinite(positions)
        known = [state if ok else None for state, ok in zip(states, answered, strict=True)]

        def column(values: Sequence[float], unit: float) -> FloatArray:
            return np.array(values, dtype=np.float64) * unit

        nan = float("nan")
        return ArmReading(
            positions=positions,
            velocities=column([nan if s is None else s.velocity for s in known], reg.SPEED_TICKS_TO_RAD),
            loads=column([nan if s is None else s.load for s in known], reg.LOAD_PER_UNIT),
            voltages=column([nan if s is None else s.voltage for s in known], reg.VOLT_PER_UNIT),
            temperatures=column([nan if s is None else s.temperature for s in known], 1.0),
            currents=column([nan if s is None else abs(s.current) for s in known], reg.AMPERE_PER_UNIT),
            error_bits=np.array([0 if s is None else s.status for s in known], dtype=np.int64),
            answered=answered,
            retried=answer.retried,
            garbled=answer.garbled,
            jumps=tracked.jumps,
            jumped=tracked.fresh,
        )
