# SPDX-License-Identifier: Apache-2.0
"""What every half needs of the computer: Python, ROS 2, the built workspace, room on the disk."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from so101_doctor.check import Checks, Part
from so101_doctor.environment import check_distribution

_PART = Part("machine")
# A computer may have one half only; the first package of a half tells that it is meant to be there.
_HALVES = (
    ("so101_bringup", "so101_msgs", "so101_driver", "so101_action_queue", "so101_camera"),
    ("so101_policy_server", "so101_msgs"),
)
_FREE_BYTES = 1_000_000_000


def check_machine() -> Checks:
    """Python, packages, cores, disk."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 12):
        yield _PART.green("Python", version)
    else:
        yield _PART.yellow("Python", f"{version}; ROS 2 Jazzy and this workspace are made for 3.12", "./so101 setup")
    yield from check_distribution()
    missing = _not_built()
    if missing:
        yield _PART.red("packages", f"not built: {', '.join(missing)}", "./so101 build, or colcon build")
    else:
        there = [half[0] for half in _HALVES if _is_built(half[0])]
        yield _PART.green("packages", "all built" if len(there) == len(_HALVES) else f"those of {there[0]} are built")
    cores = os.cpu_count() or 1
    if cores >= 2:
        yield _PART.green("cores", str(cores))
    else:
        yield _PART.yellow(
            "cores", "one; the control loop runs on it beside everything else", "a computer with two cores"
        )
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 1e9:.1f} GB free here"
    if free < _FREE_BYTES:
        yield _PART.yellow("disk", text, "free some space before recording")
    else:
        yield _PART.green("disk", text)


def _not_built() -> list[str]:
    wanted = [half for half in _HALVES if _is_built(half[0])] or _HALVES
    return [name for name in dict.fromkeys(name for half in wanted for name in half) if not _is_built(name)]


def _is_built(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True
