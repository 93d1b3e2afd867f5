# SPDX-License-Identifier: Apache-2.0
"""Becomes `robot_state_publisher` with the URDF of this arm as its parameter, meshes resolved on this machine.

A launch file would use `$(command ...)` for this; that runs the command whenever the file is read, also to list its
arguments, and pastes 20 kB of XML into the process's parameters. `meshes:=auto|none|FOLDER` as first argument.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from so101_description.errors import MeshFolderError
from so101_description.mesh_files import AUTO, robot_description
from so101_description.robot_description import urdf_folder

_PACKAGE = "robot_state_publisher"
_USAGE = """usage: state_publisher [meshes:=auto|none|FOLDER] [--ros-args ...]

robot_state_publisher with the URDF of the SO-101; ROS arguments are passed on to it."""


def command(arguments: Sequence[str], program: Path) -> list[str]:
    """Return the command line to become: the given ROS arguments, and a parameter file with the URDF.

    The file has no name on disk, so nothing is left behind; it lives as long as this process, whatever it becomes.

    Raises:
        MeshFolderError: the folder named with meshes:= has no meshes.
    """
    words = list(arguments)
    meshes = AUTO
    if words and words[0].startswith("meshes:="):
        meshes = words.pop(0).removeprefix("meshes:=")
    text = robot_description(urdf_folder(), meshes)
    descriptor = os.memfd_create("robot_description.yaml", 0)  # 0: stays open in the program that this becomes
    with os.fdopen(descriptor, "w", encoding="utf-8", closefd=False) as file:
        yaml.safe_dump({"/**": {"ros__parameters": {"robot_description": text}}}, file)
    separator = [] if "--ros-args" in words else ["--ros-args"]
    return [str(program), *words, *separator, "--params-file", f"/proc/self/fd/{descriptor}"]


def main() -> None:
    """Replace this process."""
    if any(word in ("-h", "--help") for word in sys.argv[1:]):
        print(_USAGE)
        return
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        words = command(sys.argv[1:], Path(get_package_prefix(_PACKAGE)) / "lib" / _PACKAGE / _PACKAGE)
        os.execv(words[0], words)
    except PackageNotFoundError:
        print(
            f"error: {_PACKAGE} is not installed; it comes with ROS 2 from apt (sudo apt-get install "
            "ros-jazzy-robot-state-publisher); or leave it out with model:=false",
            file=sys.stderr,
        )
    except (MeshFolderError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
