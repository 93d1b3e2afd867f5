# SPDX-License-Identifier: Apache-2.0
"""`./so101 doctor`: one line a check; exit code 0 if nothing is red."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

from rich.console import Console
from so101_node.one_line_parser import OneLineParser, path, within
from so101_node.writable import obstacle

from so101_doctor import check, environment
from so101_doctor.check import Check, Checks, Light, Part

LISTEN_S = 3.0
_PARTS = ("robot", "server", "network")
_OF_ONE_PART = {
    "robot": ("port", "robot_id", "calibration_dir"),
    "server": ("checkpoint",),
    "network": ("peer", "trusted_network", "link", "link_keys", "listen"),
}
# By part: what brings the packages that it needs.
_REMEDIES = {
    "machine": "./so101 build; with ROS from apt: . /opt/ros/jazzy/setup.bash",
    "config": "./so101 build; with ROS from apt: . /opt/ros/jazzy/setup.bash",
    "robot": "./so101 setup robot; with ROS from apt: rosdep and pip as in docs/how-to/deployment.md",
    "server": "./so101 setup server; with ROS from apt: rosdep and pip as in docs/how-to/deployment.md",
    "network": "./so101 build; with ROS from apt: colcon build && . install/setup.bash",
}
_COLOURS = {Light.GREEN: "green", Light.YELLOW: "yellow", Light.RED: "bold red"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen checks and return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if bool(options.link) != (options.link_keys is not None):
        parser.error("--link HOST:PORT and --link-keys DIR go together")
    for owner, names in _OF_ONE_PART.items():
        for name in names if options.part not in (None, owner) else ():
            if getattr(options, name) not in (None, "", False):
                parser.error(f"--{name.replace('_', '-')} goes with `doctor {owner}`, not with `doctor {options.part}`")
    if options.report is not None and (reason := obstacle(options.report)):
        parser.error(f"--report {options.report}: cannot be written ({reason})")
    try:
        return _examine(options)
    except KeyboardInterrupt:
        return 130


def _examine(options: argparse.Namespace) -> int:
    console = Console(highlight=False, soft_wrap=True)

    def show(one: Check) -> None:
        console.print(one.line(), style=_COLOURS[one.state], markup=False)

    done = check.run(_makers(options), show)
    red = sum(one.state is Light.RED for one in done)
    yellow = sum(one.state is Light.YELLOW for one in done)
    console.print(f"{len(done)} checks: {red} red, {yellow} yellow", markup=False)
    if options.report is not None:
        try:
            check.write_report(done, options.report)
        except OSError as error:
            print(f"so101 doctor: --report {options.report}: {error.strerror}", file=sys.stderr)
            return 1
    return 1 if red else 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="so101 doctor",
        description="Checks this computer, one line a check, each with what to do about it. Nothing moves.",
    )
    parser.add_argument("part", nargs="?", choices=_PARTS, help="only this half; default: all that is installed here")
    parser.add_argument("--port", default="", help="serial port of the arm; default: the only one there is")
    parser.add_argument("--robot-id", default="", help="id given to lerobot-calibrate")
    parser.add_argument("--calibration-dir", default="", help="folder of <robot-id>.json; default: LeRobot's own")
    parser.add_argument("--checkpoint", default="", help="policy folder, run folder or hub id to check")
    parser.add_argument(
        "--config",
        type=path,
        help="YAML file of the deployment: what its nodes would refuse; port and calibration of the arm, units, task "
        "and cameras of the policy",
    )
    parser.add_argument("--peer", default="", help="address of the other computer")
    parser.add_argument(
        "--trusted-network",
        action="store_true",
        help="everybody on the arm's network may move it: an open network is yellow, not red",
    )
    parser.add_argument(
        "--link", default="", metavar="HOST:PORT", help="check the path to the server's link at this address"
    )
    parser.add_argument("--link-keys", type=path, metavar="DIR", help="with --link: folder of this robot's keys")
    parser.add_argument(
        "--listen", type=within(0, 3600, "s"), metavar="S", help=f"how long to listen for nodes, s ({LISTEN_S:g})"
    )
    parser.add_argument("--report", type=path, help="write the checks there, as JSON")
    return parser


def _makers(options: argparse.Namespace) -> list[Callable[[], Checks]]:
    # Each half needs other packages: what is not checked is not imported.
    def config() -> Checks:
        from so101_doctor.config_sections import check_config

        if options.config is not None:
            serves = "server" in chosen and importlib.util.find_spec("so101_policy_server") is not None
            yield from check_config(
                options.config,
                ("so101_driver",) if "robot" in chosen else (),
                ("policy_server", "action_queue") if serves else (),
            )

    def machine() -> Checks:
        from so101_doctor.machine import check_machine

        yield from check_machine()

    def robot() -> Checks:
        from so101_doctor.robot import RobotOptions, check_robot

        expected = options.part == "robot" or bool(options.port)
        given = RobotOptions(options.port, options.robot_id, options.calibration_dir, expected, options.config)
        yield from check_robot(given)

    def server() -> Checks:
        expected = options.part == "server" or bool(options.checkpoint)
        if not expected and importlib.util.find_spec("so101_policy_server") is None:
            yield Part("server").yellow("packages", "so101_policy_server is not built: no policy is served from here")
            return
        from so101_doctor.server import check_server

        yield from check_server(options.checkpoint, options.config, expected=expected)

    shell = dict(os.environ)
    if environment.middleware_is_missing(shell):
        del os.environ["RMW_IMPLEMENTATION"]  # importing rclpy would end this process

    def network() -> Checks:
        from so101_doctor.network import check_network

        if options.link:
            from so101_doctor.link import check_link

            yield from check_link(options.link, options.link_keys)
        yield from check_network(
            options.peer,
            LISTEN_S if options.listen is None else options.listen,
            shell,
            trusted_network=options.trusted_network,
        )

    parts = {"machine": machine, "config": config, "robot": robot, "server": server, "network": network}
    chosen = tuple(parts) if options.part is None else ("machine", "config", options.part)
    return [partial(check.or_missing, Part(name), _REMEDIES[name], parts[name]) for name in chosen]


if __name__ == "__main__":
    sys.exit(main())
