# SPDX-License-Identifier: Apache-2.0
"""`./so101 record [DIR]`: record until Ctrl-C. `./so101 record --repair DIR`: make a killed recorder's bag whole."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from so101_node.one_line_parser import OneLineParser, path, within


def main(arguments: Sequence[str] | None = None) -> int:
    """Record or repair; return the exit code."""
    parser = OneLineParser(
        prog="so101 record", description="Record what happens in this ROS domain as a rosbag2 bag (MCAP)."
    )
    parser.add_argument("folder", nargs="?", type=path, metavar="DIR", help="bag to write; default: outputs/bags/...")
    parser.add_argument("--repair", type=path, metavar="DIR", help="repair the bag of a killed recorder, and exit")
    parser.add_argument("--config", type=path, help="parameter file; default: config/record.yaml")
    parser.add_argument("--namespace", default="", help="namespace of the robot")
    parser.add_argument("--exclude", action="append", default=[], metavar="TOPIC", help="leave this topic out")
    parser.add_argument("--seconds", type=within(0.25, 1e7, "s"), help="stop after this long")
    parser.add_argument(
        "--ros2-command", action="store_true", help="print the `ros2 bag record` command for the same topics, and exit"
    )
    given = parser.parse_args(arguments)
    others = (given.folder, given.config, given.namespace, given.exclude, given.seconds, given.ros2_command)
    if given.repair is not None and any(others):
        parser.error(f"--repair {given.repair}: repairs that bag and records nothing; leave the rest out")
    if given.repair is not None:
        return _repair(given.repair)
    config = given.config or _default_config()
    if not config.is_file():
        parser.error(f"--config {config}: no such file")
    if given.ros2_command:
        return _print_ros2_command(config, given.folder, given.namespace, given.exclude)
    return _record(config, given.folder, given.namespace, given.exclude, given.seconds)


def _record(config: Path, folder: Path | None, namespace: str, exclude: Sequence[str], seconds: float | None) -> int:
    from rclpy.parameter import Parameter

    from so101_bag.record.recorder_node import run

    overrides = [Parameter("folder", value=str(folder))] if folder is not None else []
    if exclude:
        overrides.append(Parameter("exclude", value=list(exclude)))
    args = ["recorder", "--ros-args", "--params-file", str(config)]
    if namespace:
        args += ["-r", f"__ns:=/{namespace.strip('/')}"]
    if seconds is not None:
        overrides.append(Parameter("duration_s", value=seconds))
    return run(args, overrides, program="so101 record")


def _repair(folder: Path) -> int:
    from so101_bag.errors import BagError
    from so101_bag.storage.repair import repair

    try:
        done = repair(folder)
    except BagError as error:
        print(f"so101 record: {error}", file=sys.stderr)
        return 1
    what = "repaired" if done.changed else "is whole, nothing to repair"
    lost = f", {done.lost_bytes} bytes of a torn end dropped" if done.lost_bytes else ""
    print(f"{folder} {what}: {done.messages} messages, {done.duration_s:.1f} s, {done.files} files{lost}")
    return 0


def _print_ros2_command(config: Path, folder: Path | None, namespace: str, exclude: Sequence[str]) -> int:
    from so101_node.parameters.files import ParameterFileError
    from so101_node.parameters.node_file import values_for

    from so101_bag.record.recorder_parameters import RecorderParameters
    from so101_bag.record.topic_patterns import Selection, ros2_command

    defaults = RecorderParameters()
    own = "/" + namespace.strip("/")
    try:
        found = values_for(config, f"{own.rstrip('/')}/recorder")
    except ParameterFileError as error:
        print(f"so101 record: --config: {error}", file=sys.stderr)
        return 1
    values: dict[str, Any] = {key: value for _, section in found for key, value in section.items()}
    selection = Selection.of(
        values.get("topics", defaults.topics), exclude or values.get("exclude", defaults.exclude), own
    )
    print(shlex.join(ros2_command(selection, str(folder or "so101_bag"))))
    return 0


def _default_config() -> Path:
    try:
        return Path(get_package_share_directory("so101_config")) / "record.yaml"
    except PackageNotFoundError:
        return Path("config/record.yaml")


if __name__ == "__main__":
    sys.exit(main())
