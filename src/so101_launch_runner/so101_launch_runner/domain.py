# SPDX-License-Identifier: Apache-2.0
"""A ROS domain of one's own: two runs on one machine must never hear each other.

A domain is taken when its UDP ports (7400 + 250 d and up, the RTPS rule) are in use, or when another run of this
workspace holds its lock file. The lock ends with the process, however it ends.
"""

import fcntl
import os
import random
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

from so101_launch_runner.errors import NoFreeDomainError

# Above 101 the ports run into Linux's ephemeral range; 0 is everybody's default.
DOMAINS = range(1, 102)
PORT_BASE, PORTS_PER_DOMAIN = 7400, 250
_IPV4_DIGITS = 8


def environment(domain: int) -> dict[str, str]:
    """Return the variables with which processes meet in that domain on this computer, without shared memory.

    Why without: config/fastdds_udp.xml.
    """
    profile = Path(get_package_share_directory("so101_config")) / "fastdds_udp.xml"
    return {
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT",
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(profile),
    }


def ports_in_use(tables: Iterable[Path] = (Path("/proc/net/udp"), Path("/proc/net/udp6"))) -> set[int]:
    """Return the local UDP ports of this machine, without those of sockets that only listen to a multicast group.

    Fast DDS binds to no group; the doctor does, to hear the nodes of every domain.
    """
    ports = set()
    for table in tables:
        if table.exists():
            for line in table.read_text().splitlines()[1:]:
                address, _colon, port = line.split()[1].rpartition(":")
                if not (len(address) == _IPV4_DIGITS and address[-2] == "E"):  # the last byte comes first: 224 to 239
                    ports.add(int(port, 16))
    return ports


def is_quiet(domain: int, ports: set[int]) -> bool:
    """Tell whether no port of the domain is in use."""
    first = PORT_BASE + PORTS_PER_DOMAIN * domain
    return not any(first <= port < first + PORTS_PER_DOMAIN for port in ports)


class DomainLease:
    """A free domain, held until `close` or the end of the process. `id` is its number."""

    def __init__(self, folder: Path | None = None, ports: set[int] | None = None) -> None:
        """Take a free domain.

        Args:
            folder: of the lock files; default: the system's temporary folder.
            ports: UDP ports in use; default: this machine's.

        Raises:
            NoFreeDomainError: all are taken.
        """
        folder = Path(tempfile.gettempdir()) if folder is None else folder
        ports = ports_in_use() if ports is None else ports
        for domain in random.sample(DOMAINS, len(DOMAINS)):
            if not is_quiet(domain, ports):
                continue
            descriptor = _lock(folder / f"so101_domain_{domain}.lock")
            if descriptor is not None:
                self.id = domain
                self._descriptor: int | None = descriptor
                return
        raise NoFreeDomainError("no ROS domain from 1 to 101 is free: end other ROS programs or choose one by hand")

    def close(self) -> None:
        """Give the domain back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class JoinedDomain(DomainLease):
    """A free domain that this process joins until `close`: the nodes that it makes meanwhile are in it.

    Attributes:
        environment: the variables that the other processes of the domain are started with.
    """

    def __init__(self) -> None:
        """Take a free domain and join it.

        Raises:
            NoFreeDomainError: all are taken.
        """
        super().__init__()
        self.environment = environment(self.id)
        self._before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)

    def close(self) -> None:
        """Give the domain back, and leave it. Harmless when repeated."""
        super().close()
        before, self._before = self._before, {}
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _lock(path: Path) -> int | None:
    """Return a descriptor that holds the file's lock, or None when another process holds it or owns the file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
