# SPDX-License-Identifier: Apache-2.0
"""A package with entry points on the import path, as an installer lays it."""

from collections.abc import Callable
from pathlib import Path

import pytest

Install = Callable[..., None]
"""Lays a package: its name, its entry points, and the text of its `module` where that is not the usual one."""


def lay_package(folder: Path, package: str, group: str, points: tuple[str, ...], module: str) -> None:
    """Write a package of one module into `folder`; `points`: lines such as `name = module:function`."""
    (folder / f"{package}.py").write_text(module)
    information = folder / f"{package}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("\n".join((f"[{group}]", *points, "")))


def installer(folder: Path, monkeypatch: pytest.MonkeyPatch, group: str, usual: str) -> Install:
    """Put `folder` on the import path, and return what lays packages with entry points of the group into it."""
    monkeypatch.syspath_prepend(str(folder))

    def lay(package: str, *points: str, module: str = usual) -> None:
        lay_package(folder, package, group, points, module)

    return lay
