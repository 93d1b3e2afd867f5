# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with the demo. Each message is one line that names the thing and the remedy."""

from collections.abc import Sequence


class DemoError(RuntimeError):
    """Root of all of them; itself: the demo cannot go on. `details`: lines that come before the message."""

    def __init__(self, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)


class CallRefusedError(DemoError):
    """A service refused."""


class LateError(DemoError):
    """Something was waited for in vain."""


class FilmError(DemoError):
    """The film cannot be made."""
