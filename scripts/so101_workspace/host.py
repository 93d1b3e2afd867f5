# SPDX-License-Identifier: Apache-2.0
"""What the machine itself must have, and how to get it: compiler and GL library."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .failure import Failure
from .terminal import run_shown, say

_EGL_VENDORS = (Path("/usr/share/glvnd/egl_vendor.d"), Path("/etc/glvnd/egl_vendor.d"))


@dataclass(frozen=True)
class Need:
    """Something only the system's package manager can bring."""

    what: str
    why: str
    packages: tuple[str, ...]
    present: Callable[[], bool]


def _has_compiler() -> bool:
    return any(shutil.which(name) for name in ("c++", "g++", "clang++")) and any(
        shutil.which(name) for name in ("cc", "gcc", "clang")
    )


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _has_offscreen_gl() -> bool:
    """EGL with a vendor's driver behind it, or OSMesa."""
    egl = _loads("libEGL.so.1") and any(folder.is_dir() and any(folder.iterdir()) for folder in _EGL_VENDORS)
    return egl or _loads("libOSMesa.so.8")


COMPILER = Need("C++ compiler", "the message package is compiled", ("g++",), _has_compiler)
OFFSCREEN_GL = Need(
    "GL library that renders without a screen",
    "the virtual cameras are rendered",
    ("libegl1", "libegl-mesa0", "libgl1-mesa-dri", "libgles2"),
    _has_offscreen_gl,
)


def _why_no_wheels() -> str | None:
    machine, system = platform.machine(), platform.system()
    if system != "Linux" or machine != "x86_64":
        return f"the ROS 2 wheels exist for Linux on x86-64, this is {system} on {machine}"
    libc, version = platform.libc_ver()
    if libc != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < (2, 28):
        return f"the ROS 2 wheels need glibc 2.28, this is {libc or 'another libc'} {version}"
    return None


def wheels_fit() -> bool:
    """Whether the ROS 2 wheels are made for this machine."""
    return _why_no_wheels() is None


def check_platform() -> None:
    """Refuse machines the ROS 2 wheels are not made for."""
    why = _why_no_wheels()
    if why is not None:
        raise Failure(
            f"{why}; for a robot computer install ROS 2 Jazzy from apt, then `./so101 setup robot` uses it (the steps, "
            "other systems and the server: docs/how-to/install.md)"
        )


def require(needs: list[Need]) -> None:
    """Install what is missing if we may (root on Debian or Ubuntu); otherwise say what to type."""
    missing = [need for need in needs if not need.present()]
    if not missing:
        return
    packages = [package for need in missing for package in need.packages]
    what = "; ".join(f"no {need.what} found ({need.why})" for need in missing)
    line = "apt-get update && apt-get install -y --no-install-recommends " + " ".join(packages)
    if not shutil.which("apt-get"):
        raise Failure(f"{what}; install it with this system's package manager (Debian: {' '.join(packages)})")
    if not may_install():
        raise Failure(f"{what}; type: sudo sh -c '{line}'")
    install(packages)
    still = [need for need in missing if not need.present()]
    if still:
        names = " and ".join(need.what for need in still)
        raise Failure(f"{names} is still missing after apt-get; check the network, then type: {line}")


def may_install() -> bool:
    """Whether we are root where apt-get is."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: list[str]) -> None:
    """Ask apt-get for packages; whether they came is for the caller to see."""
    say("installing system packages: " + " ".join(packages))
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=120", "-qq"]
    run_shown([*apt, "update"], env)
    run_shown([*apt, "install", "-y", "--no-install-recommends", *packages], env)
