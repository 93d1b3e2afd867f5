# SPDX-License-Identifier: Apache-2.0
"""The nodes that are installed here, and what each declares: the entry points of the group `so101.parameters`.

Loading them imports the nodes' modules; only messages about a wrong key need that, and a node that runs well never.
"""

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from functools import cache
from typing import Any

GROUP = "so101.parameters"


@cache
def node_names() -> frozenset[str]:
    """Return the executables, which are also the names that their nodes have where a launch file gives no other."""
    return frozenset(point.name for point in importlib.metadata.entry_points(group=GROUP))


@cache
def parameters_of(executable: str) -> type[Any] | None:
    """Return the parameter dataclass of an executable, or None where it cannot be had here."""
    for point in importlib.metadata.entry_points(group=GROUP, name=executable):
        try:
            return point.load()  # type: ignore[no-any-return]
        except ImportError:  # a computer without the simulator still has its entry points in a shared workspace
            return None
    return None


@cache
def declared() -> Mapping[str, frozenset[str]]:
    """Return the parameter names of each executable."""
    found = {}
    for executable in sorted(node_names()):
        cls = parameters_of(executable)
        if cls is not None:
            found[executable] = frozenset(field.name for field in dataclasses.fields(cls))
    return found


def declarers(key: str) -> list[str]:
    """Return the executables that declare a parameter of that name."""
    return [executable for executable, names in declared().items() if key in names]
