# SPDX-License-Identifier: Apache-2.0
"""Which policy a robot means by its pretrained_name_or_path, and whether this server may run it."""

from __future__ import annotations

import fnmatch
import os
from dataclasses import dataclass, replace

from so101_policy_server.policy import OF_ONE_CHECKPOINT, PolicySource


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """What robots may name.

    Attributes:
        own: the server's own policy, which "" means; its path is "" when it has none, and "" then means any.
        allowed: shell patterns of further policies.
    """

    own: PolicySource
    allowed: tuple[str, ...] = ()

    def is_met(self, path: str, source: PolicySource, resolved: str = "") -> bool:
        """Whether `source`, found at `resolved`, is what a robot means by `path`."""
        meant = path or self.own.path
        return not meant or names_same_policy(meant, source, resolved)

    def source(self, path: str, policy_type: str = "", device: str = "") -> PolicySource | None:
        """What to load for a robot that means `path`; None when it means any, or one that is not admitted."""
        meant = path or self.own.path
        if not meant:
            return None
        if names_same_policy(meant, self.own):
            return self.own
        if not is_admitted(meant, self.allowed):
            return None
        blank = PolicySource("")
        return replace(
            self.own,
            path=meant,
            policy_type=policy_type,
            device=device or self.own.device,
            **{name: getattr(blank, name) for name in OF_ONE_CHECKPOINT},
        )

    def describe(self, path: str) -> str:
        """The path in words, for lines that people read."""
        return f"pretrained_name_or_path is '{path}'" + ("" if path else f" (the server's own, '{self.own.path}')")


def names_same_policy(path: str, source: PolicySource, resolved: str = "") -> bool:
    """Whether a path, which is not empty, means the policy that `source` names, `resolved` being where that is."""
    return path in (source.path, resolved) or os.path.normpath(path) == os.path.normpath(source.path)


def is_admitted(path: str, allowed: tuple[str, ...]) -> bool:
    """Whether a shell pattern in `allowed` fits; a path that climbs with ".." must be named literally."""
    if ".." in path.split("/"):
        return path in allowed
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in allowed)
