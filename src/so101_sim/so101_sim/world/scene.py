# SPDX-License-Identifier: Apache-2.0
"""The virtual arm's world as a MuJoCo model: SO-101, table, bin, cube, conveyor belt and three cameras.

The arm is MuJoCo Menagerie's model as `so101-nexus` ships it. Nothing here needs a GL library; rendering is in
`rendering.py`. The first six entries of qpos, qvel and ctrl are the arm's, in JOINT_NAMES order.

One model serves all tasks, since renderer, judge and expert know the world by its qpos alone: where a task has no
belt, the conveyor lies below the table, out of sight and touch.
"""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray
from so101_description.errors import AssetError
from so101_description.meshes import arm_model_dir, thinned_meshes

from so101_sim.core.camera_names import CAMERAS as CAMERAS
from so101_sim.core.joints import HOME
from so101_sim.core.tasks import BIN_CENTRE_M, BIN_HALF_M, CONVEYOR, CUBE_HALF_M, CubePose, task_named
from so101_sim.errors import SceneError
from so101_sim.world import belt_drive, hand_drive
from so101_sim.world.belt_drive import CUBE_JOINT, PITCH_M, TRAVEL
from so101_sim.world.belt_drive import has_belt as has_belt

IMAGE_WIDTH, IMAGE_HEIGHT = 640, 480

TOOL_SITE = "tool"
"""Site midway between the finger tips; the expert puts it into the cube."""

_BIN_WALL_M, _BIN_HEIGHT_M = 0.003, 0.02
_TABLE, _BLUE, _RED = (0.60, 0.56, 0.51), (0.13, 0.33, 0.72), (0.85, 0.1, 0.1)
_RUBBER, _MARK, _HOUSING = (0.12, 0.12, 0.13), (0.24, 0.24, 0.26), (0.36, 0.37, 0.39)
_BOX = mujoco.mjtGeom.mjGEOM_BOX


def build_model(*, timestep_s: float = 0.002, cache_dir: Path | None = None) -> mujoco.MjModel:
    """The compiled scene. Thins the meshes at the very first call. SceneError if the arm's model is missing."""
    return build_spec(timestep_s=timestep_s, cache_dir=cache_dir).compile()


def build_spec(*, timestep_s: float = 0.002, cache_dir: Path | None = None) -> mujoco.MjSpec:
    """The scene before compiling, for those who want to add to it."""
    try:
        path = arm_model_dir() / "so101.xml"
        spec = mujoco.MjSpec.from_file(str(path))
        spec.meshdir = str(thinned_meshes(cache_dir))
    except AssetError as error:
        raise SceneError(str(error)) from error
    except ValueError as error:
        raise SceneError(f"{path}: {str(error).splitlines()[0]}; reinstall so101-nexus") from error
    spec.option.timestep = timestep_s
    spec.nuserdata = hand_drive.USERDATA_LENGTH
    _add_light(spec)
    _add_table(spec.worldbody)
    _add_bin(spec.worldbody)
    _add_cube(spec.worldbody)
    _add_conveyor(spec)
    _add_cameras(spec)
    spec.body("gripper").add_site(name=TOOL_SITE, pos=[0.018, -0.0002, -0.096], size=[0.002] * 3, group=3)
    return spec


def new_data(model: mujoco.MjModel) -> mujoco.MjData:
    """Data with the arm at HOME and commanded to stay there; the cube lies at its start for seed 0."""
    data = mujoco.MjData(model)
    data.qpos[: len(HOME)] = HOME
    data.ctrl[: len(HOME)] = HOME
    place_objects(model, data, "static", 0)
    return data


def place_objects(model: mujoco.MjModel, data: mujoco.MjData, task: str, seed: int) -> None:
    """Puts the cube where `task` starts it with `seed`; the arm is not touched. TaskError if unknown.

    The cube is at rest on the table, or runs with the belt if the task has one.
    """
    asked = task_named(task)
    pose = asked.cube_start(seed)
    joint = model.joint(CUBE_JOINT)
    position, velocity = int(joint.qposadr[0]), int(joint.dofadr[0])
    half = pose.yaw / 2
    data.qpos[position : position + 7] = [*pose.position, np.cos(half), 0.0, 0.0, np.sin(half)]
    data.qvel[velocity : velocity + 6] = 0.0
    motion = asked.belt_motion(seed)
    if asked.belt is not None and motion is not None:
        data.qvel[velocity : velocity + 3] = motion.speed_at(0.0) * asked.belt.direction
    belt_drive.place_belt(data, motion)
    hand_drive.place_hand(data, asked.hand_motion(seed))
    before_step(model, data)
    data.qacc_warmstart[velocity:] = 0.0  # so that the same seed gives the same motion
    mujoco.mj_forward(model, data)


def before_step(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """To be called before each mj_step: drives what moves by itself, the belt and the hand."""
    belt_drive.before_step(model, data)
    hand_drive.before_step(model, data)


def hold_world(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Lets what was just placed stand, belt, cube and hand, until `start_world`."""
    belt_drive.hold_belt(model, data)
    hand_drive.hold_hand(data)


def start_world(data: mujoco.MjData) -> None:
    """Begins now what belt and hand do."""
    belt_drive.start_belt(data)
    hand_drive.start_hand(data)


def carrying_velocity(
    model: mujoco.MjModel, qpos: NDArray[np.float64], qvel: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Velocity, (3,), m/s, with which the belt now carries the cube; zero where the cube does not lie on it.

    To 0.01 mm/s: by less does the cube slow the belt within a step.
    """
    carried = has_belt(qpos) and CONVEYOR.carries(cube_pose(model, qpos).position)
    return round(float(qvel[TRAVEL]), 5) * CONVEYOR.direction if carried else np.zeros(3)


def cube_pose(model: mujoco.MjModel, qpos: NDArray[np.float64]) -> CubePose:
    """The cube's pose out of a configuration, qpos: (nq,)."""
    at = int(model.joint(CUBE_JOINT).qposadr[0])
    w, x, y, z = qpos[at + 3 : at + 7]
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return CubePose(np.array(qpos[at : at + 3]), float(yaw))


def cube_velocity(model: mujoco.MjModel, qvel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cube's linear (m/s) and angular (rad/s) velocity, (6,), out of qvel: (nv,)."""
    at = int(model.joint(CUBE_JOINT).dofadr[0])
    return np.array(qvel[at : at + 6])


def _add_light(spec: mujoco.MjSpec) -> None:
    visual = spec.visual
    visual.global_.offwidth, visual.global_.offheight = IMAGE_WIDTH, IMAGE_HEIGHT
    visual.quality.offsamples = 0  # with multisampling and shadows three cameras cost 104 ms a frame, without 11 ms
    visual.quality.shadowsize = 0
    visual.headlight.ambient = [0.38, 0.38, 0.38]
    visual.headlight.diffuse = [0.33, 0.33, 0.33]
    visual.headlight.specular = [0.0, 0.0, 0.0]
    visual.map.znear = 0.005  # the wrist camera is this close to the jaws
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[0.2, 0.2, 1.5],
        dir=[-0.35, -0.3, -1.0],
        diffuse=[0.45, 0.45, 0.43],
        specular=[0.15, 0.15, 0.15],
        castshadow=False,
    )


def _add_table(world: mujoco.MjsBody) -> None:
    """A plane beyond every horizon, drawn as a few large triangles: finer ones, or a sky, cost 2 to 4 ms a frame."""
    half, spacing = 4.0, 4.0
    world.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[half, half, spacing],
        rgba=[*_TABLE, 1],
        friction=[1, 5e-3, 1e-4],
    )


def _add_bin(world: mujoco.MjsBody) -> None:
    """A shallow tray: a floor and four walls."""
    tray = world.add_body(name="bin", pos=[*BIN_CENTRE_M, 0.0])
    size, wall, height = BIN_HALF_M, _BIN_WALL_M, _BIN_HEIGHT_M / 2
    parts = {
        "floor": ([0, 0, 0.001], [size, size, 0.001]),
        "front": ([size, 0, height], [wall, size + wall, height]),
        "back": ([-size, 0, height], [wall, size + wall, height]),
        "left": ([0, size, height], [size, wall, height]),
        "right": ([0, -size, height], [size, wall, height]),
    }
    for name, (pos, half) in parts.items():
        tint = 0.75 if name == "floor" else 1.0  # without shadows the walls would melt into the floor
        rgba = [*(tint * channel for channel in _BLUE), 1]
        tray.add_geom(name=f"bin_{name}", type=_BOX, pos=pos, size=half, rgba=rgba)


def _add_cube(world: mujoco.MjsBody) -> None:
    cube = world.add_body(name="cube", pos=[0.23, 0.04, CUBE_HALF_M])
    cube.add_freejoint(name=CUBE_JOINT)
    cube.add_geom(
        name="cube",
        type=_BOX,
        size=[CUBE_HALF_M] * 3,
        rgba=[*_RED, 1],
        mass=0.02,
        condim=6,
        friction=[1.2, 5e-3, 5e-4],
        solref=[0.01, 1],
        priority=1,
    )


def _add_conveyor(spec: mujoco.MjSpec) -> None:
    """A frame that can be lowered, and a slab with marks that runs in it from one housing into the other."""
    along, across, high = CONVEYOR.half_length_m, CONVEYOR.half_width_m, CONVEYOR.height_m / 2
    turn = CONVEYOR.heading_rad / 2
    place, quaternion = [*CONVEYOR.middle_m, 0.0], [np.cos(turn), 0.0, 0.0, np.sin(turn)]
    frame = spec.worldbody.add_body(name="conveyor", pos=place, quat=quaternion)
    slide = {"type": mujoco.mjtJoint.mjJNT_SLIDE, "armature": 50.0}  # kg; what touches the belt does not slow it
    frame.add_joint(name="conveyor_lift", axis=[0, 0, 1], **slide)
    for end in (-1, 1):
        frame.add_geom(
            name=f"conveyor_housing_{'in' if end < 0 else 'out'}",
            type=_BOX,
            pos=[end * (along + PITCH_M / 2), 0, high + 0.001],
            size=[PITCH_M / 2 + 0.002, across + 0.004, high + 0.001],
            rgba=[*_HOUSING, 1],
            contype=0,
            conaffinity=0,
        )
    belt = frame.add_body(name="belt")
    belt.add_joint(name="belt_travel", axis=[1, 0, 0], **slide)
    middle = -PITCH_M / 2  # one pitch longer than what is seen of it, so that its ends stay in the housings
    size = [along + PITCH_M / 2, across, high]
    belt.add_geom(name="belt", type=_BOX, pos=[middle, 0, high], size=size, rgba=[*_RUBBER, 1], mass=1.0)
    for mark in range(round(2 * along / PITCH_M) + 1):
        belt.add_geom(
            name=f"belt_mark_{mark}",
            type=_BOX,
            pos=[-along - PITCH_M / 2 + mark * PITCH_M, 0, 2 * high],
            size=[0.004, across - 0.004, 0.0003],
            rgba=[*_MARK, 1],
            contype=0,
            conaffinity=0,
            mass=0.0,
        )
    spec.add_exclude(name="belt_table", bodyname1="world", bodyname2="belt")


def _add_cameras(spec: mujoco.MjSpec) -> None:
    _add_camera(spec.worldbody, "front", position=(0.60, 0.20, 0.36), target=(0.165, -0.015, 0.08), fovy=39)
    _add_camera(spec.worldbody, "top", position=(0.19, -0.04, 0.62), target=(0.1901, -0.04, 0.0), fovy=31)
    spec.camera("wrist_cam").name = "wrist"


def _add_camera(
    world: mujoco.MjsBody,
    name: str,
    position: tuple[float, float, float],
    target: tuple[float, float, float],
    fovy: float,
) -> None:
    """A camera at `position` that looks at `target` with its upper edge up; fovy in degrees."""
    backward = np.subtract(position, target)
    backward /= np.linalg.norm(backward)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(backward, right), backward], axis=1)
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    world.add_camera(name=name, pos=list(position), quat=quaternion, fovy=fovy)
