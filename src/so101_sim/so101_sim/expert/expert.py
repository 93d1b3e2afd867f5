# SPDX-License-Identifier: Apache-2.0
"""The scripted expert: a joint trajectory that picks the cube and drops it into the bin.

It sees the cube's pose, which no policy may; it makes the demonstrations to learn from and proves the chain before
anything is learned. Angles are MuJoCo's; `JointRanges.to_driver` turns them into what topics carry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from so101_node.protocol import GRIPPER, JOINT_NAMES

from so101_sim.core.joints import HOME
from so101_sim.core.tasks import BIN_CENTRE_M, CubePose
from so101_sim.errors import OutOfReachError
from so101_sim.world.inverse_kinematics import InverseKinematics, Reach

FPS = 30
"""Rows of a plan per second."""

_OPEN, _CLOSED = 1.0, -0.05  # gripper, MuJoCo angles, rad; the cube stops the jaws at about 0.3
_MAX_SPEED_RAD_S = 3.0  # the servos' no-load speed is 4.7 rad/s at 7.4 V
_PEAK = 1.875  # highest speed of a minimum-jerk motion, in units of distance / duration
_HOVER_M, _LIFT_M, _DROP_HEIGHT_M = 0.07, 0.08, 0.085
_BELOW_CENTRE_M = 0.001  # of the cube: grasped slightly low, it does not tip out of the jaws
_MAX_MISS_M = 0.01  # the jaws open by 10 cm, but a tool that far off is at the edge of the arm's reach
_SHOULDER_X_M = 0.0388  # axis of shoulder_pan in the base's frame
_UP = np.array([0.0, 0.0, 1.0])

# Fewest rows of each leg. A leg takes more where a joint would exceed _MAX_SPEED_RAD_S.
_APPROACH, _DESCEND, _SETTLE, _GRASP, _RAISE, _CARRY, _RELEASE, _RETURN = 33, 22, 3, 12, 20, 30, 10, 30

_ARM_LAG_S = 0.1  # from a cube seen to a row reached: the next tick, the driver's interpolation, the servos' own lag
_HOVER_OVER_BELT_M = 0.055  # the belt runs farther out, where the arm cannot reach higher

Angles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeetingPlan:
    """A plan for a cube that moves. rows: (rows, 6), MuJoCo angles, rad; the jaws close in rows first to last."""

    rows: Angles
    first_closing_row: int
    last_closing_row: int


class Expert:
    """Plans on a copy of the arm's state; never touches the simulation."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._kinematics = InverseKinematics(model)

    def plan(
        self,
        cube: CubePose,
        start: Angles,
        jitter: np.random.Generator | None = None,
        velocity: Angles | None = None,
    ) -> Angles:
        """The whole pick and place from the pose `start` on, (rows, 6), MuJoCo angles, rad, one row each 1 / FPS s.

        start: (6,) MuJoCo angles, rad. jitter: varies heights, places and durations by millimetres and a few rows,
        so that demonstrations differ. velocity: (3,), m/s, with which the cube is carried on, if it is. Takes about
        10 ms. The last row is HOME.
        OutOfReachError if the jaws cannot get around the cube where it lies, or where it will be.
        """
        if velocity is not None and velocity.any():
            return self.plan_meeting(cube, velocity, start, jitter).rows

        def vary(spread: float) -> float:
            return 0.0 if jitter is None else float(jitter.normal(0.0, spread))

        grasp = self._grasp(cube)
        if grasp.distance_m > _MAX_MISS_M:
            x, y, z = cube.position
            raise OutOfReachError(f"the cube at x {x:.3f}, y {y:.3f}, z {z:.3f} m is out of the expert's reach")
        roll = float(grasp.angles[GRIPPER - 1])
        at = _grasped(cube)
        above = self._kinematics.reach(at + (_HOVER_M + vary(0.004)) * _UP, grasp.angles, wrist_roll=roll)
        lifted = self._kinematics.reach(at + _LIFT_M * _UP, grasp.angles, wrist_roll=roll)
        over_bin = self._over_bin(above, vary(0.004), vary(0.004))

        legs = [
            (_with_gripper(above, _OPEN), _APPROACH + round(vary(2))),
            (_with_gripper(grasp, _OPEN), _DESCEND + round(vary(1))),
            (_with_gripper(grasp, _OPEN), _SETTLE),
            (_with_gripper(grasp, _CLOSED), _GRASP),
            (_with_gripper(lifted, _CLOSED), _RAISE),
            *_to_bin(over_bin),
        ]
        return _through(np.array(start, np.float64), legs)

    def plan_meeting(
        self,
        cube: CubePose,
        velocity: Angles,
        start: Angles,
        jitter: np.random.Generator | None = None,
        row: float = 0.0,
    ) -> MeetingPlan:
        """The arm meets the cube where it will be, and the jaws close while they go along with it; as `plan`.

        row: at which the plan is now, had the cube always moved as it does now; `start` is where row 0 begins.

        Such a plan is right only if it is begun at once: 0.2 s late it misses 9 of 30 cubes, 0.4 s late all 30.
        """

        def vary(spread: float) -> float:
            return 0.0 if jitter is None else float(jitter.normal(0.0, spread))

        def cube_at(at_row: int) -> CubePose:
            return CubePose(cube.position + velocity * ((at_row - row) / FPS + _ARM_LAG_S), cube.yaw)

        hover = _HOVER_OVER_BELT_M + vary(0.004)
        start = np.array(start, np.float64)
        descend, follow = _DESCEND + round(vary(1)), _SETTLE + _GRASP
        over = self._above(cube_at(_APPROACH), hover)
        approach = max(_APPROACH + round(vary(2)), rows_needed(start, _with_gripper(over, _OPEN)))
        met, closed = approach + descend, approach + descend + follow
        over, grasp = self._above(cube_at(approach), hover), self._grasp(cube_at(met))
        roll = float(grasp.angles[GRIPPER - 1])
        held = self._kinematics.reach(_grasped(cube_at(closed)), grasp.angles, wrist_roll=roll)
        if max(grasp.distance_m, held.distance_m) > _MAX_MISS_M:
            x, y, z = cube.position
            raise OutOfReachError(f"the cube at x {x:.3f}, y {y:.3f}, z {z:.3f} m moves out of the expert's reach")
        lifted = self._kinematics.reach(_grasped(cube_at(closed)) + _LIFT_M * _UP, held.angles, wrist_roll=roll)
        over_bin = self._over_bin(over, vary(0.004), vary(0.004))

        meeting = _through(start, [(_with_gripper(over, _OPEN), approach), (_with_gripper(grasp, _OPEN), descend)])
        following = np.linspace(_with_gripper(grasp, _OPEN), _with_gripper(held, _OPEN), follow + 1)[1:]
        following[_SETTLE:, GRIPPER] = minimum_jerk(np.array([_OPEN]), np.array([_CLOSED]), _GRASP)[:, 0]
        rest = _through(following[-1], [(_with_gripper(lifted, _CLOSED), _RAISE), *_to_bin(over_bin)])
        return MeetingPlan(np.vstack([meeting, following, rest]), met + _SETTLE, closed - 1)

    @staticmethod
    def plan_home(start: Angles) -> Angles:
        """Back to HOME from the pose `start`, as `plan`: for when nothing is left to do."""
        return _through(np.array(start, np.float64), [(np.array(HOME), _RETURN)])

    def _grasp(self, cube: CubePose) -> Reach:
        """The tool in the cube with the jaws along its faces, turned by at most 45 degrees for that."""
        at = _grasped(cube)
        guess = np.array([-_heading(at), -0.3, 0.6, 1.2, 0.0, _OPEN])
        straight = self._kinematics.reach(at, guess, wrist_roll=0.0)
        turn = _to_nearest_face(cube.yaw - straight.jaw_heading_rad)
        # Whether the joint turns the jaws with or against the cube's yaw depends on how the gripper ends up leaning.
        turned = [self._kinematics.reach(at, straight.angles, wrist_roll=sign * turn) for sign in (1.0, -1.0)]
        return min(turned, key=lambda reach: abs(_to_nearest_face(cube.yaw - reach.jaw_heading_rad)))

    def _above(self, cube: CubePose, height_m: float) -> Reach:
        """The jaws ready to go down around the cube."""
        grasp = self._grasp(cube)
        roll = float(grasp.angles[GRIPPER - 1])
        return self._kinematics.reach(_grasped(cube) + height_m * _UP, grasp.angles, wrist_roll=roll)

    def _over_bin(self, above: Reach, aside_x: float, aside_y: float) -> Reach:
        target = np.array([BIN_CENTRE_M[0] + aside_x, BIN_CENTRE_M[1] + aside_y, _DROP_HEIGHT_M])
        guess = above.angles.copy()
        guess[JOINT_NAMES.index("shoulder_pan")] = -_heading(np.array(BIN_CENTRE_M))
        guess[JOINT_NAMES.index("wrist_roll")] = 0.0
        return self._kinematics.reach(target, guess, wrist_roll=0.0)


def _grasped(cube: CubePose) -> Angles:
    """Where the tool is when the jaws hold the cube, (3,), m."""
    return np.asarray(cube.position - _BELOW_CENTRE_M * _UP)


def _to_bin(over_bin: Reach) -> list[tuple[Angles, int]]:
    """The last legs: over the bin, let go, home."""
    return [
        (_with_gripper(over_bin, _CLOSED), _CARRY),
        (_with_gripper(over_bin, _OPEN), _RELEASE),
        (np.array(HOME), _RETURN),
    ]


def _through(here: Angles, legs: Sequence[tuple[Angles, int]]) -> Angles:
    """One minimum-jerk motion after the other; each leg is where it leads and the fewest rows it takes."""
    rows = []
    for there, fewest in legs:
        rows.append(minimum_jerk(here, there, max(fewest, rows_needed(here, there))))
        here = there
    return np.vstack(rows)


def minimum_jerk(start: Angles, end: Angles, rows: int) -> Angles:
    """From rest at `start` (excluded) to rest at `end` (included), both (joints,); returns (rows, joints)."""
    time = np.arange(1, rows + 1) / rows
    share = 10 * time**3 - 15 * time**4 + 6 * time**5
    return np.asarray(start + (end - start) * share[:, None])


def rows_needed(start: Angles, end: Angles) -> int:
    """Fewest rows in which a minimum-jerk motion keeps every joint below the expert's highest speed."""
    return math.ceil(_PEAK * float(np.abs(end - start).max()) / _MAX_SPEED_RAD_S * FPS)


def _with_gripper(reach: Reach, opening: float) -> Angles:
    return np.append(reach.angles[:GRIPPER], opening)


def _heading(position: Angles) -> float:
    """Direction of a place on the table as seen from the shoulder, rad."""
    return math.atan2(position[1], position[0] - _SHOULDER_X_M)


def _to_nearest_face(turn: float) -> float:
    """The same turn of a cube, which looks alike every 90 degrees, within -45 to 45 degrees, rad."""
    return (turn + math.pi / 4) % (math.pi / 2) - math.pi / 4
