# SPDX-License-Identifier: Apache-2.0
"""A how-to page as a test runs it, word for word: the files it shows, its commands, what it says a program answers."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from docs_pages import DOCS, blocks, shown_files

# How the page's `./so101 build` is done here: in the page's folder, not in the workspace that the tests are of.
# linked: the sources and what setup.py says of them, all that a symlinked build makes known. colcon: built, installed.
LINKED, COLCON = "linked", "colcon"


class HowToPage:
    """A page of docs/how-to."""

    def __init__(self, name: str) -> None:
        self.path = DOCS / "how-to" / name
        self.text = self.path.read_text(encoding="utf-8")
        self.files = shown_files(self.path)

    def blocks(self, language: str) -> list[str]:
        """The texts of all blocks of this language, in order."""
        return [block.text for block in blocks(self.path) if block.language == language]

    def commands(self) -> list[str]:
        """The lines of all blocks of shell commands."""
        return [line for text in self.blocks("sh") for line in text.splitlines()]

    def build(self, folder: Path, package: str, how: str = LINKED) -> Path:
        """Write the page's files, run its commands up to `./so101 build`; returns where Python finds the package."""
        for name, body in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(body, encoding="utf-8")
        python = shlex.quote(sys.executable)
        build = {
            LINKED: f"cd src/{package} && {python} setup.py -q egg_info",
            COLCON: f"{python} -m colcon build --merge-install --event-handlers log-",
        }[how]
        commands = self.commands()
        for command in commands[: commands.index("./so101 build") + 1]:
            command = command.replace("./so101 build", build)
            done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        return folder / "src" / package if how == LINKED else next(folder.glob("install/lib/python3*/site-packages"))


def environment_with(modules: Path) -> dict[str, str]:
    """The environment of a process that finds the modules, too."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(modules), os.environ.get("PYTHONPATH", "")])}
