# SPDX-License-Identifier: Apache-2.0
"""A robot as plain values, and its URDF text. The same values always give the same text, whatever the machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pose = NDArray[np.float64]
"""A frame in another, homogeneous, (4, 4), m."""

_DIGITS = 7  # 0.1 um, 0.1 urad: far below what anybody measures, far above what libraries disagree in


@dataclass(frozen=True, slots=True)
class Box:
    """A box around the origin of `pose`; size: edges x, y, z, m."""

    pose: Pose
    size: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Mesh:
    """A mesh file by name, with its bounding box for where the file is not to be had. rgba: 0..1."""

    pose: Pose
    file: str
    box: Box
    rgba: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Inertia:
    """Mass, kg, about the centre of mass at `pose`; moments: ixx, ixy, ixz, iyy, iyz, izz, kg m^2."""

    mass: float
    pose: Pose
    moments: tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Link:
    """One rigid part; a frame alone has nothing but a name."""

    name: str
    meshes: tuple[Mesh, ...] = ()
    collision: tuple[Box, ...] = ()
    inertia: Inertia | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """lower, upper: rad; effort: N m; velocity: rad/s."""

    lower: float
    upper: float
    effort: float
    velocity: float


@dataclass(frozen=True, slots=True)
class UrdfJoint:
    """`child` in `parent` at the joint's zero; with a limit it turns about the child's z axis, without it is fixed."""

    name: str
    parent: str
    child: str
    pose: Pose
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class Robot:
    """Links and joints, parents first."""

    name: str
    links: tuple[Link, ...]
    joints: tuple[UrdfJoint, ...]


def urdf(robot: Robot, header: str, mesh_prefix: str | None) -> str:
    """Return the robot's URDF.

    Args:
        robot: what to write.
        header: comment at the top, one or more lines.
        mesh_prefix: goes before each mesh's file name; None draws the meshes' bounding boxes instead.
    """
    lines = ['<?xml version="1.0"?>', "<!--", *(f"  {line}".rstrip() for line in header.splitlines()), "-->"]
    lines.append(f'<robot name="{robot.name}">')
    for rgba, name in _materials(robot).items():
        lines.append(f'  <material name="{name}"><color rgba="{_numbers(rgba)}"/></material>')
    for link in robot.links:
        lines += _link(link, _materials(robot), mesh_prefix)
    for joint in robot.joints:
        lines += _joint(joint)
    return "\n".join([*lines, "</robot>", ""])


def rpy(rotation: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return URDF's fixed-axis roll, pitch, yaw of a rotation (3, 3), rad."""
    r = np.where(np.abs(rotation) < 1e-9, 0.0, rotation)  # else the sign of a rounding error decides between pi and -pi
    level = math.hypot(r[0, 0], r[1, 0])
    pitch = math.atan2(-r[2, 0], level)
    if level < 1e-9:  # pitch is +-90 degrees: roll and yaw turn about one axis, so yaw may be zero
        return math.atan2(-r[1, 2], r[1, 1]), pitch, 0.0
    return math.atan2(r[2, 1], r[2, 2]), pitch, math.atan2(r[1, 0], r[0, 0])


def _materials(robot: Robot) -> dict[tuple[float, float, float, float], str]:
    colours = sorted({mesh.rgba for link in robot.links for mesh in link.meshes}, reverse=True)
    return {rgba: f"{robot.name}_{index}" for index, rgba in enumerate(colours, 1)}


def _link(link: Link, materials: dict[tuple[float, float, float, float], str], mesh_prefix: str | None) -> list[str]:
    if not (link.meshes or link.collision or link.inertia):
        return [f'  <link name="{link.name}"/>']
    lines = [f'  <link name="{link.name}">']
    if link.inertia is not None:
        names = ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")
        moments = " ".join(f'{name}="{value:.6g}"' for name, value in zip(names, link.inertia.moments, strict=True))
        lines += [
            "    <inertial>",
            f"      {_origin(link.inertia.pose)}",
            f'      <mass value="{_number(link.inertia.mass)}"/>',
            f"      <inertia {moments}/>",
            "    </inertial>",
        ]
    for mesh in link.meshes:
        origin, geometry = (
            (mesh.box.pose, _box(mesh.box))
            if mesh_prefix is None
            else (mesh.pose, f'<mesh filename="{mesh_prefix}{mesh.file}"/>')
        )
        lines += ["    <visual>", f"      {_origin(origin)}", f"      <geometry>{geometry}</geometry>"]
        lines += [f'      <material name="{materials[mesh.rgba]}"/>', "    </visual>"]
    for box in link.collision:
        lines += ["    <collision>", f"      {_origin(box.pose)}", f"      <geometry>{_box(box)}</geometry>"]
        lines += ["    </collision>"]
    return [*lines, "  </link>"]


def _joint(joint: UrdfJoint) -> list[str]:
    kind = "fixed" if joint.limit is None else "revolute"
    lines = [f'  <joint name="{joint.name}" type="{kind}">', f"    {_origin(joint.pose)}"]
    lines += [f'    <parent link="{joint.parent}"/>', f'    <child link="{joint.child}"/>']
    if joint.limit is not None:
        limit = joint.limit
        lines.append('    <axis xyz="0 0 1"/>')
        lines.append(
            f'    <limit lower="{_number(limit.lower)}" upper="{_number(limit.upper)}" '
            f'effort="{_number(limit.effort)}" velocity="{_number(limit.velocity)}"/>'
        )
    return [*lines, "  </joint>"]


def _box(box: Box) -> str:
    return f'<box size="{_numbers(box.size)}"/>'


def _origin(pose: Pose) -> str:
    return f'<origin xyz="{_numbers(pose[:3, 3])}" rpy="{_numbers(rpy(pose[:3, :3]))}"/>'


def _numbers(values: Sequence[float] | NDArray[np.float64]) -> str:
    return " ".join(_number(float(value)) for value in values)


def _number(value: float) -> str:
    text = f"{value:.{_DIGITS}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
