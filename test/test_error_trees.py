# SPDX-License-Identifier: Apache-2.0
"""One root for the errors of each package, in its errors.py: a caller can catch all that a package raises."""

import ast
import builtins
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("src/so101_*/so101_*/__init__.py"))
BUILTIN = {
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
}


def exceptions(package: Path) -> dict[str, tuple[str, set[str]]]:
    """Module and bases of each error class of a package; private ones stay inside a module and are left out."""
    classes = {
        node.name: (str(path.relative_to(package)), {ast.unparse(base).rpartition(".")[2] for base in node.bases})
        for path in sorted(package.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    found = {name for name, (_module, bases) in classes.items() if bases & BUILTIN}
    while more := {name for name, (_module, bases) in classes.items() if bases & found} - found:
        found |= more
    return {name: classes[name] for name in found if name.endswith("Error") and not name.startswith("_")}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_the_errors_of_a_package_have_one_root_in_its_errors_module(package: Path) -> None:
    found = exceptions(package)
    roots = {name: module for name, (module, bases) in found.items() if not bases & set(found)}
    assert {Path(module).name for module in roots.values()} <= {"errors.py"} and len(roots) <= 1, roots
