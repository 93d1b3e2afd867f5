"""What the core asks its caller to do, besides `Answer` and `Decode`."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from so101_policy_server.intake import Decode
from so101_policy_server.policy import PolicySource
from so101_policy_server.request import Answer


class Level(enum.Enum):
    """Severity of a log line."""

    INFO = enum.auto()
    WARNING = enum.auto()
    ERROR = enum.auto()


@dataclass(frozen=True, slots=True)
class Log:
    """To be done: write this line."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Load:
    """To be done: load this policy on the inference thread, and tell `PolicyServer.loaded` or `load_failed`."""

    source: PolicySource


Effect = Answer | Decode | Load | Log
