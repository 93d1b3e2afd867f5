# SPDX-License-Identifier: Apache-2.0
"""A ROS 2 Jazzy that apt installed: where the wheels are not made for the machine, or where a lab prefers it.

`.venv` then sees the packages of the system, and holds only what apt has no package for. It serves a robot computer:
arm, cameras, queue, recording, replay. LeRobot, the simulator and the tests come with the wheels.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from . import activation, build, host, installer, interpreter, stamp
from .failure import Failure
from .layout import Layout
from .terminal import run_quiet, run_shown, say

APT = Path("/opt/ros/jazzy")
GROUPS = frozenset({"base", "robot", "tools"})
PAGE = "docs/how-to/install.md"

# Python modules of Debian packages that are not called like them.
_MODULES = {"opencv": "cv2", "pil": "PIL", "serial": "serial", "yaml": "yaml"}
_PROGRAMS = {"ffmpeg": "ffmpeg", "iproute2": "ip"}  # Debian package -> a program that it brings
_ABSENT = "import importlib.util as u, sys; print(*[n for n in sys.argv[1:] if u.find_spec(n) is None])"


def choose(layout: Layout, asked: str | None = None, *, robot_only: bool = False) -> Path | None:
    """Return the prefix of the ROS to use, None for the wheels.

    That is the one `asked` for (`apt`, `wheels`, or a prefix); else the one that `.venv` was made on; else apt's, if it
    is there and the wheels are not made for this machine or a robot computer is all that is wanted. Raises Failure if
    the prefix holds no ROS 2 Jazzy.
    """
    if asked == "wheels":
        return None
    if asked:
        return _checked(APT if asked == "apt" else Path(asked).absolute())
    recorded = stamp.read(layout.venv_stamp)
    if recorded.get("ros"):
        return _checked(Path(str(recorded["ros"])))
    if not is_there(APT):
        return None
    if not host.wheels_fit():
        return _checked(APT)
    if robot_only and not recorded:
        try:
            python_of(_checked(APT))
            return APT
        except Failure as failure:
            say(f"{failure}; taking the ROS wheels")
    return None


def is_there(prefix: Path) -> bool:
    """Whether `prefix` holds an installation of ROS."""
    return (prefix / "setup.bash").is_file()


def _checked(prefix: Path) -> Path:
    if not is_there(prefix):
        raise Failure(
            f"no ROS 2 in {prefix} (no setup.bash there); install ros-jazzy-ros-base from apt ({PAGE} has the steps) "
            "or name its folder with --ros"
        )
    if not (prefix / "share" / "rclpy").is_dir():
        raise Failure(f"the ROS 2 in {prefix} has no rclpy; type: sudo apt-get install ros-jazzy-ros-base")
    return prefix


def python_of(prefix: Path) -> str:
    """The Python that the ROS in `prefix` was installed for, as its own programs name it. Raises Failure."""
    try:
        first = (prefix / "bin" / "ros2").read_bytes().split(b"\n", 1)[0].decode("utf-8", "replace")
    except OSError:
        first = ""
    path = first[2:].strip() if first.startswith("#!/") and " " not in first[2:].strip() else "/usr/bin/python3"
    found = interpreter.probe(path)
    if found is None or found.version != interpreter.WANTED:
        version = "does not start" if found is None else "is Python {}.{}".format(*found.version)
        raise Failure(
            f"{path}, which the ROS in {prefix} uses, {version}; ROS 2 Jazzy has Python 3.12 (Ubuntu 24.04). For other "
            f"systems see {PAGE}"
        )
    return path


def missing_packages(layout: Layout, prefix: Path, python: str, manifests: list[Path]) -> list[str]:
    """Debian packages that the workspace's packages ask for and that are not there, sorted.

    `manifests`: package.xml files. What a package needs for its tests alone is left out.
    """
    texts = [path.read_text(encoding="utf-8") for path in manifests]
    own = {match for text in texts for match in re.findall(r"<name>\s*([\w-]+)\s*</name>", text)}
    keys = {key for text in texts for key in build.DEPENDS.findall(text)} - own
    modules = {key: _module(key) for key in keys if key.startswith("python3-")}
    modules.update({"python3-colcon-common-extensions": "colcon_core", "python3-venv": "ensurepip"})
    env = activation.sourced(prefix / "setup.bash")
    outcome = run_quiet([python, "-c", _ABSENT, *sorted(modules.values())], dict(_bare_path(), **env))
    if outcome.code != 0:
        raise Failure(f"{python} does not run in the environment of {prefix} ({outcome.last_line})")
    absent = set(outcome.tail.split())
    missing = {key for key, module in modules.items() if module in absent}
    for key in keys - set(modules):
        if key in _PROGRAMS:
            if not shutil.which(_PROGRAMS[key]):
                missing.add(key)
        elif not (prefix / "share" / key).is_dir():
            missing.add("ros-jazzy-" + key.replace("_", "-"))
    return sorted(missing)


def _module(key: str) -> str:
    name = key[len("python3-") :]
    return _MODULES.get(name, name.replace("-", "_"))


def _bare_path() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def prepare(layout: Layout, prefix: Path, manifests: list[Path]) -> None:
    """Make `.venv` on the ROS in `prefix`. The caller holds the workspace lock. Raises Failure with the remedy."""
    python = python_of(prefix)
    host.require([host.COMPILER])
    _bring(layout, prefix, python, manifests)
    try:
        layout.venv_stamp.unlink(missing_ok=True)
        say(f"making .venv with {python} on the ROS in {prefix}")
        made = run_quiet([python, "-m", "venv", "--clear", "--system-site-packages", str(layout.venv)])
        if made.code != 0:
            raise installer.explain(made, "making .venv", layout.root)
        requirements = str(layout.requirements / "system_ros.txt")
        pip = [str(layout.python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        done = run_shown([*pip, "--requirement", requirements], installer.environment(layout), hide=installer.HIDDEN)
        if done.code != 0:
            raise installer.explain(done, "installing packages", layout.root)
        record = {
            "groups": sorted(GROUPS),
            "ros": str(prefix),
            "environment": activation.sourced(prefix / "setup.bash"),
        }
        stamp.write(layout.venv_stamp, dict(record, inputs=inputs(layout, prefix)))
        outcome = run_quiet([str(layout.python), "-c", "import rclpy"], activation.underlay(layout))
        if outcome.code != 0:
            layout.venv_stamp.unlink(missing_ok=True)
            raise Failure(f"rclpy does not start in .venv on the ROS in {prefix} ({outcome.last_line})")
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}; free space or give write access, then try again") from error
    say(f"environment ready: a robot computer, on the ROS in {prefix}")


def _bring(layout: Layout, prefix: Path, python: str, manifests: list[Path]) -> None:
    """Install what is missing if we may, else say what to type."""
    missing = missing_packages(layout, prefix, python, manifests)
    if not missing:
        return
    if host.may_install():
        host.install(missing)
        missing = missing_packages(layout, prefix, python, manifests)
    if missing:
        line = "apt-get update && apt-get install -y --no-install-recommends " + " ".join(missing)
        raise Failure(f"packages of the system are missing; type: sudo sh -c '{line}'")


def inputs(layout: Layout, prefix: Path) -> str:
    """Hash of all that decides what `.venv` on a system's ROS holds."""
    text = (layout.requirements / "system_ros.txt").read_bytes()
    return stamp.digest(str(layout.venv).encode(), str(prefix).encode(), text)


def refuse(needs: frozenset[str], prefix: Path) -> None:
    """Raise Failure for what does not run on a system's ROS here."""
    if not needs <= GROUPS:
        raise Failure(
            f"on the ROS in {prefix} ./so101 sets up a robot computer: launch robot.launch.xml and replay.launch.xml, "
            f"cameras, doctor, record, replay; demo, test, view and the server need the wheels (on x86-64: ./so101 "
            f"setup all --ros wheels), or see {PAGE}"
        )
