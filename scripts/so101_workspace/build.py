# SPDX-License-Identifier: Apache-2.0
"""Builds the workspace with colcon, only the packages that changed. Python modules are linked and need no build."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Callable

from . import activation, stamp
from .failure import Failure
from .layout import Layout
from .terminal import Outcome, run_shown, say

_BASE_PATHS = ("msg", "config", "launch", "src")
ROBOT = "so101_bringup"
"""The package whose dependencies are what a robot computer gets."""
# What package.xml names for building and running; what the tests alone need is left out.
DEPENDS = re.compile(r"<(?:depend|build_depend|buildtool_depend|exec_depend)>\s*([\w-]+)\s*<")
_STAMP = ".so101.json"
_PYTHON_MESSAGES_ONLY = "-DCMAKE_PROJECT_so101_msgs_INCLUDE={}/scripts/cmake/python_messages_only.cmake"
_FOR_ONE_PACKAGE = "--no-warn-unused-cli"  # the others would warn of a variable that is not theirs
_SKIPPED = {"__pycache__", "test", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}
# Files whose text decides the outcome of a build. Of all others (linked into install/) only the names do.
_READ = re.compile(r"(^|/)(package\.xml|setup\.py|setup\.cfg|CMakeLists\.txt)$|\.(msg|srv|action|cmake|in)$")


def packages(layout: Layout) -> dict[str, Path]:
    """Folders of the workspace's packages by name."""
    found = {}
    for base in _BASE_PATHS:
        folder = layout.root / base
        for manifest in [folder / "package.xml", *sorted(folder.glob("*/package.xml"))]:
            if not manifest.is_file() or (manifest.parent / "COLCON_IGNORE").exists():
                continue
            match = re.search(r"<name>\s*([\w-]+)\s*</name>", manifest.read_text(encoding="utf-8"))
            if match:
                found[match.group(1)] = manifest.parent
    return found


def robot_packages(layout: Layout) -> dict[str, Path]:
    """Folders of the packages that a robot computer needs, by name: so101_bringup and all that its package.xml names.

    No policy server, no simulator, no weights.
    """
    return packages_up_to(layout, ROBOT)


def packages_up_to(layout: Layout, package: str) -> dict[str, Path]:
    """Folders of `package` and of all that it depends on, by name; all packages where there is no such package."""
    found = packages(layout)
    if package not in found:
        return found
    wanted, ahead = set(), [package]
    while ahead:
        name = ahead.pop()
        if name in found and name not in wanted:
            wanted.add(name)
            ahead += DEPENDS.findall((found[name] / "package.xml").read_text(encoding="utf-8"))
    return {name: folder for name, folder in found.items() if name in wanted}


def robot_manifests(layout: Layout) -> list[Path]:
    """package.xml of each package that a robot computer needs."""
    return [folder / "package.xml" for folder in robot_packages(layout).values()]


def fingerprint(layout: Layout, folder: Path) -> str:
    """Hash of what decides the build of the package in `folder`."""
    parts = [str(layout.root).encode(), str(stamp.read(layout.venv_stamp).get("ros") or "").encode()]
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_dir() or _SKIPPED.intersection(relative.parts) or ".egg-info" in str(relative):
            continue
        name = relative.as_posix()
        if _READ.search(name):
            parts += [name.encode(), path.read_bytes()]
        elif path.suffix not in (".py", ".pyc"):
            parts.append(name.encode())
    meta = layout.root / "colcon.meta"
    parts.append(meta.read_bytes() if meta.exists() else b"")
    return stamp.digest(*parts)


def out_of_date(layout: Layout, package: str = "") -> dict[str, str]:
    """Packages that need a build, with their present fingerprints. Empty: nothing to do.

    `package`: look at this one and what it depends on, no further; "" = at all.
    """
    record = stamp.read(layout.install / _STAMP)
    built = record.get("packages", {})
    wanted = packages_up_to(layout, package) if package else packages(layout)
    present = {name: fingerprint(layout, folder) for name, folder in wanted.items()}
    if not (layout.install / "setup.bash").exists() or set(built) - set(packages(layout)):
        return present
    return {
        name: value
        for name, value in present.items()
        if built.get(name) != value or not (layout.install / name).is_dir()  # removed by hand, to have it built again
    }


def refuse_foreign_install(layout: Layout) -> None:
    """Raise Failure if install/ holds what a plain colcon built: packages linked to another ROS than `.venv`'s."""
    if layout.install.is_dir() and any(layout.install.iterdir()) and not (layout.install / _STAMP).exists():
        raise Failure(
            "install/ was built by plain colcon, and ./so101 does not replace it; with ROS from apt use `ros2 launch "
            "so101_bringup FILE` and `ros2 run so101_doctor doctor`; for ./so101 make a second clone, or remove build "
            "and install"
        )


def built_elsewhere(layout: Layout) -> str | None:
    """The folder that the workspace was in when it was built, if that is another one: it was moved or copied since."""
    recorded = stamp.read(layout.install / _STAMP)
    prefix = recorded.get("environment", {}).get("COLCON_PREFIX_PATH")  # all that older records have
    root = recorded.get("root") or (str(Path(prefix.split(":")[0]).parent) if prefix else None)
    return root if root != str(layout.root) else None


def _remove_what_does_not_fit(layout: Layout) -> None:
    """Links in install/ lead to the sources of the old place, and CMake refuses a build folder that has moved."""
    old = built_elsewhere(layout)
    recorded = stamp.read(layout.install / _STAMP)
    ros = stamp.read(layout.venv_stamp).get("ros")
    if old is not None:
        say(f"this workspace was built in {old}; building it again where it is now")
    elif recorded and recorded.get("ros") != ros:
        say(f"this workspace was built on {_name(recorded.get('ros'))}; building it again on {_name(ros)}")
    else:
        return
    for folder in (layout.build, layout.install):
        shutil.rmtree(str(folder), ignore_errors=True)


def _name(ros: object) -> str:
    return f"the ROS in {ros}" if ros else "the ROS wheels"


def run(layout: Layout, runner: Callable[..., Outcome] = run_shown, package: str = "") -> None:
    """Build what is out of date, as `out_of_date` says. Raises Failure.

    The caller holds the workspace lock, and `.venv` holds the group base.

    `runner` starts colcon: `run_shown`, or `run_quiet` where the screen is busy with something else.
    """
    changed = out_of_date(layout, package)
    if not changed:
        return
    refuse_foreign_install(layout)
    ros = stamp.read(layout.venv_stamp).get("ros")
    _remove_what_does_not_fit(layout)
    say("building " + ", ".join(sorted(changed)))
    if not (layout.install / _STAMP).exists():
        stamp.write(
            layout.install / _STAMP, {"root": str(layout.root), "ros": ros}
        )  # an interrupted first build is known as ours
    before = stamp.read(layout.install / _STAMP).get("packages", {})
    built = {name: value for name, value in before.items() if name not in changed}
    from_nothing = {name for name in changed if (packages(layout)[name] / "CMakeLists.txt").is_file()}
    for name in from_nothing | set(before) - set(packages(layout)):
        # Gone; or its set of files may have changed, which the second run of a build folder does not always take in:
        # after a pull that brought a message, Python found "undefined symbol: so101_msgs__msg__..." in the library.
        built.pop(name, None)
        shutil.rmtree(str(layout.install / name), ignore_errors=True)
        shutil.rmtree(str(layout.build / name), ignore_errors=True)
    env = activation.underlay(layout)
    # Without it colcon passes `-l <cores>`, and a busy machine compiles one file at a time.
    env.setdefault("MAKEFLAGS", f"-j{max(2, os.cpu_count() or 2)}")
    if not ros:
        env.setdefault("CMAKE_GENERATOR", "Ninja")  # comes with .venv; make may be missing
    env["PYTHONWARNINGS"] = "ignore"  # setuptools' warnings about its own `develop`, which colcon's symlinks need
    # By .venv's Python, also where colcon is the system's: programs start with the Python that built them.
    colcon = [str(layout.python), "-m", "colcon", "--log-base", str(layout.log), "build", "--symlink-install"]
    colcon += ["--base-paths", *(str(layout.root / base) for base in _BASE_PATHS)]
    colcon += ["--build-base", str(layout.build), "--install-base", str(layout.install)]
    colcon += ["--packages-select", *sorted(changed)]
    if not ros:  # apt's rviz and rosbag2 are C++ and want the messages too
        colcon += ["--cmake-args", _PYTHON_MESSAGES_ONLY.format(layout.root), _FOR_ONE_PACKAGE]
    outcome = runner(colcon, env, cwd=layout.root)
    if outcome.code != 0:
        if runner is not run_shown:
            print(outcome.tail, file=sys.stderr, flush=True)
        raise Failure("the build failed (output above, logs in log/latest_build); correct it and try again")
    built.update(changed)
    done = {"packages": built, "environment": activation.record(layout), "root": str(layout.root), "ros": ros}
    stamp.write(layout.install / _STAMP, done)
    say("built")


def environment(layout: Layout, *, alone: bool = False) -> dict[str, str]:
    """Variables for programs of the built workspace; `alone` as in `activation.overlay`."""
    return activation.overlay(layout, stamp.read(layout.install / _STAMP).get("environment", {}), alone=alone)
