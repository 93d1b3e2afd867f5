# SPDX-License-Identifier: Apache-2.0
"""Writes urdf/ again from the simulator's model: `./so101 ros python -m so101_sim.generate_urdf [FOLDER]`."""

import sys
from pathlib import Path

HEADER = """\
SO-101 follower arm. Written by so101_sim.generate_urdf from the MuJoCo model in the Python package so101-nexus
(MuJoCo Menagerie, robotstudio_so101, Apache-2.0): change the generator, not this file.

The zero of each joint is the zero of joint_states and joint_command: the middle of its calibrated range.
front and top stand where the simulated cameras stand; for a real arm, put in where yours are."""
MESHES = "package://so101_description/meshes/"
"""Before each mesh's name in so101_meshes.urdf; `mesh_files` puts the folder that has them in its place."""

FOLDER = Path(__file__).resolve().parents[2] / "so101_description" / "urdf"


def texts() -> dict[str, str]:
    """Return the text of each file by its name."""
    from so101_description.urdf_text import urdf

    from so101_sim.world.robot_from_mujoco import robot

    arm = robot()
    return {"so101.urdf": urdf(arm, HEADER, None), "so101_meshes.urdf": urdf(arm, HEADER, MESHES)}


def main() -> None:
    """Write the files."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for name, text in texts().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)


if __name__ == "__main__":
    main()
