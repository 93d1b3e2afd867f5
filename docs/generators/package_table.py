# SPDX-License-Identifier: Apache-2.0
"""Prints the packages, what each needs of the others, and its executables, from package.xml and setup.py.

`./so101 ros python docs/generators/package_table.py > docs/reference/packages.md`
"""

import ast
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
MANIFESTS = ("msg", "config", "launch", "src/*", "desktop")
_NEEDS = ("depend", "build_depend", "exec_depend", "buildtool_depend", "build_export_depend")

HEADER = """# Packages

Written by `./so101 ros python docs/generators/package_table.py` from each `package.xml`; a test keeps it current. A
package stands above everything it depends on, and there is no circle. [Architecture](../explanation/architecture.md)
says how they work together.
"""


@dataclass(frozen=True)
class Package:
    """One package.xml: what it says, and the console scripts of the setup.py beside it."""

    name: str
    folder: str
    description: str
    needs: frozenset[str]
    executables: tuple[str, ...]


def packages() -> dict[str, Package]:
    """The packages of the workspace by name; `needs` holds only names of these."""
    files = [path for pattern in MANIFESTS for path in sorted(ROOT.glob(f"{pattern}/package.xml"))]
    trees = {path: ET.parse(path).getroot() for path in files}
    names = {tree.findtext("name", "").strip() for tree in trees.values()}
    found = {}
    for path, tree in trees.items():
        needs = {one.text.strip() for tag in _NEEDS for one in tree.iterfind(tag) if one.text} & names
        name = tree.findtext("name", "").strip()
        description = " ".join("".join(tree.find("description").itertext()).split())  # type: ignore[union-attr]
        folder = path.parent.relative_to(ROOT).as_posix()
        found[name] = Package(name, folder, description, frozenset(needs), _executables(path.with_name("setup.py")))
    return found


def floors(known: dict[str, Package]) -> list[list[str]]:
    """Package names by the length of the longest way down, the ground floor first. ValueError for a circle."""
    height: dict[str, int] = {}
    left = dict(known)
    while left:
        free = [name for name, package in left.items() if package.needs <= set(height)]
        if not free:
            raise ValueError(f"packages depend on each other in a circle: {', '.join(sorted(left))}")
        for name in free:
            height[name] = 1 + max((height[one] for one in known[name].needs), default=-1)
            del left[name]
    return [sorted(name for name in height if height[name] == floor) for floor in range(max(height.values()) + 1)]


def direct(known: dict[str, Package], name: str) -> list[str]:
    """What `name` needs, without what these need in turn."""
    needs = known[name].needs
    return sorted(one for one in needs if not any(one in _all_needs(known, other) for other in needs))


def document() -> str:
    """The page."""
    known = packages()
    lines = [HEADER, "| Floor | Packages |", "|---|---|"]
    lines += [
        f"| {number} | {', '.join(map(_code, names))} |" for number, names in reversed([*enumerate(floors(known))])
    ]
    lines += ["", "A dependency that follows from another one in the row is left out.", ""]
    lines += ["| Package | What it does | Depends on | Executables |", "|---|---|---|---|"]
    for names in reversed(floors(known)):
        for name in names:
            one = known[name]
            place = "" if one.folder == f"src/{name}" else f" (in `{one.folder}/`)"
            needs = ", ".join(map(_code, direct(known, name)))
            lines.append(
                f"| `{name}`{place} | {one.description} | {needs} | {', '.join(map(_code, one.executables))} |"
            )
    return "\n".join(lines) + "\n"


def _all_needs(known: dict[str, Package], name: str) -> set[str]:
    needs = known[name].needs
    return set(needs).union(*(_all_needs(known, one) for one in needs))


def _executables(setup: Path) -> tuple[str, ...]:
    if not setup.is_file():
        return ()
    for node in ast.walk(ast.parse(setup.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "console_scripts":
                    return tuple(str(line).partition("=")[0].strip() for line in ast.literal_eval(value))
    return ()


def _code(name: str) -> str:
    return f"`{name}`"


if __name__ == "__main__":
    sys.stdout.write(document())
