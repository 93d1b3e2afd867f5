# SPDX-License-Identifier: Apache-2.0
"""Where the links of a URDF are for given joint positions. NumPy and the standard library only."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from so101_description.errors import RowsShapeError, UrdfError

Poses = NDArray[np.float64]
"""Homogeneous matrices, (..., 4, 4), m."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One visual of a link: a mesh's file name, or "" and a box of this size (x, y, z, m). pose: in its link."""

    pose: Poses
    mesh: str
    size: tuple[float, float, float]
    rgba: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Joint:
    """origin: child in parent at zero, (4, 4); axis: (3,) in the child, zeros where it is fixed; limits in rad."""

    name: str
    parent: str
    child: str
    origin: Poses
    axis: NDArray[np.float64]
    lower: float
    upper: float

    @property
    def moves(self) -> bool:
        """Whether the joint is not fixed."""
        return bool(self.axis.any())


class RobotModel:
    """A tree of links. `joints` are ordered so that parents come first; `root` is the link without a parent."""

    def __init__(self, root: str, joints: Sequence[Joint], shapes: Mapping[str, Sequence[Shape]]) -> None:
        self.root = root
        self.joints = tuple(joints)
        self.shapes = {link: tuple(parts) for link, parts in shapes.items()}
        self._by_child = {joint.child: joint for joint in self.joints}

    @classmethod
    def parse(cls, text: str) -> RobotModel:
        """Read a URDF: fixed and revolute joints, boxes and meshes. Raises UrdfError."""
        try:
            robot = ElementTree.fromstring(text)
            joints = [_joint(element) for element in robot.findall("joint")]
            colours = {m.get("name", ""): _rgba(m) for m in robot.findall("material")}
            shapes = {link.attrib["name"]: _shapes(link, colours) for link in robot.findall("link")}
        except (ElementTree.ParseError, KeyError, ValueError, AttributeError) as error:
            raise UrdfError(f"not a URDF that can be read here: {error}") from error
        roots = set(shapes) - {joint.child for joint in joints}
        if len(roots) != 1:
            raise UrdfError(f"expected one link without a parent, got {sorted(roots)}")
        root = roots.pop()
        return cls(root, _parents_first(root, joints), shapes)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Joints that move, parents first."""
        return tuple(joint.name for joint in self.joints if joint.moves)

    @property
    def links(self) -> tuple[str, ...]:
        """All links, parents first."""
        return (self.root, *(joint.child for joint in self.joints))

    def link_poses(self, positions: Mapping[str, float]) -> dict[str, Poses]:
        """Return each link in the root, (4, 4). Joints that are not named stand at zero."""
        poses = {self.root: np.eye(4)}
        for joint in self.joints:
            poses[joint.child] = poses[joint.parent] @ in_parent(joint, positions.get(joint.name, 0.0))
        return poses

    def path(self, link: str, joint_names: Sequence[str], rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where the origin of `link` is for each row of joint positions.

        Args:
            link: a link of this model; KeyError for another.
            joint_names: order of the columns; names that the chain to `link` does not have are ignored.
            rows: (n, joints), rad. A joint without a column stands at zero.

        Returns:
            (n, 3), m, in the root.

        Raises:
            RowsShapeError: rows has not one column for each name.
        """
        if len(rows) and rows.shape[1:] != (len(joint_names),):
            raise RowsShapeError(
                f"rows has shape {rows.shape}: expected (n, {len(joint_names)}), one column for each name"
            )
        column = {name: index for index, name in enumerate(joint_names)}
        points: NDArray[np.float64] = np.zeros((len(rows), 3))
        while link != self.root:
            joint = self._by_child[link]
            index = column.get(joint.name)
            angles = np.zeros(len(rows)) if index is None else rows[:, index]
            if joint.moves:
                points = _turned(points, joint.axis, angles)
            points = points @ joint.origin[:3, :3].T + joint.origin[:3, 3]
            link = joint.parent
        return points


def in_parent(joint: Joint, angle: float) -> Poses:
    """Return the child's frame in its parent, (4, 4)."""
    if not joint.moves or not angle:
        return joint.origin
    x, y, z = joint.axis
    across = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    turn = np.eye(4)
    turn[:3, :3] += math.sin(angle) * across + (1 - math.cos(angle)) * (across @ across)  # Rodrigues
    return np.asarray(joint.origin @ turn)


def _turned(points: NDArray[np.float64], axis: NDArray[np.float64], angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn each point, (n, 3), about the unit axis by its own angle, (n,) (Rodrigues)."""
    cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
    along = (points @ axis)[:, None] * axis
    return np.asarray(points * cosine + np.cross(axis, points) * sine + along * (1 - cosine))


def _parents_first(root: str, joints: Sequence[Joint]) -> list[Joint]:
    ordered: list[Joint] = []
    known, left = {root}, list(joints)
    while left:
        ready = [joint for joint in left if joint.parent in known]
        if not ready:
            raise UrdfError(f"joint {left[0].name}: its parent {left[0].parent} hangs on nothing")
        ordered += ready
        known |= {joint.child for joint in ready}
        left = [joint for joint in left if joint not in ready]
    return ordered


def _joint(element: ElementTree.Element) -> Joint:
    kind = element.attrib["type"]
    if kind not in ("fixed", "revolute"):
        raise ValueError(f"joint {element.attrib['name']}: expected fixed or revolute, got {kind}")
    axis: NDArray[np.float64] = np.zeros(3)
    lower = upper = 0.0
    if kind == "revolute":
        given, limit = element.find("axis"), element.find("limit")
        axis = _floats(given.attrib["xyz"], 3) if given is not None else np.array([1.0, 0.0, 0.0])
        axis /= np.linalg.norm(axis)
        if limit is not None:
            lower, upper = float(limit.get("lower", 0)), float(limit.get("upper", 0))
    parent, child = element.find("parent"), element.find("child")
    if parent is None or child is None:
        raise ValueError(f"joint {element.attrib['name']}: no parent or no child")
    origin = _origin(element)
    return Joint(element.attrib["name"], parent.attrib["link"], child.attrib["link"], origin, axis, lower, upper)


def _shapes(link: ElementTree.Element, colours: Mapping[str, tuple[float, float, float, float]]) -> list[Shape]:
    found = []
    for visual in link.findall("visual"):
        mesh, box, material = visual.find("geometry/mesh"), visual.find("geometry/box"), visual.find("material")
        rgba = colours.get(material.get("name", "") if material is not None else "", (0.7, 0.7, 0.7, 1.0))
        if mesh is not None:
            found.append(Shape(_origin(visual), mesh.attrib["filename"], (0.0, 0.0, 0.0), rgba))
        elif box is not None:
            x, y, z = (float(edge) for edge in _floats(box.attrib["size"], 3))
            found.append(Shape(_origin(visual), "", (x, y, z), rgba))
    return found


def _rgba(material: ElementTree.Element) -> tuple[float, float, float, float]:
    colour = material.find("color")
    r, g, b, a = (float(c) for c in _floats(colour.attrib["rgba"] if colour is not None else "0.7 0.7 0.7 1", 4))
    return r, g, b, a


def _origin(element: ElementTree.Element) -> Poses:
    origin = element.find("origin")
    pose = np.eye(4)
    if origin is None:
        return pose
    pose[:3, 3] = _floats(origin.get("xyz", "0 0 0"), 3)
    roll, pitch, yaw = _floats(origin.get("rpy", "0 0 0"), 3)
    pose[:3, :3] = _about(2, yaw) @ _about(1, pitch) @ _about(0, roll)
    return pose


def _about(axis: int, angle: float) -> NDArray[np.float64]:
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turn[i, i] = turn[j, j] = cosine
    turn[i, j], turn[j, i] = -sine, sine
    return turn


def _floats(text: str, count: int) -> NDArray[np.float64]:
    values = np.array([float(word) for word in text.split()])
    if len(values) != count:
        raise ValueError(f"expected {count} numbers, got {text!r}")
    return values
