# SPDX-License-Identifier: Apache-2.0
"""The URDF that this machine gets: with meshes where they are to be had, with boxes elsewhere."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from so101_description.errors import MeshFolderError
from so101_description.mesh_files import installed_meshes, robot_description
from so101_description.robot_description import urdf_folder
from so101_description.robot_model import RobotModel
from so101_description.state_publisher import command


def test_without_meshes_the_arm_is_boxes() -> None:
    model = RobotModel.parse(robot_description(urdf_folder(), "none"))
    parts = [part for shapes in model.shapes.values() for part in shapes]
    assert parts and all(not part.mesh and min(part.size) > 0 for part in parts)


@pytest.mark.skipif(installed_meshes() is None, reason="so101-nexus is not installed here")
def test_every_mesh_of_the_resolved_urdf_is_a_file() -> None:
    model = RobotModel.parse(robot_description(urdf_folder(), "auto"))
    files = {part.mesh for shapes in model.shapes.values() for part in shapes}
    assert len(files) == 14
    for file in files:
        assert Path(file.removeprefix("file://")).is_file()


def test_a_folder_without_meshes_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MeshFolderError, match=r"has no base_so101_v2\.stl"):
        robot_description(urdf_folder(), str(tmp_path))
    run = subprocess.run(
        [sys.executable, "-m", "so101_description.robot_description", "--meshes", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1 and not run.stdout
    assert run.stderr.count("\n") == 1 and str(tmp_path) in run.stderr


def test_a_named_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "base_so101_v2.stl").touch()
    assert f"{tmp_path.as_uri()}/sts3215_03a_v1.stl" in robot_description(urdf_folder(), str(tmp_path))


def test_the_state_publisher_gets_the_urdf_as_its_parameter_and_its_ros_arguments() -> None:
    program = Path("/opt/robot_state_publisher")
    words = command(["meshes:=none", "--ros-args", "-r", "__node:=robot_state_publisher"], program)
    assert words[:-1] == [str(program), "--ros-args", "-r", "__node:=robot_state_publisher", "--params-file"]
    parameters = yaml.safe_load(Path(words[-1]).read_text(encoding="utf-8"))
    assert parameters["/**"]["ros__parameters"]["robot_description"] == robot_description(urdf_folder(), "none")


def test_the_parameter_file_outlives_the_exec() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import os, sys; from pathlib import Path\n"
         "from so101_description.state_publisher import command\n"
         "words = command(['meshes:=none'], Path('/bin/cat'))\n"
         "os.execv('/bin/cat', ['cat', words[-1]])"],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert run.returncode == 0 and "robot_description" in run.stdout


def test_without_robot_state_publisher_there_is_one_line() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "so101_description.state_publisher"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), "AMENT_PREFIX_PATH": "/nowhere"},
    )
    assert run.returncode == 1 and run.stderr.count("\n") == 1
    assert "robot_state_publisher is not installed" in run.stderr
