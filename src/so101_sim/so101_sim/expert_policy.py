"""The expert behind a policy's interface: asked for the rows from some step on, it goes on with its plan.

One plan serves an episode: it is made at the first question of a session in a scene, and later questions are answered
out of it by their step. Were it made anew each time, the arm would never get past the part that each plan begins with.
If the cube is not in the bin when the plan is over, because the arm was disturbed, the next question starts a new try.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from so101_sim.errors import SimulationError
from so101_sim.expert import FPS, Expert
from so101_sim.joints import JOINT_NAMES, JointRanges
from so101_sim.judge import in_bin
from so101_sim.scene import carrying_velocity, cube_pose
from so101_sim.shared_state import StateSnapshot

HORIZON = 100
"""Most rows of one answer."""

DEFAULT_ROWS = 50


class RequestError(SimulationError):
    """A request contradicts itself, or is for another arm."""


@dataclass(frozen=True, slots=True)
class _Plan:
    session: int
    scene_count: int
    first_step: int
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
            plan = self._plan = _Plan(session, world.scene_count, step, self._new_plan(positions, world))
        ahead = max(0, step - plan.first_step) + np.arange(rows)
        return self._ranges.to_driver(_sample(plan.angles, ahead / fps)).astype(np.float32)

    def _new_plan(self, positions: NDArray[np.float64], world: StateSnapshot) -> NDArray[np.float64]:
        start = self._ranges.to_mujoco(positions)
        cube = cube_pose(self._model, world.qpos)
        if in_bin(cube):
            return self._expert.plan_home(start)
        return self._expert.plan(cube, start, velocity=carrying_velocity(self._model, world.qpos))


def newest_pose(joint_names: Sequence[str], history: int, positions: Sequence[float]) -> NDArray[np.float64]:
    """The newest measured pose of a request, (6,), in JOINT_NAMES order.

    joint_names: order of the columns; positions: history x joints values, row-major, newest last.
    RequestError if they do not fit each other or the arm.
    """
    if sorted(joint_names) != sorted(JOINT_NAMES):
        raise RequestError(f"joint_names: expected {', '.join(JOINT_NAMES)}, got {', '.join(joint_names)}")
    if history < 1 or len(positions) != history * len(JOINT_NAMES):
        raise RequestError(
            f"positions: expected history x {len(JOINT_NAMES)} values, got {len(positions)} with history = {history}"
        )
    newest = np.array(positions[-len(JOINT_NAMES) :], np.float64)
    if not np.isfinite(newest).all():
        raise RequestError("positions: expected finite values")
    return newest[[list(joint_names).index(name) for name in JOINT_NAMES]]


def _sample(angles: NDArray[np.float64], times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """A plan's angles, linear between its rows, at times after its first row's deadline; its last row ever after."""
    at = np.arange(len(angles)) / FPS
    return np.stack([np.interp(times_s, at, joint) for joint in angles.T], axis=1)
