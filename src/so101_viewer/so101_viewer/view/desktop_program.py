# SPDX-License-Identifier: Apache-2.0
"""Becomes a program of a ROS desktop for view.launch.xml, or says which package is missing and what to type.

The executables `rviz2`, `rqt_gui`, `plotjuggler` and `aggregator_node` of this package are all this module; the name
they are called by says which program is meant. A launch file cannot name the program's own package instead: one that is
not installed ends the launch file as a whole, and a missing plugin ends rviz with a traceback.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

DISTRIBUTION = "jazzy"
_COMPRESSED = "compressed_image_transport"
_OPT_ROS = Path("/opt/ros")

type FindPrefix = Callable[[str], Path]
"""From a package to its install prefix; raises LookupError for one that is not there."""


@dataclass(frozen=True, slots=True)
class DesktopProgram:
    """A program of another package, and the packages it shows less without: package -> what is missing then."""

    package: str
    executable: str
    argument: str  # of view.launch.xml, which leaves it out
    plugins: Mapping[str, str] = field(default_factory=dict)
    word: str = ""  # for the person who looks at it; {config} is the folder of the layouts


PROGRAMS: Mapping[str, DesktopProgram] = {
    "rviz2": DesktopProgram(
        "rviz2",
        "rviz2",
        "rviz",
        {"rviz_default_plugins": "rviz shows nothing", _COMPRESSED: "the cameras stay off in rviz"},
    ),
    "rqt_gui": DesktopProgram(
        "rqt_gui",
        "rqt_gui",
        "rqt",
        {
            "rqt_image_view": "no cameras and no queue plot in rqt",
            "rqt_plot": "no plots of the queue in rqt",
            "rqt_robot_monitor": "no diagnostics in rqt",
            "rqt_console": "no log in rqt",
        },
    ),
    "aggregator_node": DesktopProgram("diagnostic_aggregator", "aggregator_node", "rqt"),
    "plotjuggler": DesktopProgram(
        "plotjuggler",
        "plotjuggler",
        "plotjuggler",
        {"plotjuggler_ros": "PlotJuggler has no streamer `ROS2 Topic Subscriber`"},
        "start the streamer `ROS2 Topic Subscriber` and choose its topics first, then File > Load Layout: "
        "{config}/view_plotjuggler.xml (docs/how-to/viewing.md names the topics)",
    ),
}


def command(program: DesktopProgram, words: Sequence[str], find_prefix: FindPrefix) -> tuple[list[str], list[str]]:
    """Return the command line to become, and one line for each plugin that is missing.

    Raises:
        LookupError: the program's own package is not installed.
    """
    path = find_prefix(program.package) / "lib" / program.package / program.executable
    missing = [package for package in program.plugins if not _is_installed(package, find_prefix)]
    lines = [
        f"{program.plugins[package]}: {package} is not installed; {remedy(package, find_prefix)}" for package in missing
    ]
    words = list(words)
    if _COMPRESSED in missing and "-d" in words[:-1]:
        place = words.index("-d") + 1
        words[place] = str(_without_compressed_displays(Path(words[place])))
    return [str(path), *words], lines


def remedy(package: str, find_prefix: FindPrefix, opt_ros: Path = _OPT_ROS) -> str:
    """What to type to get a package. In the environment of the wheels apt-get would bring what is not seen."""
    name = os.environ.get("ROS_DISTRO", DISTRIBUTION)
    if (opt_ros / name / "share" / package / "package.xml").is_file():
        return (
            f"it is in {opt_ros / name}, which this environment does not use: build with colcon in a clone of its own, "
            f"in a shell that has sourced {opt_ros / name}/setup.bash, and use `ros2 launch` there"
        )
    if _is_installed("rclpy", find_prefix) and find_prefix("rclpy").resolve() == Path(sys.prefix).resolve():
        return (
            "it comes with ROS 2 from apt and not with the wheels that ./so101 runs on: docs/how-to/viewing.md says "
            "how to start it there; ./so101 view shows the robot without it"
        )
    return f"type: sudo apt-get install ros-{name}-{package.replace('_', '-')}"


def _is_installed(package: str, find_prefix: FindPrefix) -> bool:
    try:
        find_prefix(package)
    except LookupError:
        return False
    return True


def _without_compressed_displays(layout: Path) -> Path:
    """A copy of an rviz layout with every display of a compressed topic switched off; rviz ends where it may not."""
    content = yaml.safe_load(layout.read_text(encoding="utf-8"))
    for display in content["Visualization Manager"]["Displays"]:
        if str(display.get("Topic", {}).get("Value", "")).endswith("/compressed"):
            display["Enabled"] = display["Value"] = False
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="so101_view_", suffix=".rviz", delete=False) as copy:
        yaml.safe_dump(content, copy, sort_keys=False)
    return Path(copy.name)


def _ament_prefix(package: str) -> Path:
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        return Path(get_package_prefix(package))
    except PackageNotFoundError as error:
        raise LookupError(package) from error


def main() -> None:
    """Replace this process."""
    name = Path(sys.argv[0]).name
    program = PROGRAMS[name]
    try:
        words, lines = command(program, sys.argv[1:], _ament_prefix)
        config = _ament_prefix("so101_config") / "share" / "so101_config"
        for line in [*lines, program.word.format(config=config)]:
            if line:
                print(f"[{name}] {line}", file=sys.stderr, flush=True)
        os.execv(words[0], words)
    except LookupError as error:
        package = str(error)
        hint = f"; or leave it out with {program.argument}:=false" if package == program.package else ""
        print(f"[{name}] error: {package} is not installed; {remedy(package, _ament_prefix)}{hint}", file=sys.stderr)
    except OSError as error:
        print(f"[{name}] error: {error}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
