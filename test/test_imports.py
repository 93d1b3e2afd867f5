# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: packages in an order without a circle, cores free of ROS, robots free of torch, no pickle.

Read from the sources with grimp: imports inside functions count too, imports for type checking alone do not.
"""

import ast
import copy
import functools
import graphlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import grimp
from so101_workspace import build
from so101_workspace.layout import Layout

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("src/so101_*/so101_*/__init__.py"))

WITH_A_CORE = {
    "so101_action_queue",
    "so101_camera",
    "so101_correction",
    "so101_driver",
    "so101_link",
    "so101_policy_server",
    "so101_sim",
}

# What a robot computer runs, and what each of them must start without.
ON_THE_ROBOT = sorted(set(PACKAGES) & set(build.robot_packages(Layout(ROOT))))
HEAVY = ("lerobot", "mujoco", "torch", "torchvision", "transformers")
# Parts of them that import it nevertheless, with the reason.
HEAVY_EXCEPTIONS = {
    "so101_bag.dataset": "it writes with LeRobot, on the computer where policies are trained",
    "so101_doctor.server": "it looks whether torch is there, and what it can do",
}

# Packages that import LeRobot's policies, with the reason. Datasets, cameras and motors are no policies.
POLICY_IMPORTERS = {
    "so101_policy_server": "it serves them",
    "so101_training": "it trains the shipped ones",
    "so101_bench": "it measures LeRobot's own client and server",
}

# What runs code that it reads.
PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


@functools.cache
def graph(packages: tuple[str, ...] = tuple(PACKAGES)) -> grimp.ImportGraph:
    """Imports of these packages; what they import of others is a leaf."""
    return grimp.build_graph(
        *packages, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


def inside(*packages: str) -> list[str]:
    """All modules of these packages, the package itself too."""
    return sorted(m for m in graph().modules if any(m == name or m.startswith(name + ".") for name in packages))


def reaches(modules: Iterable[str], targets: Iterable[str]) -> list[str]:
    """The shortest chain from each module to each target, as text; empty where nothing is reached."""
    known = [target for target in targets if target in graph().modules]
    chains = (graph().find_shortest_chain(module, target) for module in modules for target in known)
    return [" -> ".join(chain) for chain in chains if chain]


# Rooms of so101_node that cores may import: free of ROS like a core, but for the modules that tie them to it.
ROS_FREE = ("diagnostics", "metrics", "parameters", "protocol", "threads", "timing")
TIED_TO_ROS = {"declaring", "known_nodes", "publishing", "spec_message", "timers"}


def cores() -> list[str]:
    rooms = inside(*(f"so101_node.{room}" for room in ROS_FREE))
    free = [module for module in rooms if module.rpartition(".")[2] not in TIED_TO_ROS]
    return [*free, *(module for module in inside(*PACKAGES) if "core" in module.split("."))]


def test_no_circle_of_modules() -> None:
    imports = {module: graph().find_modules_directly_imported_by(module) for module in inside(*PACKAGES)}
    list(graphlib.TopologicalSorter(imports).static_order())  # raises with the circle


def test_the_packages_with_logic_have_a_core() -> None:
    """Those whose node decides something: what is not there could not be held to the rules below."""
    assert {core.split(".")[0] for core in cores()} >= WITH_A_CORE


def test_a_core_imports_the_standard_library_numpy_and_our_own_packages() -> None:
    allowed = {*sys.stdlib_module_names, "numpy", "yaml", *PACKAGES}
    imported = {(core, other) for core in cores() for other in graph().find_modules_directly_imported_by(core)}
    assert {(core, other) for core, other in imported if other.split(".")[0] not in allowed} == set()


def test_no_core_reaches_ros_or_a_device() -> None:
    ros = [m for m in graph().modules if m.endswith(("_msgs", "_srvs")) or m in ("rclpy", "rcl_interfaces")]
    devices = ["cv2", "scservo_sdk", "serial", "subprocess", "socket"]
    assert reaches(cores(), [*ros, *devices, *HEAVY]) == []


def test_a_robot_needs_no_torch() -> None:
    """Nothing in its packages imports it, alone or through another of them, but for the exceptions."""
    robot = copy.deepcopy(graph(tuple(ON_THE_ROBOT)))
    assert {"so101_driver", "so101_action_queue", "so101_camera", "so101_bag", "so101_doctor"} <= robot.modules
    for part in HEAVY_EXCEPTIONS:
        for module in {part, *robot.find_descendants(part)}:
            robot.remove_module(module)
    imports = {name: robot.find_modules_that_directly_import(name) for name in HEAVY if name in robot.modules}
    assert {name: importers for name, importers in imports.items() if importers} == {}


def test_every_exception_is_still_one() -> None:
    robot = graph(tuple(ON_THE_ROBOT))
    imported = [name for name in HEAVY if name in robot.modules]
    for part in HEAVY_EXCEPTIONS:
        assert any(robot.direct_import_exists(importer=part, imported=n, as_packages=True) for n in imported), part


def test_only_these_packages_import_policies_of_lerobot() -> None:
    importers = {
        path.relative_to(ROOT / "src").parts[0]
        for path in ROOT.glob("src/so101_*/so101_*/**/*.py")
        if any(name.startswith(("lerobot.policies", "lerobot.async_inference")) for name in imported_names(path))
    }
    assert importers == set(POLICY_IMPORTERS)


def imported_names(path: Path) -> Iterator[str]:
    """Whole names; the graph holds the first part of what is not ours."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_pickle() -> None:
    found = {
        f"{module} imports {imported}"
        for module in inside(*PACKAGES)
        for imported in graph().find_modules_directly_imported_by(module)
        if imported in PICKLES
    }
    assert found == set()
