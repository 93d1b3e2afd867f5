# SPDX-License-Identifier: Apache-2.0
"""The rooms of the package: who may import whom, and that nobody reaches through another's parts."""

import ast
import inspect
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from so101_action_queue.core.aggregation import Overlap
from so101_action_queue.core.blending import RowsAhead
from so101_action_queue.core.inputs import Bounds
from so101_action_queue.errors import ActionQueueError, ShapeError

import so101_action_queue
from so101_action_queue import errors

PACKAGE = Path(so101_action_queue.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
ORDER = ("errors", "core", "translation", "record", "ros", "testing")


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path: Path) -> set[str]:
    """First names below this package that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("so101_action_queue."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "so101_action_queue":
            names.update(alias.name for alias in node.names)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_the_rooms_before_it(path: Path) -> None:
    own = room(path)
    if own != "__init__":
        assert {ORDER.index(name) for name in imported(path)} <= set(range(ORDER.index(own) + 1))


def test_the_core_runs_where_there_is_no_ros() -> None:
    """All of its modules are imported in a process in which ROS and the messages cannot be."""
    names = [module.name for module in pkgutil.iter_modules([str(PACKAGE / "core")])]
    assert len(names) >= 15
    code = (
        "import sys, importlib\n"
        "class No:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        first = name.split('.')[0]\n"
        "        if first.endswith(('rclpy', '_interfaces', '_msgs', '_srvs')):\n"
        "            raise ImportError('the core imports ' + name)\n"
        "sys.meta_path.insert(0, No())\n"
        f"for name in {names!r}: importlib.import_module('so101_action_queue.core.' + name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nobody_reaches_into_the_parts_of_another() -> None:
    """What others need of the queue, ActionQueue has: no `core._execution`, no `_requests` of somebody else."""
    found = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
                continue
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    assert found == []


def test_every_error_of_the_package_has_one_root() -> None:
    own = [error for _, error in inspect.getmembers(errors, inspect.isclass) if issubclass(error, BaseException)]
    assert len(own) >= 6
    assert all(issubclass(error, ActionQueueError) for error in own)
    for path in MODULES:
        module = import_module(".".join(("so101_action_queue", *path.relative_to(PACKAGE).with_suffix("").parts)))
        defined = [one for _, one in inspect.getmembers(module, inspect.isclass) if one.__module__ == module.__name__]
        assert not [one for one in defined if issubclass(one, BaseException) and one not in own]


def test_long_modules_say_why_they_are_one() -> None:
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > 300:
            assert "One module because" in (ast.get_docstring(ast.parse(text)) or ""), path


@pytest.mark.parametrize(
    ("make", "both"),
    [
        (lambda: Bounds(np.zeros(2), np.ones(3)), "bounds, upper: shape 3, expected 2"),
        (lambda: Bounds(np.zeros((2, 1)), np.ones(2)), "bounds, lower: shape 2 x 1, expected joints"),
        (lambda: Overlap(0, np.zeros((4, 2)), np.zeros((3, 2))), "overlap, new: shape 3 x 2, expected 4 x 2"),
        (lambda: RowsAhead(0, np.zeros((4, 2)), np.zeros(6)), "rows ahead: shape 4 x 2, expected steps x 6"),
        (lambda: Bounds(np.float64(1.0), np.ones(2)), "bounds, lower: shape of a single value, expected joints"),
    ],
)
def test_shapes_are_checked_at_construction_and_both_are_named(make: object, both: str) -> None:
    with pytest.raises(ShapeError, match=f"^{both}$"):
        make()  # type: ignore[operator]
