# SPDX-License-Identifier: Apache-2.0
"""Which topics a recording takes: names with `*` for one part of a name, relative to the robot's namespace."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def absolute(pattern: str, namespace: str) -> str:
    """Return the pattern with the namespace before it, unless it begins with `/`."""
    return pattern if pattern.startswith("/") else f"{namespace.rstrip('/')}/{pattern}"


def matches(topic: str, pattern: str) -> bool:
    """Tell whether an absolute topic name fits an absolute pattern; `*` stands for exactly one part."""
    parts, wanted = topic.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(w in ("*", p) for w, p in zip(wanted, parts, strict=True))


@dataclass(frozen=True, slots=True)
class Selection:
    """Topics that fit one of `topics` and none of `exclude`; all absolute."""

    topics: tuple[str, ...]
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, topics: Iterable[str], exclude: Iterable[str], namespace: str) -> "Selection":
        """Return the selection that these patterns mean in a namespace."""
        return cls(
            tuple(absolute(pattern, namespace) for pattern in topics),
            tuple(absolute(pattern, namespace) for pattern in exclude if pattern),
        )

    def wants(self, topic: str) -> bool:
        """Tell whether the topic is to be recorded."""
        return any(matches(topic, p) for p in self.topics) and not any(matches(topic, p) for p in self.exclude)


def ros2_command(selection: Selection, folder: str) -> list[str]:
    """Return the `ros2 bag record` command that records the same topics."""
    command = ["ros2", "bag", "record", "--storage", "mcap", "--storage-preset-profile", "zstd_fast"]
    command += ["--output", folder, "--regex", _regex(selection.topics)]
    if selection.exclude:
        command += ["--exclude-regex", _regex(selection.exclude)]
    return command


def _regex(patterns: Sequence[str]) -> str:
    return "^(" + "|".join(pattern.replace("*", "[^/]+") for pattern in patterns) + ")$"
