# SPDX-License-Identifier: Apache-2.0
"""The expert behind a policy's interface: for a request of the rows from some step on, it continues its plan.

One plan serves an episode: it is made at the first request of a session in a scene, and later requests get their rows
from it by their step. Were it begun again each time, the arm would never get past the part that each plan begins with.
While a belt carries the cube the plan is laid again at each request, through the same step, for where the cube is now.
If the cube is not in the bin when the plan is over, because the arm was disturbed, the next request starts a new try.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import mujoco
import numpy as np
from numpy.typing import NDArray

from so101_sim.arm.shared_state import StateSnapshot
from so101_sim.core.joints import JointRanges
from so101_sim.core.judge import in_bin
from so101_sim.errors import OutOfReachError
from so101_sim.expert.expert import FPS, Expert
from so101_sim.world.scene import carrying_velocity, cube_pose

HORIZON = 100
"""Most rows of one chunk."""


@dataclass(frozen=True, slots=True)
class _Plan:
    session: int
    scene_count: int
    first_step: int
    start: NDArray[np.float64]
    angles: NDArray[np.float64]


class ExpertPolicy:
    """Answers for one robot. The only policy that may look at the simulator's state."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._expert = Expert(model)
        self._ranges = JointRanges.of(model)
        self._plan: _Plan | None = None

    def rows(
        self,
        *,
        session: int,
        step: int,
        positions: NDArray[np.float64],
        world: StateSnapshot,
        rows: int,
        fps: float,
    ) -> NDArray[np.float32]:
        """The rows for the steps from `step` on, (rows, 6), driver rad, JOINT_NAMES order; a plan rests after its last.

        session: a new one gets a new plan; positions: (6,), measured pose, driver rad, where a new plan begins;
        world: with a new scene_count it gets a new plan, too; fps: steps a second.
        OutOfReachError if a plan is to be made and the cube cannot be grasped.
        """
        plan = self._plan
        if (
            plan is None
            or (plan.session, plan.scene_count) != (session, world.scene_count)
            or step - plan.first_step >= len(plan.angles) * fps / FPS
        ):
            start = self._ranges.to_mujoco(positions)
            plan = _Plan(session, world.scene_count, step, start, self._new_plan(start, world))
        else:
            plan = self._laid_again(plan, (step - plan.first_step) * FPS / fps, world)
        self._plan = plan
        ahead = max(0, step - plan.first_step) + np.arange(rows)
        return self._ranges.to_driver(_sample(plan.angles, ahead / fps)).astype(np.float32)

    def _laid_again(self, plan: _Plan, row: float, world: StateSnapshot) -> _Plan:
        """The plan for where the belt has the cube now, at `row` of it; the same one where that cannot be reached."""
        velocity = carrying_velocity(self._model, world.qpos, world.qvel)
        if not velocity.any():
            return plan
        try:
            meeting = self._expert.plan_meeting(cube_pose(self._model, world.qpos), velocity, plan.start, row=row)
        except OutOfReachError:
            return plan
        return replace(plan, angles=meeting.rows) if row <= meeting.last_closing_row else plan

    def _new_plan(self, start: NDArray[np.float64], world: StateSnapshot) -> NDArray[np.float64]:
        cube = cube_pose(self._model, world.qpos)
        if in_bin(cube):
            return self._expert.plan_home(start)
        return self._expert.plan(cube, start, velocity=carrying_velocity(self._model, world.qpos, world.qvel))


def _sample(angles: NDArray[np.float64], times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """A plan's angles, linear between its rows, at times after its first row's deadline; its last row ever after."""
    at = np.arange(len(angles)) / FPS
    return np.stack([np.interp(times_s, at, joint) for joint in angles.T], axis=1)
