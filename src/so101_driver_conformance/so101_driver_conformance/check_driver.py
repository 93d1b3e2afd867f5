# SPDX-License-Identifier: Apache-2.0
"""Program `check_driver`: starts a driver and checks the contract on it, `check_driver COMMAND ...`."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence

import pytest
from so101_node.one_line_parser import OneLineParser, within


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite; 0 where every rule is kept."""
    parser = OneLineParser(
        prog="check_driver",
        description="Starts a driver and checks the contract on it. The arm moves: keep clear of it.",
    )
    parser.add_argument("--name", default="so101_driver", help="name of its node, before its services")
    parser.add_argument("--namespace", default="", help="namespace of its topics")
    parser.add_argument(
        "--leap-rad", type=within(0.01, 3.2, "rad"), default=1.0, help="how far commands leap in NO-JUMP at most, rad"
    )
    parser.add_argument("--rule", action="append", default=[], metavar="NAME", help="check this rule only; repeatable")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="command line that starts the driver")
    given = parser.parse_args(arguments)
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    if not command:
        parser.error("name the command line that starts the driver")
    chosen = " or ".join(rule.lower().replace("-", "_") for rule in given.rule)
    return int(
        pytest.main(
            [
                "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-p", "no:warnings",
                "-c", os.devnull, "--noconftest",
                "-p", "so101_driver_conformance.plugin", "--pyargs", "so101_driver_conformance.contract_suite",
                "--driver", shlex.join(command), "--driver-name", given.name,
                "--driver-namespace", given.namespace, "--leap-rad", str(given.leap_rad),
                *(["-k", chosen] if chosen else []),
            ]
        )
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
