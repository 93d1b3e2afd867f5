# SPDX-License-Identifier: Apache-2.0
"""Which of the two URDF files to use, and where the meshes are that one of them names.

The meshes (18 MB of STL) are not part of this package: they come with the Python package so101-nexus, and are looked
up where the URDF is used. Where they are not installed, the arm is drawn as the boxes around its parts.
"""

import importlib.util
from pathlib import Path

from so101_description.errors import MeshFolderError

AUTO, NONE = "auto", "none"
_PREFIX = "package://so101_description/meshes/"
_PROBE = "base_so101_v2.stl"


def installed_meshes() -> Path | None:
    """Return the mesh folder of an installed so101-nexus; looked up without importing it, which takes seconds."""
    found = importlib.util.find_spec("so101_nexus")
    for location in (found.submodule_search_locations or ()) if found else ():
        folder = Path(location) / "assets" / "SO101_menagerie" / "assets"
        if (folder / _PROBE).is_file():
            return folder
    return None


def mesh_folder(meshes: str) -> Path | None:
    """Return the folder that `meshes` names: a path, `auto` (that of so101-nexus, if there is one) or `none`.

    Raises:
        MeshFolderError: the path has no meshes of the arm.
    """
    if meshes in (AUTO, NONE, ""):
        return installed_meshes() if meshes == AUTO else None
    folder = Path(meshes).absolute()
    if not (folder / _PROBE).is_file():
        raise MeshFolderError(f"meshes {meshes}: has no {_PROBE}; give the assets folder of so101-nexus, auto or none")
    return folder


def robot_description(urdf_folder: Path, meshes: str = AUTO) -> str:
    """Return the URDF: with meshes under file:// where they are to be had, else with boxes. Raises MeshFolderError."""
    folder = mesh_folder(meshes)
    if folder is None:
        return (urdf_folder / "so101.urdf").read_text(encoding="utf-8")
    text = (urdf_folder / "so101_meshes.urdf").read_text(encoding="utf-8")
    return text.replace(_PREFIX, folder.as_uri() + "/")
