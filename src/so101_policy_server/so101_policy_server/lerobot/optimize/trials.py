# SPDX-License-Identifier: Apache-2.0
"""Tries the options on a loaded policy one after the other, and keeps those that hold the bound and are faster.

Knows neither LeRobot nor torch: a policy is whatever the options take, its chunks are arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from so101_policy_server.errors import PolicyServerError, one_line

BOUND: Final = 1e-4
"""Largest difference of a value of a chunk in the model's own, normalised space: with a standard deviation of 30
degrees 0.003 degrees, a thirtieth of an encoder tick."""

GAIN: Final = 0.97
"""An option has to bring the time below this part of what it was: less is the noise of the measurement."""

Chunk = npt.NDArray[np.float32]
Undo = Callable[[], None]


class OptionUnavailableError(PolicyServerError):
    """An option has nothing to do on this policy or device; the message says why."""


class Option(Protocol):
    """One way to run the same policy faster."""

    @property
    def name(self) -> str:
        """As people read it in the log."""
        ...

    def apply(self, policy: Any) -> Undo:
        """Change the policy in place.

        Returns:
            What brings it back to how it was, to the bit.

        Raises:
            OptionUnavailableError: it has nothing to do here.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What came out of a rehearsal.

    Attributes:
        chunks: in the model's own space, (rows, joints) each, of several observations.
        time_s: of one chunk, the shortest of a few, s: what else the machine does only ever adds; processor time where
            one thread does it all.
    """

    chunks: tuple[Chunk, ...]
    time_s: float


Rehearsal = Callable[[], Rehearsed]
"""Runs the policy on made-up observations that are the same each time, noise included."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one option.

    Attributes:
        option: its name.
        kept: whether the policy runs with it now.
        difference: largest one to the chunks without any option, normalised; NaN where it did not run.
        before_s: time of a chunk without it, with those kept before, s; NaN where it did not run.
        after_s: the same with it.
        reason: why it was not kept; "" where it was.
    """

    option: str
    kept: bool
    difference: float = math.nan
    before_s: float = math.nan
    after_s: float = math.nan
    reason: str = ""

    def __str__(self) -> str:
        if not self.kept:
            return f"{self.option}: not kept, {self.reason}"
        times = f"{self.before_s * 1e3:.3g} to {self.after_s * 1e3:.3g} ms"
        return f"{self.option}: kept, {times}, difference at most {self.difference:.1e}"


@dataclass(frozen=True, slots=True)
class Optimization:
    """What the trials made of a policy.

    Attributes:
        trials: in the order they were made.
        before_s: time of a chunk as the library runs it, s.
        after_s: the same with the options that were kept.
        difference: largest one of the two's chunks, normalised; 0 where none was kept.
        bound: what it was held to.
    """

    trials: tuple[Trial, ...]
    before_s: float
    after_s: float
    difference: float
    bound: float

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the options that the policy runs with."""
        return tuple(trial.option for trial in self.trials if trial.kept)

    def lines(self) -> tuple[str, ...]:
        """What came of it, and then each trial."""
        if not self.kept:
            head = f"nothing kept, {self.before_s * 1e3:.3g} ms a chunk"
        else:
            head = (
                f"{self.before_s * 1e3:.3g} to {self.after_s * 1e3:.3g} ms a chunk "
                f"({self.before_s / self.after_s:.2f} x), difference at most {self.difference:.1e} of {self.bound:.1e} "
                f"allowed, with {', '.join(self.kept)}"
            )
        return (head, *map(str, self.trials))


def try_options(
    policy: Any,
    options: Sequence[Option],
    rehearsal: Rehearsal,
    bound: float = BOUND,
    progress: Callable[[str], None] = lambda _text: None,
) -> Optimization:
    """Try each option on top of those kept before it.

    Args:
        policy: changed in place.
        options: in the order to try them.
        rehearsal: runs this policy.
        bound: see `BOUND`.
        progress: told the name of the option under trial.
    """
    rehearsal()  # the first after loading still picks kernels
    reference = rehearsal()
    fastest_s = reference.time_s
    difference = 0.0
    trials = []
    for option in options:
        progress(option.name)
        trial = _try(policy, option, rehearsal, reference.chunks, fastest_s, bound)
        trials.append(trial)
        if trial.kept:
            fastest_s, difference = trial.after_s, trial.difference
    return Optimization(tuple(trials), reference.time_s, fastest_s, difference, bound)


def largest_difference(reference: Sequence[Chunk], chunks: Sequence[Chunk]) -> float:
    """The largest difference of any value; infinite where shapes differ or a value is not finite."""
    largest = 0.0
    for expected, got in zip(reference, chunks, strict=True):
        if expected.shape != got.shape or not np.isfinite(got).all():
            return math.inf
        largest = max(largest, float(np.abs(expected.astype(np.float64) - got).max(initial=0.0)))
    return largest


def _try(
    policy: Any, option: Option, rehearsal: Rehearsal, reference: Sequence[Chunk], before_s: float, bound: float
) -> Trial:
    try:
        undo = option.apply(policy)
    except OptionUnavailableError as error:
        return Trial(option.name, kept=False, reason=str(error))
    try:
        rehearsed = rehearsal()
    except Exception as error:  # noqa: BLE001 - whatever a policy's code raises, it goes on as it was
        undo()
        return Trial(option.name, kept=False, reason=f"{type(error).__name__}: {one_line(error)}")
    difference, after_s, reason = largest_difference(reference, rehearsed.chunks), rehearsed.time_s, ""
    if difference > bound:
        reason = f"difference {difference:.1e} is above {bound:.1e}"
    elif after_s > before_s * GAIN:
        reason = f"not faster: {before_s * 1e3:.3g} to {after_s * 1e3:.3g} ms"
    if reason:
        undo()
    return Trial(option.name, not reason, difference, before_s, after_s, reason)
