# SPDX-License-Identifier: Apache-2.0
"""Lines for the log as values: a core decides them, a node writes them; a flood of faults is no flood of text."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

MAX_WAITING: Final = 64
"""Lines that are kept until somebody takes them; more say nothing new."""


class LogLevel(IntEnum):
    """Severity of a line."""

    INFO = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line for the log."""

    level: LogLevel
    text: str


class LogThrottle:
    """Lets a line of each kind through once in an interval; knows no clock."""

    def __init__(self, interval_s: float) -> None:
        self._interval_ns = round(interval_s * 1e9)
        self._last_ns: dict[str, int] = {}

    def lets_through(self, now_ns: int, kind: str = "") -> bool:
        """Whether a line of this kind may be written now; if so, the interval begins again."""
        last_ns = self._last_ns.get(kind)
        if last_ns is not None and now_ns - last_ns < self._interval_ns:
            return False
        self._last_ns[kind] = now_ns
        return True


class ThrottledLines:
    """Collects lines until the node takes them, each kind at most once in an interval."""

    def __init__(self, interval_s: float = 1.0) -> None:
        self._throttle = LogThrottle(interval_s)
        self._waiting: list[LogLine] = []

    def add(self, now_ns: int, kind: str, level: LogLevel, text: str) -> None:
        """Keep the line unless one of the same `kind` was kept within the interval."""
        if self._throttle.lets_through(now_ns, kind) and len(self._waiting) < MAX_WAITING:
            self._waiting.append(LogLine(level, text))

    def take(self) -> list[LogLine]:
        """Return the collected lines, oldest first, and forget them."""
        if not self._waiting:
            return []
        taken, self._waiting = self._waiting, []
        return taken


def write_line(logger: Any, line: LogLine) -> None:
    """Write a line with rclpy's logger, which refuses another severity from a line of code that has logged before."""
    if line.level is LogLevel.ERROR:
        logger.error(line.text)
    elif line.level is LogLevel.WARNING:
        logger.warning(line.text)
    else:
        logger.info(line.text)
