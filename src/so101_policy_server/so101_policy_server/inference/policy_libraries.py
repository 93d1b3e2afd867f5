# SPDX-License-Identifier: Apache-2.0
"""The libraries that policies come from: the entry points of the group `so101.policies`, name -> `Loader`.

LeRobot is one of them. What a library itself takes long to import belongs into its loader, which runs on the inference
thread while the server already says that it is loading. docs/how-to/add_a_policy.md shows a whole one.
"""

from __future__ import annotations

from typing import Final

from so101_node.entry_points import EntryPointError, EntryPointGroup

from so101_policy_server.errors import PolicyServerError
from so101_policy_server.inference.checked_policy import CheckedPolicy
from so101_policy_server.policy import LEROBOT, Loader, Policy, PolicySource, Progress

LIBRARIES: Final = EntryPointGroup(
    "so101.policies",
    parameter="policy_library",
    expected="a function (source, progress) that returns a policy",
    arguments=(PolicySource(""), print),
)


class PolicyLibraryError(PolicyServerError):
    """The parameter policy_library names no library that can be used here. The message is one line."""


def installed() -> list[str]:
    """Each installed library with the package that brings it, by name: "lerobot (so101_policy_server)"."""
    return LIBRARIES.installed()


def find_loader(library: str) -> Loader:
    """The loader of a library; what it loads is checked, see `CheckedPolicy`.

    Raises:
        PolicyLibraryError: no package or several give this library, or it cannot be imported, or is no loader.
    """
    try:
        loader: Loader = LIBRARIES.load(library)
    except EntryPointError as error:
        raise PolicyLibraryError(str(error)) from error

    def load(source: PolicySource, progress: Progress) -> Policy:
        policy = CheckedPolicy(loader(source, progress), library, source.min_inference_s)
        if library != LEROBOT:  # whose adaptor has warmed its policies up in this way, at the price of seconds
            progress("rehearsing")
            policy.rehearse()
        return policy

    return load
