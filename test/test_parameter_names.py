# SPDX-License-Identifier: Apache-2.0
"""A parameter that a node does not have ends it: for every executable, and for what the launch files start."""

import ast
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_prefix
from parameter_table import NODES
from so101_launch_runner.find_file import find_launch_file, launch_files
from so101_launch_runner.parameter_sections import lost_sections
from so101_node.parameters import known_nodes, lerobot_names

from so101_launch_runner import resolve

LAUNCH_FILES = list(launch_files().values())
ARGUMENTS = {
    "replay.launch.xml": {"bag": "bag", "play": "false", "to": "arm", "sim": "true"},
    "view.launch.xml": {"rviz": "false", "model": "false"},  # these two need a normal ROS install
}


def executables() -> dict[str, str]:
    """Package of each executable of ours that runs a node."""
    found = {}
    for point in importlib.metadata.entry_points(group="console_scripts"):
        package, _, _ = point.value.partition(".")
        if package.startswith("so101_") and package != "so101_nexus" and _runs_a_node(point.module):
            found[point.name] = package
    return found


def _runs_a_node(module: str) -> bool:
    """Whether the entry point ends in so101_node's run_process or run_node, itself or through so101_node.start."""
    source = importlib.util.find_spec(module)
    assert source is not None and source.origin is not None
    tree = ast.parse(Path(source.origin).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("run_process", "run_node"):
                return True
            if node.func.id == "start" and node.args and isinstance(node.args[0], ast.Constant):
                return _runs_a_node(str(node.args[0].value))
    return False


def test_every_executable_that_runs_a_node_says_what_it_declares() -> None:
    assert set(executables()) == known_nodes.node_names() == {name for name, _module, _class in NODES}
    assert set(known_nodes.declared()) == set(executables())


def test_what_is_said_about_names_of_lerobot_is_true() -> None:
    """`NAME of NODE` in a text names a parameter that this node declares."""
    for text in lerobot_names.HERE.values():
        for name, node in re.findall(r"(\w+) of (so101_driver|action_queue|policy_server|the camera node)", text):
            declared = known_nodes.declared()["camera" if node == "the camera node" else node]
            assert name in declared or name == "rtc", text


def programs() -> dict[str, str]:
    """Package of each executable of ours, without those that become a program of another package."""
    found = {}
    for point in importlib.metadata.entry_points(group="console_scripts"):
        package, _, module = point.value.partition(":")[0].partition(".")
        if package.startswith("so101_") and package != "so101_nexus" and module != "view.desktop_program":
            found[point.name] = package
    return found


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("camera", "recorder", "state_publisher") else pytest.mark.long)
        for name in sorted(programs())
    ],
)
def test_help_is_a_usage_and_starts_nothing(name: str) -> None:
    program = Path(get_package_prefix(programs()[name])) / "lib" / programs()[name] / name
    done = subprocess.run([str(program), "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.startswith("usage: "), done.stdout
    for parameter in known_nodes.declared().get(name, ()):
        assert f"\n  {parameter} (" in done.stdout, parameter


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Exit code and stderr of each executable with a misspelt name in its section; two at a time."""
    folder = tmp_path_factory.mktemp("parameters")

    def run(item: tuple[str, str]) -> tuple[int, str]:
        name, package = item
        file = folder / f"{name}.yaml"
        file.write_text(f"/**/{name}:\n  ros__parameters:\n    wrongly_named: 1.0\n")
        program = Path(get_package_prefix(package)) / "lib" / package / name
        done = subprocess.run(
            [str(program), "--ros-args", "--params-file", str(file)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stderr

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(executables(), pool.map(run, executables().items()), strict=True))


@pytest.mark.parametrize("name", sorted(executables()))
def test_a_misspelt_parameter_ends_the_node_with_one_line(refusals: dict[str, tuple[int, str]], name: str) -> None:
    code, errors = refusals[name]
    assert code == 78, errors
    assert errors.count("\n") == 1 and "unknown parameter wrongly_named (" in errors, errors
    assert f"{name}.yaml:3, section /**/{name})" in errors, errors


@pytest.mark.parametrize("file", LAUNCH_FILES, ids=lambda file: file.name)
def test_every_section_of_the_shipped_files_is_for_some_node(file: Path) -> None:
    assert lost_sections(resolve(file, ARGUMENTS.get(file.name, {}))) == []


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("/**/so101_drivr", "did you mean /**/so101_driver?"),
        ("so101_driver", "is in a namespace; write /**/so101_driver"),
        ("/**/arm", "its nodes that read this file: /left/so101_driver, /left/action_queue"),
        ("/**/policy_server", ""),  # of the other computer
        ("/**/camera7", ""),  # cameras read another file
    ],
)
def test_a_section_that_no_node_of_the_launch_takes_is_told(tmp_path: Path, section: str, words: str) -> None:
    file = tmp_path / "robot.yaml"
    key = "device: x" if "camera" in section else "port: x"
    queue = "/**/action_queue: {ros__parameters: {fps: 30.0}}"
    file.write_text(f"{section}: {{ros__parameters: {{{key}}}}}\n{queue}\n")
    specs = resolve(find_launch_file("robot.launch.xml"), {"config": str(file), "namespace": "left"})
    lines = lost_sections(specs)
    assert len(lines) == bool(words) and all(words in line and str(file) in line for line in lines), lines


def test_a_launch_with_a_misspelt_limit_ends_with_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text("/**/so101_driver:\n  ros__parameters:\n    max_joint_speed: [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]\n")
    cameras = [f"camera_{number}:=none" for number in (1, 2, 3)]
    done = subprocess.run(
        [sys.executable, "-m", "so101_launch_runner", "robot", f"config:={file}", *cameras],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert f"unknown parameter max_joint_speed ({file}:3, section /**/so101_driver): did you mean" in done.stdout
    assert "starting again" not in done.stdout, done.stdout
