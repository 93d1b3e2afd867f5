# SPDX-License-Identifier: Apache-2.0
"""Options of a replay."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from so101_node.one_line_parser import OneLineParser, path, whole, within

TARGETS = ("queue", "policy_server", "arm")
APPROACH_RAD_S = 0.5  # to the first joint positions
DRIVER_WAIT_S = 3.0  # for a driver that runs
STARTING_WAIT_S = 60.0  # for one that has just been started, with its virtual arm, on a small computer


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """One replay. `report` None means that nothing is written; `namespace` None the only one in the bag."""

    bag: Path
    target: str
    report: Path | None
    namespace: str | None
    changes: tuple[str, ...]
    checkpoint: Path | None
    device: str | None
    running: bool
    limit: int
    sim: bool
    speed_rad_s: float
    wait_s: float
    check: bool


def parse(arguments: Sequence[str] | None = None) -> ReplayOptions:
    """Return the options; leaves the process with one line where they are wrong."""
    parser = OneLineParser(
        prog="so101 replay",
        description="Replay a bag: its decision log through the queue, its observations through a policy, or its "
        "commands on an arm.",
    )
    parser.add_argument("bag", type=path, metavar="BAG", help="folder of the bag")
    parser.add_argument("--to", choices=TARGETS, default="queue", dest="target", help="what to replay to (queue)")
    parser.add_argument("--report", type=path, help="write the report there as JSON, and plots beside it as PNG")
    parser.add_argument("--namespace", help="robot of the bag, where it holds several")
    parser.add_argument("--check", action="store_true", help="only check that the bag can be opened")
    queue = parser.add_argument_group("--to queue")
    queue.add_argument(
        "--set", action="append", default=[], dest="changes", metavar="NAME=VALUE[,VALUE]",
        help="try other settings on the same inputs, such as aggregate_fn_name=latest_only,average",
    )  # fmt: skip
    server = parser.add_argument_group("--to policy_server")
    server.add_argument("--checkpoint", type=path, help="start a policy server with this policy; default: a server "
                        "that runs in this ROS domain, else one with the policy of the bag")  # fmt: skip
    server.add_argument("--device", help="device of the policy that is started, such as cpu or cuda")
    server.add_argument("--running", action="store_true", help="wait for a server that runs in this ROS domain")
    server.add_argument(
        "--limit", type=whole(0, 10_000_000), default=0, metavar="N", help="send only the first N requests"
    )
    arm = parser.add_argument_group("--to arm")
    arm.add_argument("--sim", action="store_true", help="start a virtual arm with its driver and play to that")
    arm.add_argument(
        "--speed",
        type=within(0.05, 2, "rad/s"),
        metavar="RAD_S",
        help="of the motion to the first joint positions (0.5)",
    )
    waits = f"for the driver ({DRIVER_WAIT_S:g}; with --sim {STARTING_WAIT_S:g})"
    arm.add_argument("--wait", type=within(0, 3600, "s"), metavar="S", help=waits)
    given = parser.parse_args(arguments)
    _refuse_strangers(parser, given)
    return ReplayOptions(
        bag=given.bag,
        target=given.target,
        report=given.report,
        namespace=given.namespace or None,
        changes=tuple(given.changes),
        checkpoint=given.checkpoint,
        device=given.device,
        running=given.running,
        limit=given.limit,
        sim=given.sim,
        speed_rad_s=APPROACH_RAD_S if given.speed is None else given.speed,
        wait_s=(STARTING_WAIT_S if given.sim else DRIVER_WAIT_S) if given.wait is None else given.wait,
        check=given.check,
    )


def _refuse_strangers(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """An option of another target would silently do nothing."""
    for option, target, used in (
        ("--set", "queue", bool(given.changes)),
        ("--checkpoint", "policy_server", given.checkpoint is not None),
        ("--device", "policy_server", given.device is not None),
        ("--running", "policy_server", given.running),
        ("--limit", "policy_server", given.limit > 0),
        ("--sim", "arm", given.sim),
        ("--speed", "arm", given.speed is not None),
        ("--wait", "arm", given.wait is not None),
    ):
        if used and given.target != target:
            parser.error(f"{option} goes with --to {target}, not --to {given.target}")
    if given.report is not None and given.report.suffix == ".png":
        parser.error(
            f"--report {given.report}: the plot goes there: name the JSON file, such as {given.report.stem}.json"
        )
    if given.running and given.checkpoint is not None:
        parser.error("--running and --checkpoint exclude each other: a running server has its policy")
