# SPDX-License-Identifier: Apache-2.0
"""The expert that plans again at each tick, from where cube and belt are now: it reacts, and cannot see the future.

Each plan is the whole pick and place, laid so that its present row meets the cube as it moves now; the command goes
over to that row within a few ticks. When the jaws have closed, the last plan is carried out to its end.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from so101_sim.core.joints import JointRanges
from so101_sim.core.tasks import CONVEYOR
from so101_sim.errors import OutOfReachError
from so101_sim.expert.expert import Expert, MeetingPlan
from so101_sim.world.scene import carrying_velocity, cube_pose

_OFFSET_KEPT = 0.6
"""How much of what the command is off the plan remains after a tick: a nudge of 4 cm is made up for in 0.3 s."""

_LARGEST_STEP_RAD = 0.12
"""Largest change of a joint's command within a tick, 3.6 rad/s; the servos' no-load speed is 4.7 rad/s."""

_SLOWEST_M_S = 1e-3
"""A cube that stands still is met as one that creeps: what matters is that both get the same kind of plan."""

Joints = NDArray[np.float64]


class ReactiveExpert:
    """One command a tick, 30 a second. Each needs about 10 ms on one core until the jaws have closed."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._expert = Expert(model)
        self._ranges = JointRanges.of(model)
        self._plan: MeetingPlan | None = None
        self._row = 0
        self._start: Joints = np.zeros(0)
        self._last: Joints = self._start
        self._jitter_seed: int | None = None

    @property
    def done(self) -> bool:
        """Whether the plan has been carried out to its end, which is HOME."""
        return self._plan is not None and self._row >= len(self._plan.rows)

    def begin(self, command: Joints, *, jitter_seed: int | None = None, row: int = 0) -> None:
        """Begin an episode with the last `command`, (6,), driver rad.

        jitter_seed: varies the plan as `Expert.plan` does, alike at each tick. row: of the plan to begin with; the arm
        catches up with a plan that should have been begun that many ticks ago.
        """
        self._start = self._last = self._ranges.to_mujoco(command)
        self._jitter_seed, self._row, self._plan = jitter_seed, row, None

    def command(self, qpos: NDArray[np.float64], qvel: NDArray[np.float64]) -> Joints:
        """The command of this tick, (6,), driver rad, from the simulator's state now: qpos (nq,), qvel (nv,).

        OutOfReachError if no plan has been possible since `begin`; later the last one that was is gone on with.
        """
        if self._plan is None or self._row <= self._plan.last_closing_row:
            try:
                self._plan = self._plan_from(qpos, qvel)
            except OutOfReachError:
                if self._plan is None:
                    raise
        rows = self._plan.rows
        here = min(self._row, len(rows) - 1)
        before = rows[here - 1] if here else self._start
        wanted = rows[here] + _OFFSET_KEPT * (self._last - before)
        self._last = self._last + np.clip(wanted - self._last, -_LARGEST_STEP_RAD, _LARGEST_STEP_RAD)
        self._row += 1
        return self._ranges.to_driver(self._last)

    def _plan_from(self, qpos: NDArray[np.float64], qvel: NDArray[np.float64]) -> MeetingPlan:
        """The plan that is at its present row now, from where the cube is and how it moves."""
        cube, velocity = cube_pose(self._model, qpos), carrying_velocity(self._model, qpos, qvel)
        if np.linalg.norm(velocity) < _SLOWEST_M_S:
            velocity = _SLOWEST_M_S * CONVEYOR.direction
        jitter = None if self._jitter_seed is None else np.random.default_rng(self._jitter_seed)
        return self._expert.plan_meeting(cube, velocity, self._start, jitter, self._row)
