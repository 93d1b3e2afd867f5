"""`./so101 doctor`: one line a check; exit code 0 if nothing is red."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from so101_tools.doctor import check, environment
from so101_tools.doctor.check import Check, Checks, Part, State

_PARTS = ("robot", "server", "network")
# By part: what brings the packages that it needs.
_REMEDIES = {
    "machine": "./so101 build; with ROS from apt: . /opt/ros/jazzy/setup.bash",
    "robot": "./so101 setup robot; with ROS from apt: rosdep and pip as in README.md, A real arm",
    "server": "./so101 setup server; with ROS from apt: rosdep and pip as in README.md, A real arm",
    "network": "./so101 build; with ROS from apt: colcon build && . install/setup.bash",
}
_COLOURS = {State.GREEN: "green", State.YELLOW: "yellow", State.RED: "bold red"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks asked for and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _examine(options)
    except KeyboardInterrupt:
        return 130


def _examine(options: argparse.Namespace) -> int:
    console = Console(highlight=False, soft_wrap=True)

    def show(one: Check) -> None:
        console.print(one.line(), style=_COLOURS[one.state], markup=False)

    done = check.run(_makers(options), show)
    red = sum(one.state is State.RED for one in done)
    yellow = sum(one.state is State.YELLOW for one in done)
    console.print(f"{len(done)} checks: {red} red, {yellow} yellow", markup=False)
    if options.report is not None:
        try:
            check.write_report(done, options.report)
        except OSError as error:
            print(f"so101 doctor: error: --report {options.report}: {error.strerror}", file=sys.stderr)
            return 1
    return 1 if red else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="so101 doctor",
        description="Checks this computer, one line a check, each with what to do about it. Nothing moves.",
    )
    parser.add_argument("part", nargs="?", choices=_PARTS, help="only this half; default: all, as far as it is there")
    parser.add_argument("--port", default="", help="serial port of the arm; default: the only one there is")
    parser.add_argument("--robot-id", default="", help="id given to lerobot-calibrate")
    parser.add_argument("--calibration-dir", default="", help="folder of <robot-id>.json; default: LeRobot's own place")
    parser.add_argument("--checkpoint", default="", help="policy folder, run folder or hub id to look at")
    parser.add_argument(
        "--config", type=Path, help="YAML file of the deployment: units, task and cameras of the policy"
    )
    parser.add_argument("--peer", default="", help="address of the other computer")
    parser.add_argument("--listen", type=float, default=3.0, metavar="S", help="how long to listen for nodes, s")
    parser.add_argument("--report", type=Path, help="write the checks there, as JSON")
    return parser


def _makers(options: argparse.Namespace) -> list[Callable[[], Checks]]:
    # Each half needs other packages: what is not asked about is not imported.
    def machine() -> Checks:
        from so101_tools.doctor.machine import check_machine

        yield from check_machine()

    def robot() -> Checks:
        from so101_tools.doctor.robot import RobotQuestion, check_robot

        expected = options.part == "robot" or bool(options.port)
        yield from check_robot(RobotQuestion(options.port, options.robot_id, options.calibration_dir, expected))

    def server() -> Checks:
        from so101_tools.doctor.server import check_server

        expected = options.part == "server" or bool(options.checkpoint)
        yield from check_server(options.checkpoint, options.config, expected=expected)

    shell = dict(os.environ)
    if environment.middleware_is_missing(shell):
        del os.environ["RMW_IMPLEMENTATION"]  # importing rclpy would end this process

    def network() -> Checks:
        from so101_tools.doctor.network import check_network

        yield from check_network(options.peer, options.listen, shell)

    parts = {"machine": machine, "robot": robot, "server": server, "network": network}
    asked = parts if options.part is None else ("machine", options.part)
    return [partial(check.or_missing, Part(name), _REMEDIES[name], parts[name]) for name in asked]


if __name__ == "__main__":
    sys.exit(main())
