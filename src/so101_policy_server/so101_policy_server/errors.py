# SPDX-License-Identifier: Apache-2.0
"""The errors of this package: one root, a message of one line that names the thing and the remedy."""

from __future__ import annotations

from typing import Final

LINE_LENGTH: Final = 400


class PolicyServerError(Exception):
    """Something that the policy server needs cannot be used."""


class WrongShapeError(PolicyServerError, ValueError):
    """An array does not have the shape that its use needs. The message is one line with both shapes."""


def one_line(error: BaseException) -> str:
    """The error's text on one line of at most LINE_LENGTH characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LINE_LENGTH else text[: LINE_LENGTH - 3] + "..."
