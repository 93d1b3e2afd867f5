# SPDX-License-Identifier: Apache-2.0
"""The SO-101 of the simulator's MuJoCo model as a robot to write a URDF of: the one place that reads that model here.

Only the generator and the tests use this; MuJoCo and so101-nexus are not needed to use the URDF.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from so101_description.meshes import arm_model_dir, read_stl
from so101_description.urdf_text import Box, Inertia, Limit, Link, Mesh, Pose, Robot, UrdfJoint
from so101_node.protocol import JOINT_NAMES

from so101_sim.core.joints import JointRanges
from so101_sim.world.scene import CAMERAS, build_model

GRIPPER_FRAME = "gripper_frame_link"
"""Point between the finger tips, z towards the table when the arm points down; the model's site `gripperframe`."""

_BASE = "base"
_GRIPPER_SITE = "gripperframe"
_VISUAL_GROUP, _COLLISION_GROUP = 2, 3
_EFFORT_NM = 2.94  # forcerange of the model's servos
_VELOCITY_RAD_S = 4.7  # STS3215 without load at 7.4 V: 45 rpm; the driver's own limits are lower
# Optical frame (z forward, x right, y down) in a camera link (x forward, y left, z up), REP 103.
_OPTICAL_IN_CAMERA = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)
# The same optical frame in a MuJoCo camera (looks along -z, y up).
_OPTICAL_IN_MUJOCO = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True, slots=True)
class _Source:
    model: mujoco.MjModel
    spec: mujoco.MjSpec
    middle: dict[str, float]


def robot() -> Robot:
    """Return the arm: zero of each joint = zero of our topics, the middle of the model's range."""
    model = build_model()
    spec = mujoco.MjSpec.from_file(str(arm_model_dir() / "so101.xml"))
    ranges = JointRanges.of(model)
    source = _Source(model, spec, dict(zip(JOINT_NAMES, ranges.middle, strict=True)))
    links: list[Link] = []
    joints: list[UrdfJoint] = []
    for body in _arm_bodies(model):
        links.append(_link(source, body))
        if model.body(body).name != _BASE:
            joints.append(_joint(source, body, ranges))
    _add_gripper_frame(model, links, joints)
    for camera in CAMERAS:
        _add_camera(model, camera, links, joints)
    return Robot("so101", tuple(links), tuple(joints))


def link_name(body: str) -> str:
    """Return the link that a body of the model became."""
    return f"{body}_link"


def pose(position: NDArray[np.float64], quaternion: NDArray[np.float64]) -> Pose:
    """Return position, m, and quaternion (w, x, y, z; any length) as a homogeneous matrix."""
    unit = np.asarray(quaternion, np.float64) / np.linalg.norm(quaternion)
    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, unit)
    result = np.eye(4)
    result[:3, :3] = rotation.reshape(3, 3)
    result[:3, 3] = position
    return result


def _arm_bodies(model: mujoco.MjModel) -> list[int]:
    """The base and all below it, parents first; the table's things are left out."""
    found = [int(model.body(_BASE).id)]
    for body in range(model.nbody):
        if int(model.body_parentid[body]) in found and body not in found:
            found.append(body)
    return found


def _link(source: _Source, body: int) -> Link:
    name = source.model.body(body).name
    meshes = tuple(_mesh(source.spec, geom) for geom in source.spec.body(name).geoms if geom.group == _VISUAL_GROUP)
    # The root is fixed to the table: KDL, which robot_state_publisher uses, warns of a root with inertia.
    inertia = None if name == _BASE else _inertia(source.model, body)
    return Link(link_name(name), meshes, _collision_boxes(source.model, body), inertia)


def _mesh(spec: mujoco.MjSpec, geom: mujoco.MjsGeom) -> Mesh:
    at = pose(geom.pos, geom.quat)
    file = spec.mesh(geom.meshname).file
    corners = read_stl(arm_model_dir() / "assets" / file).reshape(-1, 3).astype(np.float64)
    low, high = corners.min(axis=0), corners.max(axis=0)
    centre = np.eye(4)
    centre[:3, 3] = (low + high) / 2
    size = tuple(float(edge) for edge in high - low)
    rgba = tuple(round(float(channel), 3) for channel in spec.material(geom.material).rgba)
    return Mesh(at, file, Box(at @ centre, size), rgba)  # type: ignore[arg-type]


def _collision_boxes(model: mujoco.MjModel, body: int) -> tuple[Box, ...]:
    first, count = int(model.body_geomadr[body]), int(model.body_geomnum[body])
    return tuple(
        Box(pose(model.geom_pos[geom], model.geom_quat[geom]), tuple(2.0 * model.geom_size[geom]))
        for geom in range(first, first + count)
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX and model.geom_group[geom] == _COLLISION_GROUP
    )


def _inertia(model: mujoco.MjModel, body: int) -> Inertia:
    centre = pose(model.body_ipos[body], model.body_iquat[body])
    turn = centre[:3, :3]
    full = turn @ np.diag(model.body_inertia[body]) @ turn.T
    # Written about the centre of mass along the link's own axes, so that no angle of degenerate axes is written.
    centre[:3, :3] = np.eye(3)
    moments = (full[0, 0], full[0, 1], full[0, 2], full[1, 1], full[1, 2], full[2, 2])
    return Inertia(float(model.body_mass[body]), centre, tuple(float(value) for value in moments))  # type: ignore[arg-type]


def _joint(source: _Source, body: int, ranges: JointRanges) -> UrdfJoint:
    model = source.model
    name = model.body(body).name
    parent = link_name(model.body(int(model.body_parentid[body])).name)
    at = pose(model.body_pos[body], model.body_quat[body])
    if not model.body_jntnum[body]:
        return UrdfJoint(f"{name}_joint", parent, link_name(name), at)
    joint = model.joint(int(model.body_jntadr[body]))
    # All of the model's joints turn about the z axis of their body, through its origin; a URDF needs no more then.
    if not (np.array_equal(joint.axis, [0, 0, 1]) and not joint.pos.any()):
        raise ValueError(f"joint {joint.name}: expected axis 0 0 1 through 0 0 0, got {joint.axis} through {joint.pos}")
    index = JOINT_NAMES.index(joint.name)
    middle = source.middle[joint.name]
    half = np.array([np.cos(middle / 2), 0.0, 0.0, np.sin(middle / 2)])
    zero = at @ pose(np.zeros(3), half)
    lower, upper = float(ranges.lower[index] - middle), float(ranges.upper[index] - middle)
    return UrdfJoint(joint.name, parent, link_name(name), zero, Limit(lower, upper, _EFFORT_NM, _VELOCITY_RAD_S))


def _add_gripper_frame(model: mujoco.MjModel, links: list[Link], joints: list[UrdfJoint]) -> None:
    site = model.site(_GRIPPER_SITE)
    parent = link_name(model.body(int(model.site_bodyid[site.id])).name)
    links.append(Link(GRIPPER_FRAME))
    joints.append(UrdfJoint("gripper_frame_joint", parent, GRIPPER_FRAME, pose(site.pos, site.quat)))


def _add_camera(model: mujoco.MjModel, camera: str, links: list[Link], joints: list[UrdfJoint]) -> None:
    source = model.camera(camera)
    body = int(model.cam_bodyid[source.id])
    parent = link_name(model.body(body).name if body else _BASE)  # the base stands at the world's origin
    optical = pose(source.pos, source.quat) @ _OPTICAL_IN_MUJOCO
    body_link, optical_link = f"{camera}_camera_link", f"{camera}_optical_frame"
    links += [Link(body_link), Link(optical_link)]
    joints.append(UrdfJoint(f"{camera}_camera_joint", parent, body_link, optical @ np.linalg.inv(_OPTICAL_IN_CAMERA)))
    joints.append(UrdfJoint(f"{camera}_optical_joint", body_link, optical_link, _OPTICAL_IN_CAMERA))
