# SPDX-License-Identifier: Apache-2.0
"""TCP ports for servers that the bench starts."""

import socket


def free_port() -> int:
    """Return a TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
