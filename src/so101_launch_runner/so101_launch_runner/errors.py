# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a launch file, or keep it from running. Each message is one line."""

from pathlib import Path


class LaunchError(Exception):
    """Root of all of them."""


class SubstitutionError(LaunchError, ValueError):
    """A substitution that is malformed, unknown, or has no value here."""


class NoFreeDomainError(LaunchError, RuntimeError):
    """Every ROS domain of this computer is taken."""


class LaunchFileError(LaunchError):
    """A launch file needs something that cannot be done; the text is one line that begins with file and line."""

    def __init__(self, file: Path, line: int, message: str) -> None:
        super().__init__(f"{file}:{line}: {message}")
        self.file = file
        self.line = line
        self.message = message
