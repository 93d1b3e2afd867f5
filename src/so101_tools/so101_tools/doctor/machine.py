"""What every half needs of the computer: Python, ROS 2, the built workspace, room on the disk."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from so101_tools.doctor.check import Checks, Part
from so101_tools.doctor.environment import check_distribution

_PART = Part("machine")
_PACKAGES = ("so101_msgs", "so101_bringup", "so101_driver", "so101_action_queue", "so101_camera", "so101_policy_server")
_FREE_BYTES = 1_000_000_000


def check_machine() -> Checks:
    """Python, packages, cores, disk."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 12):
        yield _PART.green("Python", version)
    else:
        yield _PART.yellow("Python", f"{version}; ROS 2 Jazzy and this workspace are made for 3.12", "./so101 setup")
    yield from check_distribution()
    missing = [name for name in _PACKAGES if not _is_built(name)]
    if missing:
        yield _PART.red("packages", f"not built: {', '.join(missing)}", "./so101 build, or colcon build")
    else:
        yield _PART.green("packages", "all built")
    cores = os.cpu_count() or 1
    if cores >= 2:
        yield _PART.green("cores", str(cores))
    else:
        yield _PART.yellow("cores", "one; the control loop shares it with everything", "a computer with two cores")
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 1e9:.1f} GB free here"
    if free < _FREE_BYTES:
        yield _PART.yellow("disk", text, "make room before recording")
    else:
        yield _PART.green("disk", text)


def _is_built(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True
