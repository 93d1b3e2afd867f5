# SPDX-License-Identifier: Apache-2.0
"""link_robot's part of /diagnostics: every cause with its level and remedy."""

from __future__ import annotations

from typing import Final

from so101_node.diagnostics import Cause, Level

from so101_link.core import causes
from so101_link.ros.diagnosis import (
    CERTIFICATE_EXPIRES,
    CERTIFICATE_REFUSED,
    CLOCK_WRONG,
    CONNECTED,
    SAME_DOMAIN,
    TOO_SLOW,
)

CONNECTING: Final = Cause(causes.CONNECTING, Level.WARN, "the node has just been started and connects", "wait")
NAME_UNKNOWN: Final = Cause(
    causes.NAME_UNKNOWN, Level.ERROR, "the name in server_link does not resolve", "correct the name, or give an address"
)
UNREACHABLE: Final = Cause(
    causes.UNREACHABLE, Level.ERROR, "the server's computer does not reply",
    "look at the network, and at the port forward or firewall before the server",
)  # fmt: skip
NO_LISTENER: Final = Cause(
    causes.NO_LISTENER, Level.ERROR, "the server's computer replies, and nothing listens on that port",
    "start server.launch.xml with link_port:= and link_keys:=, or correct the port in server_link",
)  # fmt: skip
CLOSED_BETWEEN: Final = Cause(
    causes.CLOSED_BETWEEN, Level.ERROR, "the connection was closed without a farewell",
    "see that link_server runs; a proxy, tunnel or port forward between must pass TCP through untouched",
)  # fmt: skip
LOST: Final = Cause(
    causes.LOST, Level.ERROR, "the server is not heard any more",
    "see that link_server runs and the network is up; the robot connects again without help",
)  # fmt: skip
REFUSED: Final = Cause(
    causes.REFUSED, Level.ERROR, "the server will not have this robot, or is no link_server",
    "correct what the message names: version, namespace, keys or port",
)  # fmt: skip
CAUSES: Final = (
    CONNECTED, CONNECTING, NAME_UNKNOWN, UNREACHABLE, NO_LISTENER, CLOSED_BETWEEN, LOST, REFUSED, CERTIFICATE_REFUSED,
    CLOCK_WRONG, CERTIFICATE_EXPIRES, TOO_SLOW, SAME_DOMAIN,
)  # fmt: skip
BY_NAME: Final = {cause.name: cause for cause in CAUSES}
