# SPDX-License-Identifier: Apache-2.0
"""Thins the arm's meshes once, so that the cameras can be rendered at 30 Hz on a CPU.

The meshes of `so101-nexus` are CAD exports with 348,000 triangles; three cameras at 30 Hz would need several cores.
Vertices closer than one grid cell are merged to their mean (vertex clustering), which leaves 13,000 triangles and
no visible difference at 640x480. The convex parts of the gripper, used for collision only, are kept as they are.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from so101_description.errors import AssetError

GRID_M = 0.004
"""Edge of a clustering cell, m. Three cameras cost 17 ms of CPU a round at 3 mm, 14 ms at 4 mm; 5 mm shows dents."""

_FORMAT = 1  # rises when the thinning itself changes, so that an old cache is not used
_COLLISION_PART = "gripper_part"  # in the names of the convex parts
_TRIANGLE = np.dtype([("normal", "<f4", 3), ("vertices", "<f4", (3, 3)), ("attributes", "<u2")])
_STL_HEADER = 80


def arm_model_dir() -> Path:
    """Folder of the arm's MJCF file inside the installed `so101-nexus` package.

    Looked up without importing the package, which would pull in a learning framework.
    """
    found = importlib.util.find_spec("so101_nexus")
    for location in (found.submodule_search_locations or ()) if found else ():
        folder = Path(location) / "assets" / "SO101_menagerie"
        if (folder / "so101.xml").is_file():
            return folder
    raise AssetError("so101_nexus: the arm's model is not installed; run ./so101 setup")


def default_cache_dir() -> Path:
    """$XDG_CACHE_HOME/so101, or ~/.cache/so101."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "so101"


def thinned_meshes(cache_dir: Path | None = None, *, grid_m: float = GRID_M) -> Path:
    """Folder with the arm's thinned STL files, made on the first call.

    Safe when several processes call it at once (one thins, the others wait) and after an interruption: the folder
    appears under its final name only when it is complete. Raises AssetError if the cache cannot be written.
    """
    cache_dir = cache_dir or default_cache_dir()
    version = importlib.metadata.version("so101-nexus")
    target = cache_dir / f"meshes-{version}-{round(grid_m * 1e6)}um-v{_FORMAT}"
    if target.is_dir():
        return target
    source = arm_model_dir() / "assets"
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _locked(cache_dir / "meshes.lock"):
            if not target.is_dir():
                _fill(source, target, grid_m)
    except OSError as error:
        raise AssetError(
            f"{cache_dir}: cannot store the arm's meshes ({error.strerror or error}); "
            "make it writable or set XDG_CACHE_HOME to a folder that is"
        ) from error
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Exclusive between processes; the kernel lets go of it when a process dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fill(source: Path, target: Path, grid_m: float) -> None:
    prefix = f".{target.name}-"
    for leftover in target.parent.glob(f"{prefix}*"):  # of an interrupted run; we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        for path in sorted(source.glob("*.stl")):
            if _COLLISION_PART in path.name:
                shutil.copyfile(path, work / path.name)
            else:
                write_stl(work / path.name, thin(read_stl(path), grid_m))
        work.chmod(0o755)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def read_stl(path: Path) -> NDArray[np.float32]:
    """Triangles of a binary STL file, (triangles, 3 corners, 3), in the file's unit. AssetError if it is not one."""
    raw = path.read_bytes()
    count = int.from_bytes(raw[_STL_HEADER : _STL_HEADER + 4], "little")
    if len(raw) < _STL_HEADER + 4 + count * _TRIANGLE.itemsize or not count:
        raise AssetError(f"{path}: not a complete binary STL file; reinstall so101-nexus")
    triangles = np.frombuffer(raw, _TRIANGLE, count, _STL_HEADER + 4)
    return np.ascontiguousarray(triangles["vertices"])


def write_stl(path: Path, triangles: NDArray[np.float32]) -> None:
    """Writes (triangles, 3 corners, 3) as binary STL; the normals are left zero, as MuJoCo computes its own."""
    records = np.zeros(len(triangles), _TRIANGLE)
    records["vertices"] = triangles
    path.write_bytes(bytes(_STL_HEADER) + len(triangles).to_bytes(4, "little") + records.tobytes())


def thin(triangles: NDArray[np.float32], grid: float) -> NDArray[np.float32]:
    """Merges the vertices within each cell of a grid to their mean and drops triangles that collapse or repeat.

    triangles: (n, 3, 3); grid: edge of a cell in the same unit. Returns (m, 3, 3) with m <= n.
    """
    vertices = triangles.reshape(-1, 3).astype(np.float64)
    cells = np.round(vertices / grid).astype(np.int64)
    cells -= cells.min(axis=0)
    extent = cells.max(axis=0) + 1
    keys = (cells[:, 0] * extent[1] + cells[:, 1]) * extent[2] + cells[:, 2]  # one sort of integers, not of rows
    _, cluster, members = np.unique(keys, return_inverse=True, return_counts=True)
    centres = np.stack([np.bincount(cluster, vertices[:, axis]) / members for axis in range(3)], axis=1)

    faces = cluster.reshape(-1, 3)
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    faces = faces[whole]
    corners = np.sort(faces, axis=1)
    keys = (corners[:, 0] * len(members) + corners[:, 1]) * len(members) + corners[:, 2]
    _, first = np.unique(keys, return_index=True)
    return np.asarray(centres[faces[np.sort(first)]], np.float32)
