# SPDX-License-Identifier: Apache-2.0
"""Named causes: chosen where something happens, explained in one table of each node, compared by programs.

Nobody reads a cause back out of a sentence, in which names of servers and cameras and the words of exceptions stand.
"""

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How bad it is; values of DiagnosticStatus.level."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Cause:
    """A named condition of a node. Programs compare `name`; `meaning` and `remedy` are for people."""

    name: str
    level: Level
    meaning: str
    remedy: str = ""
