# SPDX-License-Identifier: Apache-2.0
"""What is kept of the things tried on a policy, and what is said of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from so101_policy_server.lerobot.optimize.trials import (
    OptionUnavailableError,
    Rehearsed,
    largest_difference,
    try_options,
)


class Bench:
    """A policy whose chunk is off by some amount and takes some time, both changed by options."""

    def __init__(self) -> None:
        self.off, self.time_s = 0.0, 0.100

    def __call__(self) -> Rehearsed:
        if math.isinf(self.off):
            raise RuntimeError("no such kernel")
        return Rehearsed((np.full((2, 3), 1.0 + self.off, dtype=np.float32),), self.time_s)


class Change:
    """An option that adds to the difference and multiplies the time."""

    def __init__(self, name: str, off: float, factor: float, unavailable: str = "") -> None:
        self.name, self._off, self._factor, self._unavailable = name, off, factor, unavailable

    def apply(self, policy: Bench):
        if self._unavailable:
            raise OptionUnavailableError(self._unavailable)
        before = policy.off, policy.time_s
        policy.off, policy.time_s = policy.off + self._off, policy.time_s * self._factor

        def undo() -> None:
            policy.off, policy.time_s = before

        return undo


def test_what_holds_the_bound_and_is_faster_is_kept() -> None:
    policy = Bench()
    done = try_options(policy, [Change("one", 1e-5, 0.5), Change("two", 2e-5, 0.8)], policy)
    assert done.kept == ("one", "two")
    assert policy.time_s == pytest.approx(0.040)
    assert done.before_s / done.after_s == pytest.approx(2.5)
    assert done.difference == pytest.approx(3e-5, rel=0.02)
    assert done.lines()[0] == (
        "100 to 40 ms a chunk (2.50 x), difference at most 3.0e-05 of 1.0e-04 allowed, with one, two"
    )


def test_what_breaks_the_bound_is_refused_with_the_number_and_undone() -> None:
    policy = Bench()
    done = try_options(policy, [Change("half", 2e-3, 0.3)], policy)
    assert done.kept == ()
    assert (policy.off, policy.time_s) == (0.0, 0.100)
    assert done.lines() == (
        "nothing kept, 100 ms a chunk",
        "half: not kept, difference 2.0e-03 is above 1.0e-04",
    )


def test_differences_of_several_options_add_up_to_one_bound() -> None:
    policy = Bench()
    done = try_options(policy, [Change("one", 7e-5, 0.5), Change("two", 7e-5, 0.5)], policy)
    assert done.kept == ("one",)
    assert done.difference == pytest.approx(7e-5, rel=0.02)


def test_what_is_not_faster_is_undone() -> None:
    policy = Bench()
    done = try_options(policy, [Change("same", 0.0, 0.99)], policy)
    assert policy.time_s == 0.100
    assert done.trials[0].reason == "not faster: 100 to 99 ms"


def test_what_cannot_run_is_undone_and_says_why() -> None:
    policy = Bench()
    broken, absent = Change("broken", math.inf, 0.5), Change("absent", 0.0, 0.5, "for the CPU")
    done = try_options(policy, [broken, absent], policy)
    assert [trial.reason for trial in done.trials] == ["RuntimeError: no such kernel", "for the CPU"]
    assert (policy.off, policy.time_s) == (0.0, 0.100)
    assert policy().time_s == 0.100


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_beyond_any_bound(value: float) -> None:
    chunk = np.zeros((2, 3), dtype=np.float32)
    broken = chunk.copy()
    broken[1, 2] = value
    assert largest_difference([chunk], [broken]) == math.inf
    assert largest_difference([chunk], [chunk[:1]]) == math.inf
    assert largest_difference([chunk], [chunk + np.float32(0.5)]) == 0.5
