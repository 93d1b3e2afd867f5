"""One demonstration: the expert picks the cube, with disturbances, and what a policy would have seen is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from so101_policy_server.units import UnitConverter, Units
from so101_sim.errors import OutOfReachError
from so101_sim.expert import Expert, minimum_jerk
from so101_sim.joints import GRIPPER, HOME, JOINT_NAMES, JointRanges
from so101_sim.judge import at_rest, in_bin
from so101_sim.tasks import CubePose, Task

from so101_sim import scene
from so101_tools.policy.lockstep_arm import Joints, LockstepArm, Phases
from so101_tools.policy.viewpoint import Viewpoint

# The commands sent are the expert's plus slowly wandering noise; the actions kept are the expert's. So the arm strays,
# and the demonstrations show the way back.
NOISE_LEVELS_RAD = (0.0, 0.015, 0.03)
NOISE_MEMORY = 0.9
GRIPPER_NOISE_SHARE = 0.3

# An episode of the demo starts where parking left the arm: near the home pose, not on it.
START_SPREAD_RAD = 0.03

# Some demonstrations begin after a botched attempt, as a retry does: the cube was grasped beside its middle, so it lies
# turned and shifted, often outside the range in which scenes place it. A policy never shown that fails again each time.
BOTCHED_SHARE = 0.35
BOTCHED_OFFSET_M = 0.012
BOTCHED_TURN_RAD = 0.8
BOTCHED_ROWS = (60, 95)  # the expert grasps at row 58 to 70 and then raises the cube
OPENING_ROWS = 10

# On a belt there is no second try. What differs there is when the policy first sees the cube, which the belt has been
# carrying since the scene was laid out, and whether the arm is ahead of its plan or behind it on the way to the cube:
# the pictures, not the pose, must tell it how far it is.
BELT_WAIT_ROWS = (0, 26)
BELT_AT_ONCE_SHARE, BELT_AT_ONCE_ROWS = 0.5, (0, 4)  # most often it sees it at once
BELT_NOISE_LEVELS_RAD = (0.0, 0.01, 0.02)
LAG_SHARE, LAG_ROWS = 0.5, 4.0
LAG_BETWEEN_ROWS = (6, 46)  # the grasp of a running cube begins at row 55


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One successful episode, T observations at the control rate.

    Attributes:
        seed: of the scene and of everything drawn.
        positions: (T, 6) float64, driver rad, as read from the bus.
        state: (T, 6) float32, the same in LeRobot's units.
        action: (T, 6) float32, LeRobot's units: the first command given after each observation.
        images: camera -> (T, height, width, 3) uint8 RGB, decoded and resized as the policy server does it.
        jpegs: camera -> T JPEG files as the camera sends them; kept where asked for.
    """

    seed: int
    positions: NDArray[np.float64]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    images: dict[str, NDArray[np.uint8]]
    jpegs: dict[str, list[bytes]]


class Demonstrator:
    """Records demonstrations on one virtual arm."""

    def __init__(self, arm: LockstepArm, viewpoint: Viewpoint, task: Task) -> None:
        self._arm = arm
        self._task = task
        self._viewpoint = viewpoint
        self._model = scene.build_model()
        self._ranges = JointRanges.of(self._model)
        self._expert = Expert(self._model)
        self._units = lerobot_units(arm)

    def record(self, seed: int, keep_jpegs: bool = False) -> Demonstration | None:
        """One episode of the scene `seed`; None if the cube was out of reach or did not end in the bin."""
        try:
            return self._record(seed, keep_jpegs)
        except OutOfReachError:
            return None

    def _record(self, seed: int, keep_jpegs: bool) -> Demonstration | None:
        rng = np.random.default_rng(seed)
        home = self._ranges.to_driver(np.array(HOME))
        self._arm.move_to(home + rng.normal(0.0, START_SPREAD_RAD, len(home)) * _NOT_GRIPPER)
        self._arm.place_objects(self._task.name, seed, Phases.draw(rng))
        if self._task.belt is not None:
            at_once = rng.random() < BELT_AT_ONCE_SHARE
            for _ in range(rng.integers(*(BELT_AT_ONCE_ROWS if at_once else BELT_WAIT_ROWS))):
                self._arm.step(self._arm.goal)
        elif rng.random() < BOTCHED_SHARE:
            self._botch(rng, home)
        hold = self._arm.goal
        rows = self._plan(hold, rng)
        commands = np.vstack([hold, rows[:-1]])
        if self._task.belt is None:
            commands += _wander(rng, len(rows), NOISE_LEVELS_RAD)
        else:
            commands = _lagging(commands, rng) + _wander(rng, len(rows), BELT_NOISE_LEVELS_RAD)
        positions = []
        views: dict[str, list[NDArray[np.uint8]]] = {camera: [] for camera in self._viewpoint.cameras}
        jpegs: dict[str, list[bytes]] = {camera: [] for camera in self._viewpoint.cameras}
        for command in commands:
            moment = self._arm.moment()
            positions.append(moment.positions)
            for camera, (jpeg, pixels) in self._viewpoint.see(moment.qpos).items():
                views[camera].append(pixels)
                jpegs[camera].append(jpeg)
            self._arm.step(command)
        if not self._is_in_bin():
            return None
        measured = np.array(positions)
        return Demonstration(
            seed,
            measured,
            self._units.to_policy(measured).astype(np.float32),
            self._units.to_policy(rows).astype(np.float32),
            {camera: np.stack(pixels) for camera, pixels in views.items()},
            jpegs if keep_jpegs else {},
        )

    def _plan(self, hold: Joints, rng: np.random.Generator) -> Joints:
        """The expert's rows from here, (rows, 6), driver rad."""
        qpos = self._arm.state().qpos
        cube, velocity = scene.cube_pose(self._model, qpos), scene.carrying_velocity(self._model, qpos)
        return self._ranges.to_driver(self._expert.plan(cube, self._ranges.to_mujoco(hold), rng, velocity))

    def _botch(self, rng: np.random.Generator, home: Joints) -> None:
        """Grasp beside the cube, let go and return home, unrecorded; where the cube then lies is the new scene."""
        cube = scene.cube_pose(self._model, self._arm.state().qpos)
        offset = np.append(rng.normal(0.0, BOTCHED_OFFSET_M, 2), 0.0)
        beside = CubePose(cube.position + offset, cube.yaw + float(rng.uniform(-BOTCHED_TURN_RAD, BOTCHED_TURN_RAD)))
        rows = self._ranges.to_driver(self._expert.plan(beside, self._ranges.to_mujoco(self._arm.goal), rng))
        for row in rows[: int(rng.integers(*BOTCHED_ROWS))]:
            self._arm.step(row)
        opened = self._arm.goal
        opened[GRIPPER] = rows[BOTCHED_ROWS[0] - OPENING_ROWS, GRIPPER]
        for row in minimum_jerk(self._arm.goal, opened, OPENING_ROWS):
            self._arm.step(row)
        self._arm.move_to(home)

    def _is_in_bin(self) -> bool:
        state = self._arm.state()
        cube = scene.cube_pose(self._model, state.qpos)
        return in_bin(cube) and at_rest(scene.cube_velocity(self._model, state.qvel))


def lerobot_units(arm: LockstepArm) -> UnitConverter:
    """The policy server's converter for this arm's calibration."""
    calibration = arm.calibration
    return UnitConverter(
        JOINT_NAMES,
        Units.DEGREES,
        calibration.lower_rad().tolist(),
        calibration.upper_rad().tolist(),
        [joint.drive_mode for joint in calibration.joints],
    )


_NOT_GRIPPER = np.arange(len(JOINT_NAMES)) != GRIPPER
_NOISE_SHARE = np.where(_NOT_GRIPPER, 1.0, GRIPPER_NOISE_SHARE)


def _wander(rng: np.random.Generator, rows: int, levels_rad: tuple[float, ...]) -> NDArray[np.float64]:
    """Noise on the commands of one episode, (rows, 6), rad: a random level, wandering over about ten rows."""
    level = float(rng.choice(levels_rad))
    noise = np.zeros((rows, len(JOINT_NAMES)))
    fresh = np.sqrt(1 - NOISE_MEMORY**2) * level * rng.normal(size=noise.shape)
    for row in range(1, rows):
        noise[row] = NOISE_MEMORY * noise[row - 1] + fresh[row]
    return np.asarray(noise * _NOISE_SHARE)


def _lagging(commands: Joints, rng: np.random.Generator) -> Joints:
    """The same commands, (rows, 6), in some episodes a few rows late or early for a while on the way to the cube."""
    lag = rng.uniform(-LAG_ROWS, LAG_ROWS) * (rng.random() < LAG_SHARE)
    begin, end = np.sort(rng.uniform(*LAG_BETWEEN_ROWS, 2))
    row = np.arange(len(commands))
    share = np.clip((row - begin) / max(end - begin, 1.0), 0.0, 1.0)
    at = row - lag * np.sin(np.pi * share) ** 2
    return np.stack([np.interp(at, row, joint) for joint in commands.T], axis=1)
