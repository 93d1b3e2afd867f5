# SPDX-License-Identifier: Apache-2.0
"""Makes `.venv`: the ROS 2 Jazzy wheels, LeRobot, the simulator and the tools, at pinned versions.

The stamp inside `.venv` is written last. Without it nothing in `.venv` is trusted: what is there is compared with
its own records, file by file, and what is missing or damaged is installed again. While that goes on, a stamp without
the hash of its inputs remembers which groups this machine had.
"""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

from . import host, installer, interpreter, stamp, system_ros
from .failure import Failure
from .layout import Layout
from .terminal import run_quiet, run_shown, say

# What each profile installs: files in requirements/, each named after what it is for.
PROFILES: dict[str, frozenset[str]] = {
    "robot": frozenset({"base", "robot"}),
    "server": frozenset({"base", "server"}),
    "ray": frozenset({"base", "server", "ray"}),
    "all": frozenset({"base", "robot", "server", "sim", "tools", "view", "dev"}),
}
_ORDER = ("base", "robot", "server", "ray", "sim", "tools", "view", "dev")


def groups_installed(layout: Layout) -> frozenset[str]:
    """Groups of a finished, up-to-date `.venv`; empty if anything about it is in doubt. Takes a millisecond."""
    record = stamp.read(layout.venv_stamp)
    groups = frozenset(record.get("groups", ()))
    if not groups or not groups <= frozenset(_ORDER):
        return frozenset()
    ros = record.get("ros")
    inputs = system_ros.inputs(layout, Path(ros)) if ros else _inputs(layout, groups)
    if record.get("inputs") != inputs or not layout.python.exists() or (ros and not system_ros.is_there(Path(ros))):
        return frozenset()
    return groups


def groups_recorded(layout: Layout) -> frozenset[str]:
    """Groups that `.venv` was last finished with, up to date or not: what this machine is for. Empty if never."""
    return frozenset(stamp.read(layout.venv_stamp).get("groups", ())) & frozenset(_ORDER)


def ros_recorded(layout: Layout) -> str | None:
    """Prefix of the system's ROS that `.venv` was made on; None for the wheels."""
    return stamp.read(layout.venv_stamp).get("ros") or None


def check_host(wanted: frozenset[str]) -> None:
    """See that the machine itself fits the groups `wanted`; install what it lacks if we may, else raise Failure."""
    host.check_platform()
    host.require([host.COMPILER, *([host.OFFSCREEN_GL] if "sim" in wanted else [])])


def prepare(layout: Layout, wanted: frozenset[str], *, keep: bool = True) -> None:
    """Make `.venv` hold at least the groups `wanted`, and what it held if `keep`. The caller holds the workspace lock.

    Raises Failure with the remedy if network, disk or packages do not allow it.
    """
    before = groups_recorded(layout) if keep else frozenset()
    groups = wanted | before
    try:
        uv = installer.find_uv(layout)
        env = installer.environment(layout)
        (layout.venv_stamp).unlink(missing_ok=True)
        if not _python_works(layout) or _sees_the_system(layout):
            python = interpreter.find(layout, uv, env)
            old = _made_for(layout)
            moved = f", since the one here was made for {old}" if old not in (None, str(layout.venv)) else ""
            say(f"making .venv with {python}{moved}")
            made = run_quiet([uv, "venv", "--clear", "--python", python, str(layout.venv)], env)
            if made.code != 0:
                raise installer.explain(made, "making .venv", layout.root)
        if before:
            stamp.write(layout.venv_stamp, {"groups": sorted(before)})
        _install(layout, uv, env, groups)
        _write_underlay_scripts(layout)
        _check_imports(layout)
        stamp.write(layout.venv_stamp, {"groups": sorted(groups), "inputs": _inputs(layout, groups)})
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}; free space or give write access, then try again") from error
    say("environment ready: " + ", ".join(name for name in _ORDER if name in groups))


def _inputs(layout: Layout, groups: frozenset[str]) -> str:
    """Hash of all that decides what `.venv` holds: its place (scripts inside name it) and the requirement files."""
    names = [name for name in _ORDER if name in groups]
    files = [layout.requirements / (name + ".txt") for name in [*names, "constraints"]]
    return stamp.digest(str(layout.venv).encode(), *(path.read_bytes() for path in files))


def _python_works(layout: Layout) -> bool:
    """Whether `.venv` starts, is of the wanted version, and was made for this very path (not moved or copied)."""
    found = interpreter.probe(str(layout.python))
    return found is not None and found.version == interpreter.WANTED and _made_for(layout) == str(layout.venv)


def _sees_the_system(layout: Layout) -> bool:
    """Whether `.venv` was made on a ROS of the system, whose packages the wheels must not be mixed with."""
    try:
        text = (layout.venv / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^include-system-site-packages\s*=\s*true", text, re.MULTILINE | re.IGNORECASE) is not None


def _made_for(layout: Layout) -> str | None:
    """The path that `.venv` was made for: its programs begin with it. None if that cannot be told."""
    try:
        text = (layout.venv / "bin" / "activate").read_text(encoding="utf-8")
    except OSError:
        return None
    match = re.search(r"""^\s*(?:export )?VIRTUAL_ENV=(['"]?)(/.*?)\1\s*$""", text, re.MULTILINE)
    return match.group(2) if match else None


def _install(layout: Layout, uv: str, env: dict[str, str], groups: frozenset[str]) -> None:
    command = [uv, "pip", "install", "--python", str(layout.python)]
    command += ["--constraints", str(layout.requirements / "constraints.txt")]
    for name in _ORDER:
        if name in groups:
            command += ["--requirements", str(layout.requirements / (name + ".txt"))]
    size = "3.5 GB" if "server" in groups else "0.3 GB"
    say(f"installing packages ({', '.join(sorted(groups))}); the first time downloads {size}")
    broken: set[str] = set()
    for attempt in range(3):
        if attempt == 2:  # as broken as before: uv links files out of its cache, so what spoils them spoils these too
            run_quiet([uv, "cache", "clean", *sorted(broken)], env)
        again = [option for name in sorted(broken) for option in ("--reinstall-package", name)]
        # Every version is pinned, so what uv's cache holds is as good as the index, which may take a minute to ask
        # or be out of reach. If anything is missing there this ends within a second.
        outcome = run_shown([*command, *again, "--offline"], env, hide=installer.HIDDEN)
        if outcome.code != 0:
            outcome = run_shown([*command, *again], env, hide=installer.HIDDEN)
        if outcome.code != 0:
            raise installer.explain(outcome, "installing packages", layout.root)
        broken = damaged_packages(next((layout.venv / "lib").glob("python3*")) / "site-packages")
        if not broken:
            return
        say("finishing what an interrupted set-up left: " + ", ".join(sorted(broken)))
    raise Failure(
        f"{', '.join(sorted(broken))} stay incomplete after installing them again; remove .venv and try again"
    )


def damaged_packages(site_packages: Path) -> set[str]:
    """Names of packages of which a file listed in their own RECORD is missing or cut short.

    One that has grown was changed by somebody: many networks add their own certificate to certifi's.
    """
    damaged = set()
    for info in site_packages.glob("*.dist-info"):
        name = re.split(r"-\d", info.name, maxsplit=1)[0].replace("_", "-")
        try:
            with (info / "RECORD").open(encoding="utf-8", newline="") as record:
                rows = list(csv.reader(record))
        except OSError:
            damaged.add(name)
            continue
        if not all(_as_recorded(site_packages, row) for row in rows if row):
            damaged.add(name)
    return damaged


def _as_recorded(site_packages: Path, row: list[str]) -> bool:
    path, size = row[0], row[2] if len(row) > 2 else ""
    if path.endswith(".pyc"):
        return True
    try:
        found = (site_packages / path).stat().st_size
    except OSError:
        return False
    return not size or found >= int(size)


def _write_underlay_scripts(layout: Layout) -> None:
    """Make `.venv` a ROS underlay like any other: colcon and `install/setup.bash` chain to it by these files."""
    text = f'export AMENT_PREFIX_PATH="{layout.venv}${{AMENT_PREFIX_PATH:+:$AMENT_PREFIX_PATH}}"\n'
    for name in ("local_setup.sh", "local_setup.bash"):
        (layout.venv / name).write_text(text, encoding="utf-8")


def _check_imports(layout: Layout) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "_ROS", "AMENT"))}
    outcome = run_quiet([str(layout.python), "-c", "import rclpy"], env)
    if outcome.code != 0:
        raise Failure(f"rclpy does not start in .venv ({outcome.last_line}); remove .venv and try again")
