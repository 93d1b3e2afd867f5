# SPDX-License-Identifier: Apache-2.0
"""Errors of the action queue. Each message is one line for people."""


class ActionQueueError(Exception):
    """Root of everything that this package raises on purpose."""


class LimitsError(ActionQueueError, ValueError):
    """JointLimits cannot be used; the message names the joint."""


class ShapeError(ActionQueueError, ValueError):
    """An array has another shape than expected; the message holds both."""


class TransitionError(ActionQueueError, RuntimeError):
    """An event was reported in a phase in which it cannot happen."""


class StartError(ActionQueueError, RuntimeError):
    """A session was begun, or expected to begin, before all that it needs is known."""


class LogError(ActionQueueError, ValueError):
    """An entry of a decision log cannot be read."""


def expect_shape(what: str, got: tuple[int, ...], expected: tuple[int | str, ...]) -> None:
    """Raise ShapeError unless the shapes agree; a word in `expected` stands for any number.

    Args:
        what: the name of the array.
    """
    fits = len(got) == len(expected) and all(
        isinstance(want, str) or want == have for have, want in zip(got, expected, strict=True)
    )
    if not fits:
        shown = " x ".join(str(part) for part in expected) or "a single value"
        raise ShapeError(f"{what}: shape {' x '.join(map(str, got)) or 'of a single value'}, expected {shown}")
