# SPDX-License-Identifier: Apache-2.0
"""The environment variables that programs of the workspace run with: those of `.venv` and `install/setup.bash`.

Sourcing the set-up scripts takes a second; their effect is therefore recorded once per build and applied from there.
"""

from __future__ import annotations

import os
from pathlib import Path

from . import stamp
from .failure import Failure
from .layout import Layout
from .terminal import run_quiet

# Left over from another ROS installation, these would mix its packages with ours.
_FOREIGN = (
    "AMENT_CURRENT_PREFIX",
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "ROS_DISTRO",
    "ROS_PYTHON_VERSION",
    "ROS_VERSION",
    "VIRTUAL_ENV",
    "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)
_DDS_CHOICES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")
_LISTS = ("PATH", "LD_LIBRARY_PATH")


def underlay(layout: Layout) -> dict[str, str]:
    """Variables to build with, or to run Python with before anything is built: `.venv`, and the ROS it was made on."""
    env = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    libraries = [entry for entry in env.get("LD_LIBRARY_PATH", "").split(":") if entry and "/opt/ros/" not in entry]
    path = [entry for entry in env.get("PATH", os.defpath).split(":") if entry and "/opt/ros/" not in entry]
    record = stamp.read(layout.venv_stamp)
    if record.get("ros"):
        env.update({name: value for name, value in record["environment"].items() if name not in _LISTS})
        for name, entries in (("PATH", path), ("LD_LIBRARY_PATH", libraries)):
            env[name] = ":".join([*filter(None, record["environment"].get(name, "").split(":")), *entries])
        env["PATH"] = ":".join([str(layout.venv / "bin"), env["PATH"]])
        env["VIRTUAL_ENV"] = str(layout.venv)
        return env
    site_packages = sorted(layout.venv.glob("lib/python3*/site-packages/ros_*.libs"))
    # What the wheels' start-up hook would set by starting Python a second time.
    env["LD_LIBRARY_PATH"] = ":".join([str(layout.venv / "lib"), *map(str, site_packages), *libraries])
    env["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"
    env["PATH"] = ":".join([str(layout.venv / "bin"), *path])
    env["VIRTUAL_ENV"] = str(layout.venv)
    if env.pop("PYTHONDONTWRITEBYTECODE", None):
        # Importing LeRobot takes 10 s of CPU without compiled files and 4 s with them; these leave the sources alone.
        env["PYTHONPYCACHEPREFIX"] = str(layout.venv / "pycache")
    env["AMENT_PREFIX_PATH"] = str(layout.venv)
    return env


def record(layout: Layout) -> dict[str, str]:
    """Source `install/setup.bash` in a bare shell and return what it sets; list variables hold only what it adds."""
    try:
        return sourced(layout.install / "setup.bash")
    except Failure as failure:
        raise Failure(f"{failure}; remove build and install, then try again") from failure


def sourced(script: Path) -> dict[str, str]:
    """What a set-up script sets in a bare shell; list variables hold only what it adds. Raises Failure."""
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    outcome = run_quiet(["bash", "--noprofile", "--norc", "-c", f". '{script}' && env -0"], bare)
    if outcome.code != 0:
        raise Failure(f"{script} does not run ({outcome.tail.strip()})")
    found = dict(entry.split("=", 1) for entry in outcome.tail.split("\0") if "=" in entry)
    kept = {}
    for name, value in found.items():
        if name in _LISTS:
            known = bare.get(name, "").split(":")
            kept[name] = ":".join(entry for entry in value.split(":") if entry and entry not in known)
        elif name not in bare and name not in ("PWD", "SHLVL", "_", "OLDPWD"):
            kept[name] = value
    return kept


def overlay(layout: Layout, recorded: dict[str, str], *, alone: bool = False) -> dict[str, str]:
    """Variables to run programs of the workspace with: `.venv`, and on it what `record` returned.

    `alone`: the program brings its own robot, and no other computer is to hear it.
    """
    env = underlay(layout)
    for name, value in recorded.items():
        if name in _LISTS:
            env[name] = ":".join(entry for entry in (value, env.get(name, "")) if entry)
        else:
            env[name] = value
    if not any(name in env for name in _DDS_CHOICES):
        # Programs that look on, such as `ros2 topic echo`, must not bring shared memory in: fastdds_udp.xml says why.
        # With that file they would hear this computer alone, with the other one both.
        profile = "fastdds_udp.xml" if alone else "fastdds_network.xml"
        env["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(layout.root / "config" / profile)
    return env
