# SPDX-License-Identifier: Apache-2.0
"""A workspace of its own for the tests of `./so101` and of the modules behind it."""

import shutil
from pathlib import Path

import pytest
from so101_workspace.layout import Layout

ROOT = Path(__file__).parents[1]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with the entry script, its requirements and one package; no environment."""
    folder = tmp_path / "ws"
    folder.mkdir()
    shutil.copy2(ROOT / "so101", folder / "so101")
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for module in ("so101_demo/so101_demo/__main__.py", "so101_viewer/so101_viewer/view/__main__.py"):
        (folder / "src" / module).parent.mkdir(parents=True)
        (folder / "src" / module).write_text("")
    return folder


@pytest.fixture
def layout(workspace: Path) -> Layout:
    made = Layout(workspace)
    made.python.parent.mkdir(parents=True)
    made.python.write_text("")
    return made
