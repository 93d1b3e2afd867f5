# SPDX-License-Identifier: Apache-2.0
"""Where the workspace keeps its things."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .failure import Failure

_UNFIT = re.compile(r"""[\s:;,'"`$&|<>()\[\]*?!#\\]""")


@dataclass(frozen=True)
class Layout:
    """Paths of one workspace; nothing outside `root` is ever written."""

    root: Path

    @property
    def venv(self) -> Path:
        """The Python environment of this workspace."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """Interpreter of `.venv`."""
        return self.venv / "bin" / "python"

    @property
    def venv_stamp(self) -> Path:
        """Record of what `.venv` holds and on which ROS."""
        return self.venv / ".so101.json"

    @property
    def tools(self) -> Path:
        """uv, a Python fetched by uv, and the lock; ignored by git."""
        return self.root / ".tools"

    @property
    def requirements(self) -> Path:
        """Names of the Python packages, by group, and their versions."""
        return self.root / "requirements"

    @property
    def option_page(self) -> Path:
        """The page of the docs with every verb's options."""
        return self.root / "docs" / "reference" / "command_line.md"

    def launch_files(self) -> list[Path]:
        """The launch files of the workspace's packages, as they lie in the sources."""
        return [*self.root.glob("launch/*.launch.xml"), *self.root.glob("src/*/launch/*.launch.xml")]

    @property
    def install(self) -> Path:
        """Where colcon installs."""
        return self.root / "install"

    @property
    def build(self) -> Path:
        """Where colcon builds."""
        return self.root / "build"

    @property
    def log(self) -> Path:
        """Where colcon logs."""
        return self.root / "log"


def check_place(layout: Layout) -> None:
    """Refuse a folder whose path ROS's set-up scripts and CMake do not handle: with a space they lead to nothing."""
    match = _UNFIT.search(str(layout.root))
    if match:
        raise Failure(
            f"the path of this workspace, {str(layout.root)!r}, has the character {match.group()!r}, which the set-up "
            "scripts of colcon cannot handle; move the workspace to a path without it"
        )


def this_workspace() -> Layout:
    """The workspace this file belongs to."""
    return Layout(Path(__file__).resolve().parents[2])
