# SPDX-License-Identifier: Apache-2.0
"""`./so101 call`: call a service of the running robot (start, stop, park, ...) where there is no `ros2`.

Any std_srvs/Trigger service can be called. One that a single node offers may be named by its last word alone; of a pair
of arms that names the service of the pair, which calls both drivers.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Collection, Sequence

from rclpy.node import NodeNameNonExistentError
from so101_node.one_line_parser import OneLineParser, within
from so101_node.process.own_node import OwnNode
from std_srvs.srv import Trigger

from so101_doctor.errors import CallError

_TYPE = "std_srvs/srv/Trigger"
_PAIR = "driver_pair"  # the node that is both drivers of a pair for everybody else
_REPLY_S = 5.0
_SETTLE_S = 0.5  # after the first service was seen: others of the robot follow within this time


def main(arguments: Sequence[str] | None = None) -> int:
    """Call one service; exit code 0 where it was accepted, 1 where it was refused or could not be called."""
    options = _parser().parse_args(arguments)
    try:
        return _call(options.service, options.wait)
    except CallError as error:
        print(f"so101 call: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def choose(wanted: str, present: Sequence[str], passed_on: Collection[str] = ()) -> str:
    """Return the service that `wanted` means: a whole name, the end of one, or its last word.

    Args:
        wanted: as typed: "stop", "action_queue/stop" or "/left/action_queue/stop".
        present: full names of the services that can be called.
        passed_on: those that a pair's service of the same name calls; meant only where nothing else can be.

    Raises:
        CallError: none is meant, or several are.
    """
    wanted = wanted.strip("/")
    if f"/{wanted}" in present:
        return f"/{wanted}"
    meant = [name for name in present if wanted and name.endswith(f"/{wanted}")]
    meant = [name for name in meant if name not in passed_on] or meant
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise CallError(f"{wanted!r} may mean {' or '.join(meant)}: write the whole name")
    raise CallError(f"no service {wanted!r}: {_listed(present)}")


def _call(wanted: str | None, wait_s: float) -> int:
    own = OwnNode("so101_call")
    try:
        present = _present(own, wait_s, wanted)
        if wanted is None:
            print("\n".join(present) if present else _listed(present))
            return 0 if present else 1
        name = choose(wanted, present, _passed_on(own))
        client = own.node.create_client(Trigger, name)
        if not own.wait(client.service_is_ready, _REPLY_S):
            raise CallError(f"{name} is announced, but its node cannot be reached: ./so101 doctor network")
        future = client.call_async(Trigger.Request())
        if not own.wait(future.done, _REPLY_S):
            raise CallError(f"{name} did not reply within {_REPLY_S:g} s: it may or may not have been carried out")
        response = future.result()
        print(f"{name}: {'ok' if response.success else 'refused'}{': ' if response.message else ''}{response.message}")
        return 0 if response.success else 1
    finally:
        own.close()


def _present(own: OwnNode, wait_s: float, wanted: str | None) -> list[str]:
    """Full names of all services that can be called, as soon as `wanted` is one of them, or `wait_s` has passed."""

    def names() -> list[str]:
        return sorted(name for name, types in own.node.get_service_names_and_types() if _TYPE in types)

    def is_there() -> bool:
        return bool(names()) if wanted is None else any(f"/{wanted.strip('/')}" in name for name in names())

    if own.wait(is_there, wait_s):
        own.wait(lambda: False, _SETTLE_S)
    return names()


def _passed_on(own: OwnNode) -> set[str]:
    """Full names of the services that a pair of arms calls for those who call its own."""
    names: set[str] = set()
    for node, namespace in own.node.get_node_names_and_namespaces():
        if node == _PAIR:
            with contextlib.suppress(NodeNameNonExistentError):  # it has just ended
                called = own.node.get_client_names_and_types_by_node(node, namespace)
                names.update(name for name, types in called if _TYPE in types)
    return names


def _listed(present: Sequence[str]) -> str:
    if not present:
        domain = os.environ.get("ROS_DOMAIN_ID") or "0"
        return f"no robot is heard in ROS domain {domain}: launch it first, or set ROS_DOMAIN_ID to its domain"
    return f"there are {', '.join(present)}"


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="so101 call", description=__doc__)
    parser.add_argument("service", nargs="?", help="such as start, so101_driver/park; without: list them")
    parser.add_argument(
        "--wait", type=within(0, 3600, "s"), default=5.0, metavar="S", help="how long to look for it, s"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
