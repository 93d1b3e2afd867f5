# SPDX-License-Identifier: Apache-2.0
"""Errors of the correction. Each message is one line for people."""


class CorrectionError(Exception):
    """Root of everything that this package raises on purpose."""


class CorrectionInputError(CorrectionError, ValueError):
    """An array or a number that cannot be used; the message names it, with what was expected and what was got."""


class CorrectionFileError(CorrectionError, ValueError):
    """A file that holds no correction that can be used; the message names the file and the key."""


class ThumbnailError(CorrectionError, ValueError):
    """A frame of which no thumbnail can be made; the message says why."""


def expect_array(what: str, got: tuple[int, ...], expected: tuple[int | str, ...]) -> None:
    """Raise CorrectionInputError unless the shapes agree; a word in `expected` stands for any number.

    Args:
        what: the name of the array.
        got: its shape.
        expected: the shape that it must have.
    """
    fits = len(got) == len(expected) and all(
        isinstance(want, str) or want == have for have, want in zip(got, expected, strict=True)
    )
    if not fits:
        raise CorrectionInputError(f"{what}: expected shape {_shape(expected)}, got {_shape(got)}")


def _shape(parts: tuple[int | str, ...]) -> str:
    return " x ".join(map(str, parts)) or "of a single value"
