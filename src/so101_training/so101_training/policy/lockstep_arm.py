# SPDX-License-Identifier: Apache-2.0
"""The virtual arm in virtual time, driven as the driver drives it: at 60 Hz, interpolated.

A demonstration recorded here has the timing that the policy meets later: the goal reaches a command one period after
it was given, encoder positions are up to one bus cycle old, and images up to one camera period. How the three
clocks stand to each other is drawn again for each episode, as it is random on the arm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from so101_driver.core.calibration import Calibration
from so101_driver.core.interpolation import CommandInterpolator
from so101_driver.core.registers import ServoState
from so101_sim.arm.shared_state import StateSnapshot
from so101_sim.expert.expert import minimum_jerk

from so101_training.policy.in_process_arm import InProcessArm

Joints = NDArray[np.float64]

COMMAND_PERIOD_NS = 33_333_333
BUS_PERIOD_NS = COMMAND_PERIOD_NS // 2

MOVE_ROWS, SETTLE_ROWS = 20, 6
MOVE_RAD_PER_ROW = 0.033  # 1 rad/s on average


@dataclass(frozen=True, slots=True)
class Phases:
    """When, before each command, the bus was last served and the cameras last took an image; ns."""

    bus_ns: int
    camera_ns: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Phases:
        """Any relation of the three clocks, each equally likely."""
        return cls(int(rng.integers(0, BUS_PERIOD_NS)), int(rng.integers(0, COMMAND_PERIOD_NS)))


@dataclass(frozen=True, slots=True)
class ArmMoment:
    """What is known when a command is due. positions: (6,), driver rad, as read from the bus; qpos: for rendering."""

    positions: Joints
    qpos: NDArray[np.float64]


class SteppedArm(Protocol):
    """A virtual arm whose time somebody else moves on."""

    @property
    def calibration(self) -> Calibration:
        """Of its servos."""
        ...

    def reset_scene(self, task: str, seed: int) -> None:
        """Place the objects of `task` by `seed`; the arm is not touched."""
        ...

    def advance(self, duration_ns: int) -> None:
        """Run that much virtual time."""
        ...

    def state(self) -> StateSnapshot:
        """Return the simulator's state now."""
        ...

    def write_goals(self, goals: Mapping[int, int]) -> None:
        """Write the goals of several servos, encoder ticks by servo id."""
        ...

    def read_states(self, servo_ids: Sequence[int]) -> Mapping[int, ServoState]:
        """Read the states of all named servos."""
        ...


class LockstepArm:
    """A virtual arm whose time runs only inside `step`."""

    def __init__(self, arm: SteppedArm) -> None:
        self._arm = arm
        self.calibration = arm.calibration
        self._interpolator = CommandInterpolator(nominal_period_s=COMMAND_PERIOD_NS / 1e9)
        self._now_ns = 0
        self._positions = self._read()
        self._qpos = self.state().qpos
        self._goal = self._positions
        self._interpolator.reset(self._goal)
        self._phases = Phases(0, 0)

    @property
    def goal(self) -> Joints:
        """The last command, (6,), driver rad; before the first, the joint positions in which the arm was found."""
        return self._goal.copy()

    def state(self) -> StateSnapshot:
        """The simulator's state now: for the expert and the judge, never for the policy."""
        return self._arm.state()

    def place_objects(self, task: str, seed: int, phases: Phases) -> None:
        """Put the task's objects where `seed` has them; the arm stays where it is. Starts an episode's clocks."""
        self._arm.reset_scene(task, seed)
        self._phases = phases
        self._qpos = self.state().qpos

    def moment(self) -> ArmMoment:
        """What the cameras and the bus last saw."""
        return ArmMoment(self._positions.copy(), self._qpos.copy())

    def step(self, target: Joints) -> None:
        """Give a command, (6,) driver rad, and let one command period pass."""
        self._goal = np.array(target, np.float64)
        self._interpolator.command(target, self._now_ns)
        start_ns = self._now_ns
        to_bus_ns = BUS_PERIOD_NS - self._phases.bus_ns
        events = [
            (to_bus_ns, self._serve_bus),
            (to_bus_ns + BUS_PERIOD_NS, self._serve_bus),
            (COMMAND_PERIOD_NS - self._phases.camera_ns, self._take_frame),
        ]
        for after_ns, event in sorted(events, key=lambda pair: pair[0]):
            self._advance_to(start_ns + after_ns)
            event()
        self._advance_to(start_ns + COMMAND_PERIOD_NS)

    def move_to(self, target: Joints) -> None:
        """Move to joint positions, (6,) driver rad, at the speed of parking, and stop there: nothing is teleported."""
        way = float(np.abs(target - self._goal).max())
        for row in minimum_jerk(self._goal, target, max(MOVE_ROWS, round(way / MOVE_RAD_PER_ROW))):
            self.step(row)
        for _ in range(SETTLE_ROWS):
            self.step(target)

    def _serve_bus(self) -> None:
        """One cycle of the driver."""
        raw = self.calibration.to_raw(self._interpolator.sample(self._now_ns)).tolist()
        self._arm.write_goals(dict(zip(self.calibration.servo_ids, raw, strict=True)))
        self._positions = self._read()

    def _take_frame(self) -> None:
        self._qpos = self.state().qpos

    def _advance_to(self, time_ns: int) -> None:
        if time_ns > self._now_ns:
            self._arm.advance(time_ns - self._now_ns)
            self._now_ns = time_ns

    def _read(self) -> Joints:
        ids = self.calibration.servo_ids
        states = self._arm.read_states(ids)
        return self.calibration.to_rad([states[servo_id].position for servo_id in ids])


@contextmanager
def lockstep_arm() -> Iterator[LockstepArm]:
    """A virtual arm of one's own, holding its home positions."""
    yield LockstepArm(InProcessArm())
