# SPDX-License-Identifier: Apache-2.0
"""`./so101 link keys|revoke|show|sros2`: keys for the link between robots and their server, and for SROS2."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from so101_node.one_line_parser import OneLineParser, path, whole
from so101_node.ros_domain import LAST_DOMAIN, is_domain

from so101_link.errors import KeysError
from so101_link.keys.authority import DEFAULT_DAYS, SERVER, Authority, IssuedCertificate, MadeKeys
from so101_link.keys.certificates import ROBOT_WITHOUT_NAMESPACE, Peer, check_robot_name
from so101_link.keys.expiry import date, expiry
from so101_link.keys.folder import AUTHORITY, REVOKED, KeyFolder
from so101_link.sros2 import keystore
from so101_link.sros2.rights import CAMERAS


def main(arguments: Sequence[str] | None = None) -> int:
    """Make, revoke or show keys; exit code 1 where something is refused."""
    options = _parser().parse_args(arguments)
    try:
        if options.verb == "keys":
            _keys(options.folder, options.robot, options.renew, options.days)
        elif options.verb == "revoke":
            _revoke(options.folder, options.name)
        elif options.verb == "sros2":
            robots = options.robot or [ROBOT_WITHOUT_NAMESPACE]
            _sros2(options.folder, robots, options.camera or CAMERAS, options.domain)
        else:
            _show(options.folder)
    except KeysError as error:
        print(f"so101 link: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a folder or file that this user may not look at
        print(f"so101 link: {error.filename or options.folder}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _keys(folder: Path, robots: Sequence[str], renewed: Sequence[str], days: int) -> None:
    now_s = time.time()
    if not Authority.exists(folder):
        if renewed:
            raise KeysError(f"--renew {renewed[0]}: {folder} holds no keys")
        for name in robots:
            check_robot_name(name)
        made = Authority.create(folder, now_s).make([SERVER, *(robots or [ROBOT_WITHOUT_NAMESPACE])], days, now_s)
    elif not robots and not renewed:
        raise KeysError(f"{folder} holds keys already, nothing was changed: --robot NAME adds a robot, --renew NAME...")
    else:
        made = Authority.open(folder).make(robots, days, now_s, renewed=renewed)
    for one in made:
        print(_where_to(one))
    print(f"{folder / AUTHORITY} stays on this computer, with a copy in a safe place: it can make keys for any robot")
    source = shlex.quote(str(made[0].folder))
    print(f"for example: scp -r {source} USER@COMPUTER:so101_keys; there, at launch: link_keys:=$HOME/so101_keys")


def _where_to(made: MadeKeys) -> str:
    whose = "the server's computer"
    if made.name == ROBOT_WITHOUT_NAMESPACE:
        whose = "the computer of the robot that has no namespace"
    elif made.name != SERVER:
        whose = f"the computer of the robot with namespace {made.name}"
    return f"{made.folder} -> copy to {whose}; valid until {date(made.not_after_s)}"


def _revoke(folder: Path, name: str) -> None:
    authority = Authority.open(folder)
    new = authority.revoke(name, time.time())
    file = authority.place(SERVER) / REVOKED
    if not file.exists():
        file = folder / AUTHORITY / REVOKED  # the server's folder was moved, not copied
    if new:
        print(f"{name} is revoked: " + ", ".join(f"{serial:x}" for serial in new))
    else:
        print(f"{name} was revoked before")
    print(f"copy {file} into the folder of keys on the server; it is read again at each connection, without a restart")
    print(f"new keys for {name}: ./so101 link keys {shlex.quote(str(folder))} --renew {name}")


def _show(folder: Path) -> None:
    now_s = time.time()
    if Authority.exists(folder):
        issued = Authority.open(folder).issued()
    else:
        keys = KeyFolder.read_whatever_its_age(folder)
        peer = Peer(keys.name, keys.role, keys.serial, keys.not_before_s, keys.not_after_s)
        issued = (IssuedCertificate(peer, revoked=False),)
    rows = [("name", "role", "until", "state", "serial number")]
    for one in issued:
        state = expiry(one.peer.name, one.peer.not_before_s, one.peer.not_after_s, now_s).validity.value
        shown = "revoked" if one.revoked else state
        rows.append((one.peer.name, one.peer.role, date(one.peer.not_after_s), shown, f"{one.peer.serial:x}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _sros2(folder: Path, robots: Sequence[str], cameras: Sequence[str], domain: int) -> None:
    places = keystore.make(folder, robots, cameras, domain)
    for enclave, place in places.items():
        print(f"{place} -> copy to the computer of {enclave}")
    print(f"{folder / AUTHORITY} stays on this computer; permissions hold for ROS_DOMAIN_ID {domain} only")
    print("at launch: sros2_keys:=$HOME/so101_sros2, if copied as that; the rest: docs/explanation/threat-model.md")


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="so101 link", description="Keys for the encrypted link between robots and their server."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="keys|revoke|show|sros2")
    keys = verbs.add_parser("keys", help="make keys: the first time for a server and robots, later for more robots")
    keys.add_argument("folder", type=path, metavar="DIR", help="where the authority is, or is to be")
    keys.add_argument(
        "--robot", action="append", default=[], metavar="NAME",
        help="make keys for this robot: its namespace, root if it has none; repeat for more (first time: default root)",
    )  # fmt: skip
    keys.add_argument(
        "--renew", action="append", default=[], metavar="NAME",
        help="make new keys for a robot, or for server, in place of those made before; those stay valid",
    )  # fmt: skip
    keys.add_argument(
        "--days",
        type=whole(1, 3650),
        default=DEFAULT_DAYS,
        metavar="N",
        help="how long they are valid, days (%(default)s)",
    )
    revoke = verbs.add_parser("revoke", help="make the server refuse all keys that a robot has")
    revoke.add_argument("folder", type=path, metavar="DIR", help="folder of the authority")
    revoke.add_argument("name", metavar="NAME", help="the robot")
    show = verbs.add_parser("show", help="list names, roles and how long the keys are valid")
    show.add_argument("folder", type=path, metavar="DIR", help="folder of the authority, of a robot or of the server")
    sros2 = verbs.add_parser("sros2", help="make keys and permissions for SROS2 (ROS 2 from apt): name all robots")
    sros2.add_argument("folder", type=path, metavar="DIR", help="where they are, or are to be; not that of the link's")
    sros2.add_argument(
        "--robot", action="append", default=[], metavar="NAME", help="a robot; repeat for more (default root)"
    )
    sros2.add_argument(
        "--camera", action="append", default=[], metavar="NAME",
        help=f"a camera of any of them; repeat for more (default {', '.join(CAMERAS)})",
    )  # fmt: skip
    sros2.add_argument(
        "--domain", type=_domain, default=os.environ.get("ROS_DOMAIN_ID") or "0", metavar="N",
        help="ROS_DOMAIN_ID of all computers (default: that of the environment, or 0)",
    )  # fmt: skip
    return parser


def _domain(text: str) -> int:
    if not is_domain(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no ROS domain from 0 to {LAST_DOMAIN}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
