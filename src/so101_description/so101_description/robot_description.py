# SPDX-License-Identifier: Apache-2.0
"""`ros2 run so101_description robot_description [--meshes auto|none|FOLDER]`: prints the URDF."""

import argparse
import sys
from pathlib import Path

from so101_description.errors import MeshFolderError
from so101_description.mesh_files import AUTO, robot_description


def urdf_folder() -> Path:
    """Return the folder of the URDF files: the installed one, or that of the sources where nothing is built."""
    source = Path(__file__).resolve().parents[1] / "urdf"
    if source.is_dir():
        return source
    from ament_index_python.packages import get_package_share_directory

    return Path(get_package_share_directory("so101_description")) / "urdf"


def main() -> None:
    """Print the URDF."""
    parser = argparse.ArgumentParser(prog="robot_description", description="Print the URDF of the SO-101.")
    parser.add_argument("--meshes", default=AUTO, help="auto, none, or the folder with the STL files of so101-nexus")
    try:
        print(robot_description(urdf_folder(), parser.parse_args().meshes), end="")
    except MeshFolderError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
