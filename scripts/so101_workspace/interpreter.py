# SPDX-License-Identifier: Apache-2.0
"""Finds a Python 3.12 that can build C extensions, or fetches one with uv."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import host
from .failure import Failure
from .layout import Layout
from .terminal import run_quiet, say

WANTED = (3, 12)  # of Ubuntu 24.04, the home of ROS 2 Jazzy; LeRobot 0.6 needs it too

_PROBE = (
    "import json, os, sys, sysconfig;"
    "header = os.path.join(sysconfig.get_path('include'), 'Python.h');"
    "own = os.path.join(sys.base_prefix, 'bin', 'python%d.%d' % sys.version_info[:2]);"
    "own = own if os.path.exists(own) else sys.executable;"
    "print(json.dumps([own, list(sys.version_info[:2]), os.path.exists(header)]))"
)


@dataclass(frozen=True)
class Interpreter:
    """A Python that ran: its path (never a virtual environment's), version, and whether it has C headers."""

    path: str
    version: tuple[int, int]
    has_headers: bool


def probe(path: str) -> Interpreter | None:
    """Start the Python at `path` and ask what it is; None if it does not start (a pyenv shim without that version)."""
    outcome = run_quiet([path, "-I", "-S", "-c", _PROBE], timeout_s=20.0)
    if outcome.code != 0:
        return None
    try:
        own, (major, minor), has_headers = json.loads(outcome.last_line)
    except (ValueError, TypeError):
        return None
    return Interpreter(str(own), (int(major), int(minor)), bool(has_headers))


def candidates() -> list[str]:
    """Paths where a Python 3.12 may be: by name on PATH, pyenv's versions, the usual folders. No duplicates."""
    found = [shutil.which(name) for name in ("python3.12", "python3", "python")]
    roots = [os.environ.get("PYENV_ROOT"), str(Path.home() / ".pyenv")]
    for root in roots:
        if root:
            versions = sorted(Path(root).glob("versions/3.12*/bin/python3.12"), key=_patch_level, reverse=True)
            found.extend(str(path) for path in versions)
    found.extend(["/usr/bin/python3.12", "/usr/local/bin/python3.12"])
    return list(dict.fromkeys(path for path in found if path and Path(path).exists()))


def find(layout: Layout, uv: str, env: dict[str, str]) -> str:
    """Return the path of a Python 3.12 with headers; fetch one into the workspace if the machine has none."""
    matching = _matching()
    if matching and not matching[0].has_headers and host.may_install():
        host.install(["python3.12-dev"])
        matching = _matching()
    if matching and matching[0].has_headers:
        return matching[0].path
    reason = "no Python 3.12 found"
    if matching:
        reason = f"{matching[0].path} has no C headers (python3.12-dev)"
    say(reason + "; fetching one with uv")
    env = dict(env, UV_PYTHON_INSTALL_DIR=str(layout.tools / "python"))
    outcome = run_quiet([uv, "python", "install", "--no-bin", "3.12"], env)
    if outcome.code == 0:
        managed = run_quiet([uv, "python", "find", "--managed-python", "3.12"], env)
        if managed.code == 0 and probe(managed.last_line):
            return managed.last_line
    raise Failure(
        reason + " and uv could not fetch one; install it (Ubuntu 24.04: apt-get install python3.12-dev; "
        "elsewhere: pyenv install 3.12, or set UV_PYTHON_INSTALL_MIRROR) and try again"
    )


def _matching() -> list[Interpreter]:
    """Every Python 3.12 of this machine, those with headers first."""
    found = [it for it in map(probe, candidates()) if it is not None and it.version == WANTED]
    return sorted(found, key=lambda it: not it.has_headers)


def _patch_level(path: Path) -> list[int]:
    return [int(part) for part in path.parents[1].name.split(".") if part.isdigit()]
