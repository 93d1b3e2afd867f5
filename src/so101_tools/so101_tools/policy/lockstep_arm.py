"""The virtual arm in virtual time, driven as the driver drives it: through the real bus code, at 60 Hz, interpolated.

A demonstration recorded here has the timing that the policy meets later: the goal reaches a command one period after
it was given, encoder positions are up to one bus cycle old, and pictures up to one camera period. How the three
clocks stand to each other is drawn anew for each episode, as it is random on the arm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from so101_driver.calibration import Calibration, load_calibration
from so101_driver.errors import NoAnswerError, PortError
from so101_driver.feetech_bus import FeetechBus
from so101_driver.interpolation import CommandInterpolator
from so101_sim.expert import minimum_jerk
from so101_sim.shared_state import StateSnapshot
from so101_sim.virtual_arm_client import RunningVirtualArm, VirtualArmError, running_virtual_arm

Joints = NDArray[np.float64]

COMMAND_PERIOD_NS = 33_333_333
BUS_PERIOD_NS = COMMAND_PERIOD_NS // 2

BUS_TRIES = 50

MOVE_ROWS, SETTLE_ROWS = 20, 6
MOVE_RAD_PER_ROW = 0.033  # 1 rad/s on average


@dataclass(frozen=True, slots=True)
class Phases:
    """When, before each command, the bus was last served and the cameras last took a picture; ns."""

    bus_ns: int
    camera_ns: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Phases:
        """Any relation of the three clocks, each equally likely."""
        return cls(int(rng.integers(0, BUS_PERIOD_NS)), int(rng.integers(0, COMMAND_PERIOD_NS)))


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known when a command is due. positions: (6,), driver rad, as read from the bus; qpos: for rendering."""

    positions: Joints
    qpos: NDArray[np.float64]


class LockstepArm:
    """A virtual arm whose time runs only inside `step`."""

    def __init__(self, arm: RunningVirtualArm, bus: FeetechBus, calibration: Calibration) -> None:
        self._arm = arm
        self._bus = bus
        self.calibration = calibration
        self._interpolator = CommandInterpolator(nominal_period_s=COMMAND_PERIOD_NS / 1e9)
        self._now_ns = 0
        self._positions = self._read()
        self._qpos = self.state().qpos
        self._goal = self._positions
        self._interpolator.reset(self._goal)
        self._phases = Phases(0, 0)

    @property
    def goal(self) -> Joints:
        """The last command, (6,), driver rad; before the first, the pose in which the arm was found."""
        return self._goal.copy()

    def state(self) -> StateSnapshot:
        """The simulator's state now: for the expert and the judge, never for the policy."""
        state = self._arm.state.read()
        assert state is not None  # the virtual arm writes one before it says that it is ready
        return state

    def place_objects(self, task: str, seed: int, phases: Phases) -> None:
        """Put the task's objects where `seed` has them; the arm stays where it is. Starts an episode's clocks."""
        self._arm.client.reset_scene(task, seed)
        self._phases = phases
        self._qpos = self.state().qpos

    def moment(self) -> Moment:
        """What the cameras and the bus last saw."""
        return Moment(self._positions.copy(), self._qpos.copy())

    def step(self, target: Joints) -> None:
        """Give a command, (6,) driver rad, and let one command period pass."""
        self._goal = np.array(target, np.float64)
        self._interpolator.command(target, self._now_ns)
        start_ns = self._now_ns
        to_bus_ns = BUS_PERIOD_NS - self._phases.bus_ns
        events = [
            (to_bus_ns, self._serve_bus),
            (to_bus_ns + BUS_PERIOD_NS, self._serve_bus),
            (COMMAND_PERIOD_NS - self._phases.camera_ns, self._take_picture),
        ]
        for after_ns, event in sorted(events, key=lambda pair: pair[0]):
            self._advance_to(start_ns + after_ns)
            event()
        self._advance_to(start_ns + COMMAND_PERIOD_NS)

    def move_to(self, target: Joints) -> None:
        """Go to a pose, (6,) driver rad, at a parking arm's pace and stand still there: nothing is ever teleported."""
        way = float(np.abs(target - self._goal).max())
        for row in minimum_jerk(self._goal, target, max(MOVE_ROWS, round(way / MOVE_RAD_PER_ROW))):
            self.step(row)
        for _ in range(SETTLE_ROWS):
            self.step(target)

    def _serve_bus(self) -> None:
        """One cycle of the driver. Reading after writing makes sure that the goals have arrived before time goes on."""
        raw = self.calibration.to_raw(self._interpolator.sample(self._now_ns)).tolist()
        goals = dict(zip(self.calibration.servo_ids, raw, strict=True))
        for _ in range(BUS_TRIES):
            try:
                self._bus.write_goals(goals)
                self._positions = self._read()
                return
            except (PortError, NoAnswerError):
                # The bus code gives a port up when this process is not scheduled for 50 ms, rightly on an arm. In
                # virtual time nothing has happened meanwhile, so the same cycle is done again.
                self._bus.close()
                self._bus.open()
        raise VirtualArmError(f"the servo bus failed {BUS_TRIES} times running; is virtual_arm still there?")

    def _take_picture(self) -> None:
        self._qpos = self.state().qpos

    def _advance_to(self, time_ns: int) -> None:
        if time_ns > self._now_ns:
            self._arm.client.advance(time_ns - self._now_ns)
            self._now_ns = time_ns

    def _read(self) -> Joints:
        ids = self.calibration.servo_ids
        states = self._bus.read_states(ids).states
        silent = [servo_id for servo_id in ids if servo_id not in states]
        if silent:
            raise NoAnswerError(f"servos {silent} of the virtual arm do not answer")
        return self.calibration.to_rad([states[servo_id].position for servo_id in ids])


@contextmanager
def lockstep_arm() -> Iterator[LockstepArm]:
    """Start a virtual arm of one's own, holding its home pose, and stop it in the end."""
    with running_virtual_arm("--lockstep", "--wire-byte-us", "0") as arm:
        # In virtual time no answer is late: a servo is silent only while this process or that one is not scheduled.
        bus = FeetechBus(str(arm.port), reply_timeout_s=1.0)
        bus.open()
        try:
            yield LockstepArm(arm, bus, load_calibration(arm.calibration))
        finally:
            bus.close()
