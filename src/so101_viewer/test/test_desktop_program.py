# SPDX-License-Identifier: Apache-2.0
"""Programs of a ROS desktop: they start with their plugins; a package that is missing is named with what to type."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ament_index_python.packages import get_package_prefix
from so101_viewer.view.desktop_program import PROGRAMS, command, remedy

LAYOUT = Path(get_package_prefix("so101_config")) / "share" / "so101_config" / "view.rviz"


def install(prefix: Path, *packages: str) -> None:
    """Put packages where the ament index finds them."""
    for package in packages:
        marker = prefix / "share" / "ament_index" / "resource_index" / "packages" / package
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()


def install_program(prefix: Path, package: str, executable: str) -> None:
    """A program that prints its arguments and the displays that its layout switches on."""
    install(prefix, package)
    path = prefix / "lib" / package / executable
    path.parent.mkdir(parents=True)
    path.write_text('#!/bin/sh\necho "$@"\n')
    path.chmod(0o755)


def run(name: str, prefix: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Start it as view.launch.xml does, where ROS is not the environment's own: as with apt's."""
    install(prefix, "rclpy")
    path = Path(get_package_prefix("so101_viewer")) / "lib" / "so101_viewer" / name
    variables = dict(os.environ, ROS_DISTRO="jazzy")
    variables["AMENT_PREFIX_PATH"] = f"{prefix}:{variables['AMENT_PREFIX_PATH']}"
    return subprocess.run([path, *words], env=variables, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_is_not_installed_is_named_with_what_to_type(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    package = PROGRAMS[name].package
    line = done.stderr.strip()
    assert line.startswith(f"[{name}] error: {package} is not installed; ") and "\n" not in line
    assert f"sudo apt-get install ros-jazzy-{package.replace('_', '-')};" in line
    assert line.endswith(f"leave it out with {PROGRAMS[name].argument}:=false")


@pytest.mark.parametrize("name", PROGRAMS)
def test_with_its_plugins_a_program_starts_with_the_arguments_it_was_given(name: str, tmp_path: Path) -> None:
    program = PROGRAMS[name]
    install_program(tmp_path, program.package, program.executable)
    install(tmp_path, *program.plugins)
    done = run(name, tmp_path, "-d", str(LAYOUT), "--ros-args", "-r", "__ns:=/left")
    assert (done.returncode, done.stdout) == (0, f"-d {LAYOUT} --ros-args -r __ns:=/left\n"), done.stderr
    assert "is not installed" not in done.stderr


@pytest.mark.parametrize(
    ("name", "plugin"), [(name, plugin) for name, program in PROGRAMS.items() for plugin in program.plugins]
)
def test_a_missing_plugin_is_named_and_the_program_starts_without_it(name: str, plugin: str, tmp_path: Path) -> None:
    program = PROGRAMS[name]
    install_program(tmp_path, program.package, program.executable)
    install(tmp_path, *(other for other in program.plugins if other != plugin))
    done = run(name, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "is not installed" in line]
    assert len(lines) == 1
    assert f"{plugin} is not installed; type: sudo apt-get install ros-jazzy-{plugin.replace('_', '-')}" in lines[0]


def test_rviz_without_the_plugin_for_compressed_images_opens_without_cameras(tmp_path: Path) -> None:
    """It ends with a traceback when a display needs a transport that is not installed."""
    install_program(tmp_path, "rviz2", "rviz2")
    install(tmp_path, "rviz_default_plugins")
    done = run("rviz2", tmp_path, "-d", str(LAYOUT), "--ros-args", "-r", "__node:=rviz2")
    option, path, *rest = done.stdout.split()
    assert (option, rest) == ("-d", ["--ros-args", "-r", "__node:=rviz2"])
    try:
        loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    finally:
        Path(path).unlink()
    kept = yaml.safe_load(LAYOUT.read_text(encoding="utf-8"))
    switched_off = []
    for new, old in zip(
        loaded["Visualization Manager"]["Displays"], kept["Visualization Manager"]["Displays"], strict=True
    ):
        if new != old:
            switched_off.append(new["Name"])
            assert new == {**old, "Enabled": False, "Value": False}
    assert switched_off == ["front", "top", "wrist"]
    assert loaded["Window Geometry"] == kept["Window Geometry"]


def test_what_apt_has_installed_but_this_environment_does_not_see_is_not_to_be_installed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    manifest = tmp_path / "jazzy" / "share" / "rviz2" / "package.xml"
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    there, absent = (remedy(package, elsewhere, tmp_path) for package in ("rviz2", "rqt_gui"))
    assert "apt-get" not in there and str(tmp_path / "jazzy") in there
    assert "apt-get install ros-jazzy-rqt-gui" in absent


def elsewhere(package: str) -> Path:
    return Path("/opt/ros/jazzy")


def test_in_the_environment_of_the_wheels_nobody_is_sent_to_apt(tmp_path: Path) -> None:
    """What apt-get installs is not seen there."""

    def wheels(package: str) -> Path:
        return Path(sys.prefix)

    line = remedy("rviz2", wheels, tmp_path)
    assert "apt-get" not in line and "docs/how-to/viewing.md" in line and "./so101 view" in line


def test_a_program_is_found_by_its_package_alone(tmp_path: Path) -> None:
    def prefix(package: str) -> Path:
        return tmp_path

    words, lines = command(PROGRAMS["aggregator_node"], ["--ros-args"], prefix)
    assert (words, lines) == ([str(tmp_path / "lib/diagnostic_aggregator/aggregator_node"), "--ros-args"], [])
