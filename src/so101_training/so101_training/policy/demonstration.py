# SPDX-License-Identifier: Apache-2.0
"""One demonstration: the expert picks the cube, with disturbances, and what a policy would have seen is kept."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from so101_node.protocol import GRIPPER, JOINT_NAMES
from so101_node.protocol.units import UnitConverter, Units
from so101_sim.core.joints import HOME, JointRanges
from so101_sim.core.judge import at_rest, in_bin
from so101_sim.core.tasks import CubePose, Task
from so101_sim.errors import OutOfReachError
from so101_sim.expert.expert import Expert, minimum_jerk
from so101_sim.world import scene

from so101_training.policy.lockstep_arm import Joints, LockstepArm, Phases
from so101_training.policy.viewpoint import Viewpoint

# The commands sent are the expert's plus slowly wandering noise; the actions kept are the expert's. So the arm strays,
# and the demonstrations show the way back.
NOISE_LEVELS_RAD = (0.0, 0.015, 0.03)
NOISE_MEMORY = 0.9
GRIPPER_NOISE_RATIO = 0.3

# An episode of the demo starts where parking left the arm: near the home positions, not on them.
START_SPREAD_RAD = 0.03

# Some demonstrations begin after a botched attempt, as a retry does: the cube was grasped beside its middle, so it lies
# turned and shifted, often outside the range in which scenes place it. A policy never shown that fails again each time.
BOTCHED_RATIO = 0.35
BOTCHED_OFFSET_M = 0.012
BOTCHED_TURN_RAD = 0.8
BOTCHED_ROWS = (60, 95)  # the expert grasps at row 58 to 70 and then raises the cube
OPENING_ROWS = 10

# On a belt there is no second try. What differs there is when the policy first sees the cube, which the belt has been
# carrying since the scene was laid out, and whether the arm is ahead of its plan or behind it on the way to the cube:
# the images, not the joint positions, must tell it how far it is.
BELT_WAIT_ROWS = (0, 26)
BELT_AT_ONCE_RATIO, BELT_AT_ONCE_ROWS = 0.5, (0, 4)  # most often it sees it at once
BELT_NOISE_LEVELS_RAD = (0.0, 0.01, 0.02)
LAG_RATIO, LAG_ROWS = 0.5, 4.0
LAG_BETWEEN_ROWS = (6, 46)  # the grasp of a running cube begins at row 55


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One successful episode, T observations at the control rate.

    Attributes:
        seed: of the scene and of everything drawn.
        positions: (T, 6) float64, driver rad, as read from the bus.
        state: (T, 6) float32, the same in LeRobot's units.
        action: (T, 6) float32, LeRobot's units: the first command given after each observation; where the expert is
            the reactive one, the command given upon it in the same tick.
        images: camera -> (T, height, width, 3) uint8 RGB, decoded and resized as the policy server does it.
        jpegs: camera -> T JPEG files as the camera sends them; kept on request.
    """

    seed: int
    positions: NDArray[np.float64]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    images: dict[str, NDArray[np.uint8]]
    jpegs: dict[str, list[bytes]]


class Demonstrator:
    """Records demonstrations on one virtual arm."""

    def __init__(self, arm: LockstepArm, viewpoint: Viewpoint, task: Task, *, noise: bool = True) -> None:
        """noise: whether the commands sent stray from the actions kept, in place and in time."""
        self._arm = arm
        self._task = task
        self._noise = noise
        self._viewpoint = viewpoint
        self._model = scene.build_model()
        self._ranges = JointRanges.of(self._model)
        self._expert = Expert(self._model)

    def record(self, seed: int, keep_jpegs: bool = False) -> Demonstration | None:
        """One episode of the scene `seed`; None if the cube was out of reach or did not end in the bin."""
        try:
            return self._record(seed, keep_jpegs)
        except OutOfReachError:
            return None

    def _record(self, seed: int, keep_jpegs: bool) -> Demonstration | None:
        rng = np.random.default_rng(seed)
        home = self._ranges.to_driver(np.array(HOME))
        self._arm.move_to(home + rng.normal(0.0, START_SPREAD_RAD, len(home)) * NOT_GRIPPER)
        self._arm.place_objects(self._task.name, seed, Phases.draw(rng))
        if self._task.belt is not None:
            at_once = rng.random() < BELT_AT_ONCE_RATIO
            for _ in range(rng.integers(*(BELT_AT_ONCE_ROWS if at_once else BELT_WAIT_ROWS))):
                self._arm.step(self._arm.goal)
        elif rng.random() < BOTCHED_RATIO:
            self._botch(rng, home)
        hold = self._arm.goal
        rows = self._plan(hold, rng)
        commands = np.vstack([hold, rows[:-1]])
        if self._noise:
            commands = self._disturbed(commands, rng)
        tape = FrameTape(self._arm, self._viewpoint)
        for command in commands:
            tape.take()
            self._arm.step(command)
        return tape.demonstration(seed, rows, keep_jpegs) if rests_in_bin(self._arm, self._model) else None

    def _disturbed(self, commands: Joints, rng: np.random.Generator) -> Joints:
        """What is sent for these commands, (rows, 6), driver rad."""
        if self._task.belt is None:
            return commands + wander(rng, len(commands), NOISE_LEVELS_RAD)
        return _lagging(commands, rng) + wander(rng, len(commands), BELT_NOISE_LEVELS_RAD)

    def _plan(self, hold: Joints, rng: np.random.Generator) -> Joints:
        """The expert's rows from here, (rows, 6), driver rad."""
        state = self._arm.state()
        cube = scene.cube_pose(self._model, state.qpos)
        velocity = scene.carrying_velocity(self._model, state.qpos, state.qvel)
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


class FrameTape:
    """What a policy would have seen of an episode, frame by frame."""

    def __init__(self, arm: LockstepArm, viewpoint: Viewpoint) -> None:
        self._arm = arm
        self._viewpoint = viewpoint
        self._units = lerobot_units(arm)
        self._positions: list[Joints] = []
        self._views: dict[str, list[NDArray[np.uint8]]] = {camera: [] for camera in viewpoint.cameras}
        self._jpegs: dict[str, list[bytes]] = {camera: [] for camera in viewpoint.cameras}

    def take(self) -> None:
        """One frame, of now."""
        moment = self._arm.moment()
        self._positions.append(moment.positions)
        for camera, (jpeg, pixels) in self._viewpoint.see(moment.qpos).items():
            self._views[camera].append(pixels)
            self._jpegs[camera].append(jpeg)

    def demonstration(self, seed: int, actions: Joints, keep_jpegs: bool) -> Demonstration:
        """All frames with their actions, (T, 6), driver rad."""
        measured = np.array(self._positions)
        return Demonstration(
            seed,
            measured,
            self._units.to_policy(measured).astype(np.float32),
            self._units.to_policy(actions).astype(np.float32),
            {camera: np.stack(pixels) for camera, pixels in self._views.items()},
            self._jpegs if keep_jpegs else {},
        )


def rests_in_bin(arm: LockstepArm, model: mujoco.MjModel) -> bool:
    """Whether the cube lies in the bin now."""
    state = arm.state()
    return in_bin(scene.cube_pose(model, state.qpos)) and at_rest(scene.cube_velocity(model, state.qvel))


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


NOT_GRIPPER = np.arange(len(JOINT_NAMES)) != GRIPPER
"""Which joints are not the gripper, (6,)."""

_NOISE_RATIO = np.where(NOT_GRIPPER, 1.0, GRIPPER_NOISE_RATIO)


def wander(rng: np.random.Generator, rows: int, levels_rad: tuple[float, ...]) -> NDArray[np.float64]:
    """Noise on the commands of one episode, (rows, 6), rad: a random level, wandering over about ten rows."""
    level = float(rng.choice(levels_rad))
    noise = np.zeros((rows, len(JOINT_NAMES)))
    fresh = np.sqrt(1 - NOISE_MEMORY**2) * level * rng.normal(size=noise.shape)
    for row in range(1, rows):
        noise[row] = NOISE_MEMORY * noise[row - 1] + fresh[row]
    return np.asarray(noise * _NOISE_RATIO)


def _lagging(commands: Joints, rng: np.random.Generator) -> Joints:
    """The same commands, (rows, 6), in some episodes a few rows late or early for a while on the way to the cube."""
    lag = rng.uniform(-LAG_ROWS, LAG_ROWS) * (rng.random() < LAG_RATIO)
    begin, end = np.sort(rng.uniform(*LAG_BETWEEN_ROWS, 2))
    row = np.arange(len(commands))
    ratio = np.clip((row - begin) / max(end - begin, 1.0), 0.0, 1.0)
    at = row - lag * np.sin(np.pi * ratio) ** 2
    return np.stack([np.interp(at, row, joint) for joint in commands.T], axis=1)
