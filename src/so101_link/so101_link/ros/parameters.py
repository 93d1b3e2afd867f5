# SPDX-License-Identifier: Apache-2.0
"""Parameters of both nodes of the link."""

from __future__ import annotations

from dataclasses import dataclass

from so101_node.parameters import ParameterError, parameter, precedence

from so101_link.core.framing import DEFAULT_PORT
from so101_link.errors import KeysError, LinkAddressError
from so101_link.keys.folder import KeyFolder
from so101_link.transport.dialer import LinkAddress


@dataclass(frozen=True, slots=True)
class LinkRobotParameters:
    """Of link_robot."""

    server_link: str = parameter(
        "", "where the server's link_server is reached, HOST:PORT, such as gpu.example.org:7447"
    )
    link_keys: str = parameter("", "folder of this robot's keys, as ./so101 link keys made it: robots/NAME")
    niceness: int = precedence.niceness(-5)

    def validate(self) -> None:
        """Check the address; the keys are read by `read_keys`."""
        if not self.server_link:
            raise ParameterError("server_link = '': must be HOST:PORT of the server, such as gpu.example.org:7447")
        try:
            LinkAddress.parse(self.server_link)
        except LinkAddressError as error:
            raise ParameterError(f"server_link = {error}") from error


@dataclass(frozen=True, slots=True)
class LinkServerParameters:
    """Of link_server."""

    link_port: int = parameter(DEFAULT_PORT, "TCP port that robots connect to", lower=1, upper=65535)
    link_address: str = parameter("", "address of the interface that is listened on; empty = all")
    link_keys: str = parameter("", "folder of the server's keys, as ./so101 link keys made it: server")
    niceness: int = precedence.niceness(0)


def read_keys(folder: str, role: str) -> KeyFolder:
    """Read the keys of this computer, whatever their age: a clock may still be set.

    Raises:
        ParameterError: they cannot be read, or are those of the other role.
    """
    if not folder:
        raise ParameterError("link_keys = '': must be a folder of keys; ./so101 link keys DIR makes them")
    try:
        keys = KeyFolder.read_whatever_its_age(folder)
    except KeysError as error:
        raise ParameterError(f"link_keys = {folder!r}: {error}") from error
    if keys.role != role:
        wanted = "DIR/server" if role == "server" else "DIR/robots/NAME"
        raise ParameterError(f"link_keys = {folder!r}: are the keys of {keys.name} ({keys.role}): must be {wanted}")
    return keys
