# SPDX-License-Identifier: Apache-2.0
"""The connection to a Ray cluster: made, lost, and made again.

Ray's own library ends a program whose cluster is gone; it is told not to, so that the server stays.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import threading
from typing import Any, Final

from so101_policy_server.errors import one_line
from so101_policy_server.policy import PolicyLoadError, ReplicaLostError

INSTALL: Final = "./so101 setup ray"
CONNECT_S: Final = 1.0
"""How long a cluster has to accept a TCP connection."""

NEVER_S: Final = "1000000000"
_LOOPBACK: Final = ("127.0.0.1", "localhost")


class Cluster:
    """One for the whole program. Thread-safe.

    Args:
        address: host:port of the cluster's head.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._ray: Any = None

    def connect(self) -> Any:
        """Return the module ray, connected.

        Raises:
            PolicyLoadError: Ray is not installed.
            ReplicaLostError: there is no cluster at the address, or it cannot be joined.
        """
        with self._lock:
            ray = self._ray = self._ray or _import_ray(self.address)
            if not self.is_up():
                _leave(ray)
                raise ReplicaLostError(
                    f"no Ray cluster answers at ray_address = {self.address}: start it "
                    "(`./so101 ros ray start --head`, see docs/how-to/several_gpus.md)"
                )
            if not ray.is_initialized():
                host = self.address.partition(":")[0]
                local = {"_node_ip_address": "127.0.0.1"} if host in _LOOPBACK else {}
                try:
                    ray.init(self.address, log_to_driver=False, configure_logging=False, **local)
                except Exception as error:  # Ray raises a dozen types
                    _leave(ray)
                    raise ReplicaLostError(f"Ray cluster at {self.address}: {one_line(error)}") from error
            return ray

    def is_up(self) -> bool:
        """Whether something accepts connections at the address."""
        host, _, port = self.address.partition(":")
        try:
            with socket.create_connection((host, int(port)), CONNECT_S):
                return True
        except OSError:
            return False

    def lost(self, what: str) -> ReplicaLostError:
        """Say why a replica is gone; where the whole cluster is, the connection is given up, to be made again."""
        if self.is_up():
            return ReplicaLostError(what)
        with self._lock:
            if self._ray is not None and not self.is_up():
                _leave(self._ray)
        return ReplicaLostError(f"the Ray cluster at {self.address} is gone")


def _leave(ray: Any) -> None:
    with contextlib.suppress(Exception):
        ray.shutdown()


def _import_ray(address: str) -> Any:
    """Import ray with what it reads from the environment set first: it asks and reports nothing elsewhere."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # The local node manager counts as alive, and its head as about to come back: else Ray ends this program.
    os.environ["RAY_RAYLET_PID"] = str(os.getpid())
    os.environ["RAY_gcs_rpc_server_reconnect_timeout_s"] = NEVER_S  # noqa: SIM112 - Ray reads it so
    if address.partition(":")[0] in _LOOPBACK:
        # Named for other systems, it makes Ray stay on 127.0.0.1, which it otherwise replaces by a public address.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise PolicyLoadError(f"replicas is above 0, and Ray is not installed: `{INSTALL}`") from error
