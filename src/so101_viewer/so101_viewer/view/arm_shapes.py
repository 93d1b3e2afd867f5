# SPDX-License-Identifier: Apache-2.0
"""The arm's links as triangles, coloured, for a 3D view: thinned meshes where they are installed, else boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from so101_description.robot_model import RobotModel, Shape

# Sides as corners counted against the clock from outside; bit k of a corner's number is its place along axis k.
_SIDES = np.array([[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]])
_BOX = np.concatenate([_SIDES[:, [0, 1, 2]], _SIDES[:, [0, 2, 3]]])

ReadMesh = Callable[[str], NDArray[np.float32]]
"""From a mesh's file name to its triangles, (n, 3 corners, 3), m."""


@dataclass(frozen=True, slots=True)
class LinkShape:
    """Triangles of one link in its own frame; corners: (3 n, 3) float32, m; normals likewise; colours: (3 n, 4)."""

    corners: NDArray[np.float32]
    normals: NDArray[np.float32]
    colours: NDArray[np.uint8]


def link_shapes(model: RobotModel, read_mesh: ReadMesh) -> dict[str, LinkShape]:
    """Return each link that has something to show."""
    return {link: _joined(shapes, read_mesh) for link, shapes in model.shapes.items() if shapes}


def thinned_mesh_reader() -> ReadMesh:
    """Return a reader of the arm's thinned meshes. AssetError where so101-nexus is not installed."""
    from so101_description.meshes import read_stl, thinned_meshes

    folder = thinned_meshes()
    return lambda file: read_stl(folder / Path(file).name)


def _joined(shapes: tuple[Shape, ...], read_mesh: ReadMesh) -> LinkShape:
    corners, normals, colours = [], [], []
    for shape in shapes:
        triangles = read_mesh(shape.mesh).astype(np.float64) if shape.mesh else box_triangles(shape.size)
        placed = triangles @ shape.pose[:3, :3].T + shape.pose[:3, 3]
        # One normal per triangle: printed parts and servos have edges, which shared normals would round off.
        across = np.cross(placed[:, 1] - placed[:, 0], placed[:, 2] - placed[:, 0])
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
        corners.append(placed.reshape(-1, 3))
        normals.append(np.repeat(across, 3, axis=0))
        rgba = np.round(np.array(shape.rgba) * 255).astype(np.uint8)
        colours.append(np.tile(rgba, (3 * len(placed), 1)))
    return LinkShape(
        np.concatenate(corners).astype(np.float32), np.concatenate(normals).astype(np.float32), np.concatenate(colours)
    )


def box_triangles(size: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the 12 triangles of a box about the origin, (12, 3, 3), looking outwards."""
    corners = np.array([[(i >> axis) & 1 for axis in range(3)] for i in range(8)]) - 0.5
    return np.asarray((corners * np.array(size))[_BOX], np.float64)
