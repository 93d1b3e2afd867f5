# SPDX-License-Identifier: Apache-2.0
"""Our side once more, its two computers joined by the link alone: one TLS connection, and DDS stays within each."""

import time
from collections.abc import Sequence
from typing import TextIO

from so101_link.errors import KeysError
from so101_link.keys.authority import SERVER, Authority
from so101_link.keys.certificates import ROBOT_WITHOUT_NAMESPACE

from so101_bench.errors import BenchError
from so101_bench.free_port import free_port
from so101_bench.hosts import Hosts
from so101_bench.ours.our_side import OurSide, lease
from so101_bench.work import Work

KEYS_DAYS = 1


class LinkedSide(OurSide):
    """The same launch files, with server_link and link_port."""

    name = "link"

    def __init__(self, work: Work, hosts: Hosts, log: TextIO, turn: str) -> None:
        super().__init__(work, hosts, log, turn)
        # On loopback the two halves would meet over DDS as well, were they in one domain.
        self._server_lease = lease()
        self._port = free_port()
        keys, now_s = self._folder / "keys", time.time()
        try:
            authority = Authority.create(keys, now_s)
            authority.make([SERVER, ROBOT_WITHOUT_NAMESPACE], KEYS_DAYS, now_s)
        except KeysError as error:
            raise BenchError(f"{self.name}: {error}") from error
        self._server_keys = str(authority.place(SERVER))
        self._robot_keys = str(authority.place(ROBOT_WITHOUT_NAMESPACE))

    def stop(self) -> None:
        """End all and give both domains back."""
        super().stop()
        self._server_lease.close()

    def robot_labels(self) -> Sequence[str]:
        """All nodes of robot.launch.xml, the link's among them."""
        return [*super().robot_labels(), "link_robot"]

    def _server_arguments(self) -> dict[str, str]:
        return {"link_port": str(self._port), "link_keys": self._server_keys}

    def _robot_arguments(self) -> dict[str, str]:
        server = f"{self._hosts.server_address}:{self._port}"
        return {"server_link": server, "link_keys": self._robot_keys}

    def _server_domain(self) -> int:
        return self._server_lease.id
