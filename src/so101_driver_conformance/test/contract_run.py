# SPDX-License-Identifier: Apache-2.0
"""Runs check_driver as people do, and the files of the how-to page."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "add_a_robot.md"
FILE = re.compile(r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page_files() -> dict[str, str]:
    """Text of each file of the page, by its name."""
    return dict(FILE.findall(PAGE.read_text(encoding="utf-8")))


def page_blocks(language: str) -> list[str]:
    """Code blocks of one language."""
    return [body for name, body in FENCE.findall(PAGE.read_text(encoding="utf-8")) if name == language]


def check(folder: Path, *words: str) -> tuple[int, list[str]]:
    """Run check_driver there; its exit code, and what it said of each rule."""
    done = subprocess.run(
        [sys.executable, "-m", "so101_driver_conformance.check_driver", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    _, _, said = done.stdout.partition("contract of a driver")
    lines = [line for line in said.splitlines() if line.startswith(("ok ", "left out ", "BROKEN "))]
    assert lines, done.stdout + done.stderr
    return done.returncode, lines
