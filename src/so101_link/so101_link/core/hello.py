# SPDX-License-Identifier: Apache-2.0
"""What each end says of itself first, and why another end is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from so101_link.core.framing import PROTOCOL_VERSION, one_line
from so101_link.core.topics import LinkRole
from so101_link.errors import LinkProtocolError

ROOT_NAMESPACE: Final = "root"
"""The name of a robot without a namespace."""

SAME_VERSION: Final = "install the same version on robot and server"


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of an end.

    Attributes:
        role: which end it is.
        robot: the robot's name; "" from the server, which has several.
        types: message type -> hash over its definition.
        protocol: version of what follows.
        release: version of the package, for people.
        yields: a robot that was replaced by another connection of its name: it takes a free place only.
    """

    role: LinkRole
    robot: str = ""
    types: Mapping[str, str] = field(default_factory=dict)
    protocol: int = PROTOCOL_VERSION
    release: str = ""
    yields: bool = False

    def encode(self) -> bytes:
        """Return it as JSON, which other versions can read too."""
        return json.dumps({**asdict(self), "types": dict(self.types)}).encode()

    @classmethod
    def decode(cls, body: bytes) -> Hello:
        """Read it; what later versions add is passed over. Raises LinkProtocolError."""
        try:
            read: dict[str, Any] = json.loads(body)
            return cls(
                role=LinkRole(read["role"]),
                robot=str(read["robot"])[:64],
                types={str(name): str(value) for name, value in read["types"].items()},
                protocol=int(read["protocol"]),
                release=one_line(str(read.get("release", ""))[:32]),
                yields=read.get("yields") is True,
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise LinkProtocolError("the first message is no hello of so101_link") from error


def version_fault(mine: Hello, theirs: Hello) -> str:
    """Return in one line why the two cannot talk, as either end may say it; "" where they can."""
    releases = f"{mine.role} has so101_link {mine.release or '?'}, {theirs.role} {theirs.release or '?'}"
    if mine.protocol != theirs.protocol:
        return f"protocol {mine.protocol} and {theirs.protocol} ({releases}): {SAME_VERSION}"
    changed = sorted(name for name in mine.types if mine.types[name] != theirs.types.get(name))
    return f"{', '.join(changed)} differs between them ({releases}): {SAME_VERSION}" if changed else ""


def refusal(mine: Hello, theirs: Hello, certificate_name: str) -> str:
    """Return why the server refuses this robot or probe, in one line; "" where it does not.

    Args:
        mine: the server's own.
        theirs: what it heard.
        certificate_name: the robot's name in the certificate that the other end has proved to own.
    """
    if theirs.role is LinkRole.SERVER:
        return "a server has connected to a server: give server_link to the robot"
    if theirs.robot != certificate_name:
        return (
            f"it says it is robot {theirs.robot!r}, its certificate is that of {certificate_name!r}: "
            f"start it in the namespace of its keys, or give it keys of {theirs.robot!r}"
        )
    if theirs.role is LinkRole.PROBE:  # the doctor tells differing messages itself
        return version_fault(replace(mine, types={}), theirs)
    return version_fault(mine, theirs)


def name_of_namespace(namespace: str) -> str:
    """Return the robot's name in its certificate: `/arm1` -> arm1, `/` -> root."""
    return namespace.strip("/") or ROOT_NAMESPACE


def namespace_of_name(name: str) -> str:
    """Return the namespace of a robot, with a slash at its end: arm1 -> `/arm1/`, root -> `/`."""
    return "/" if name == ROOT_NAMESPACE else f"/{name}/"
