# SPDX-License-Identifier: Apache-2.0
"""Packages: what each uses is in its package.xml, there is no circle, none is large, a robot gets what it needs."""

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest
from so101_workspace import build
from so101_workspace.layout import Layout

ROOT = Path(__file__).parents[1]
PACKAGES = build.packages(Layout(ROOT))

# Used without being in package.xml, because it is used only where it is there: why.
OPTIONAL = {
    ("so101_doctor", "so101_policy_server"): "the server's half, imported only where the policy server is installed",
    ("so101_bag", "so101_policy_server"): "replay to a server of its own: checkpoint:=FOLDER where there is one",
    ("so101_bag", "so101_sim"): "replay to a virtual arm: sim:=true on a computer that has the simulator",
}
# In package.xml without being used by the code or by a launch file: why.
NAMED_ONLY = {
    ("so101_bringup", "so101_doctor"): "the first program to run on a robot computer",
}
NOT_ON_A_ROBOT = {
    "so101_sim",
    "so101_policy_server",
    "so101_demo",
    "so101_training",
    "so101_bench",
    "so101_shipped_policies",
    "so101_desktop",
}
# rosdep keys of Python modules.
KEYS = {
    "PIL": "python3-pil",
    "cryptography": "python3-cryptography",
    "cv2": "python3-opencv",
    "matplotlib": "python3-matplotlib",
    "numpy": "python3-numpy",
    "psutil": "python3-psutil",
    "pytest": "python3-pytest",
    "rich": "python3-rich",
    "serial": "python3-serial",
    "yaml": "python3-yaml",
}
# Modules that pip installs (requirements/*.txt); rosdep has no key for them.
FROM_PIP = {
    "av",
    "datasets",
    "draccus",
    "httpx",
    "huggingface_hub",
    "imageio_ffmpeg",
    "lerobot",
    "mcap",
    "mujoco",
    "pandas",
    "peft",
    "playwright",
    "pyarrow",
    "rerun",
    "rosbags",
    "safetensors",
    "scipy",
    "scservo_sdk",
    "simplejpeg",
    "so101_nexus",
    "tokenizers",
    "torch",
    "torchvision",
    "transformers",
    "zstandard",
}
LARGEST_RATIO = 0.25


def sources(package: str) -> list[Path]:
    return sorted((PACKAGES[package] / package).rglob("*.py"))


def launch_files(package: str) -> list[Path]:
    return sorted(path for path in PACKAGES[package].rglob("*.launch.xml") if "test" not in path.parts)


OWNER_OF_LAUNCH_FILE = {path.name: package for package in PACKAGES for path in launch_files(package)}


@cache
def dependencies(package: str, *, tests: bool = False) -> frozenset[str]:
    root = ElementTree.parse(PACKAGES[package] / "package.xml").getroot()
    kinds = ["depend", "build_depend", "exec_depend", "buildtool_depend", *(["test_depend"] if tests else [])]
    return frozenset(str(entry.text) for kind in kinds for entry in root.findall(kind))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def looked_up(tree: ast.AST) -> Iterator[str]:
    """Packages whose installed folder is asked for, by a constant or by a name that stands for one."""
    constants = {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and re.search(r"package_(prefix|share_directory)$|ament_prefix$", called(node)):
            for argument in node.args:
                value = argument.value if isinstance(argument, ast.Constant) else constants.get(called(argument))
                if value in PACKAGES:
                    yield str(value)


def called(node: ast.AST) -> str:
    function = node.func if isinstance(node, ast.Call) else node
    return getattr(function, "attr", getattr(function, "id", ""))


def launched(file: Path) -> set[str]:
    """Packages that a launch file starts something of or takes a file from."""
    text = file.read_text(encoding="utf-8")
    words = re.findall(r'pkg="(\w+)"|exec-in-pkg \w+ (\w+)\)|find-pkg-share (\w+)\)', text)
    return {name for groups in words for name in groups if name}


@cache
def used(package: str) -> frozenset[str]:
    """Packages and rosdep keys that code and launch files of a package need."""
    found: set[str] = set()
    for path in sources(package):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for module in imported(tree):
            if module not in sys.stdlib_module_names and module not in FROM_PIP:
                found.add(KEYS.get(module, module))
        found.update(looked_up(tree))
        found.update(
            OWNER_OF_LAUNCH_FILE[node.value]
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and node.value in OWNER_OF_LAUNCH_FILE
        )
    for file in launch_files(package):
        found |= launched(file)
    return frozenset(found - {package})


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_what_a_package_uses_is_in_its_package_xml(package: str) -> None:
    missing = {name for name in used(package) - dependencies(package) if (package, name) not in OPTIONAL}
    assert missing == set(), f"{PACKAGES[package] / 'package.xml'} does not name what {package} imports or launches"


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_package_names_no_package_of_ours_that_it_does_not_use(package: str) -> None:
    ours = {name for name in dependencies(package) if name in PACKAGES}
    assert {name for name in ours - used(package) if (package, name) not in NAMED_ONLY} == set()


def test_the_exceptions_are_still_exceptions() -> None:
    assert {edge for edge in OPTIONAL if edge[1] not in used(edge[0]) - dependencies(edge[0])} == set()
    assert {edge for edge in NAMED_ONLY if edge[1] not in dependencies(edge[0]) - used(edge[0])} == set()


def test_the_packages_depend_on_each_other_in_no_circle() -> None:
    """Neither by package.xml, tests included, nor by what is used where it is there."""
    graph = {name: (dependencies(name, tests=True) | used(name)) & set(PACKAGES) for name in PACKAGES}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(PACKAGES)


def test_no_package_holds_more_than_a_quarter_of_the_code() -> None:
    lines = {name: sum(len(path.read_text().splitlines()) for path in sources(name)) for name in PACKAGES}
    total = sum(lines.values())
    assert total > 10_000
    assert {name: count / total for name, count in lines.items() if count > LARGEST_RATIO * total} == {}


def test_a_robot_computer_gets_no_server_no_simulator_and_no_weights() -> None:
    robot = set(build.robot_packages(Layout(ROOT)))
    assert robot & NOT_ON_A_ROBOT == set()
    assert not NOT_ON_A_ROBOT - set(PACKAGES)
    assert {"so101_driver", "so101_action_queue", "so101_camera", "so101_bag", "so101_doctor"} <= robot


def test_the_robots_image_holds_exactly_what_a_robot_computer_needs() -> None:
    text = (ROOT / "docker" / "Dockerfile.robot").read_text()
    copied = {ROOT / word for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for word in line.split()[:-1]}
    assert copied & set(PACKAGES.values()) == set(build.robot_packages(Layout(ROOT)).values())
    assert (ROOT / "src") not in copied


def test_colcon_selects_the_same_for_a_robot_computer() -> None:
    """As README.md has it. colcon counts what the tests of a package need, too."""
    command = [sys.executable, "-m", "colcon", "list", "--paths-only", "--packages-up-to", build.ROBOT]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {ROOT / path for path in listed} == set(build.robot_packages(Layout(ROOT)).values())
