# SPDX-License-Identifier: Apache-2.0
"""Percentiles over the last answers, and warnings that do not flood."""

from __future__ import annotations

import math

import pytest
from so101_node.metrics.quantile import WINDOW
from so101_policy_server.core.timing import InferenceTimes, RecentTimes

NS = 1_000_000_000


def test_percentiles_are_of_the_last_answers_only() -> None:
    times = InferenceTimes(target_s=10.0)
    times.add(9.0, 0)
    for tenths in range(1, WINDOW + 1):
        times.add(tenths / 10, 0)
    assert times.percentile(50) == pytest.approx(2.5)  # one that was measured, as the queue's
    assert times.percentile(100) == pytest.approx(5.0)


def test_what_is_not_known_does_not_count() -> None:
    times = RecentTimes()
    for seconds in (math.nan, 0.2, math.nan):
        times.add(seconds)
    assert (len(times), times.percentile(50)) == (1, 0.2)


def test_before_the_first_answer_there_is_no_percentile() -> None:
    assert math.isnan(InferenceTimes(0.033).percentile(50))


def test_a_median_above_the_target_is_warned_about_every_ten_seconds() -> None:
    times = InferenceTimes(target_s=0.033)
    assert times.add(0.030, 0) is None
    assert times.add(0.065, 0) is None  # the median is a time that was measured: of two the smaller
    assert times.add(0.100, 0) == "inference takes 0.065 s (median of 3), target inference_latency = 0.033 s"
    assert times.add(0.100, 9 * NS) is None
    assert times.add(0.100, 10 * NS) is not None


def test_a_single_slow_answer_among_fast_ones_is_not_worth_a_warning() -> None:
    times = InferenceTimes(target_s=0.033)
    assert [times.add(seconds, 0) for seconds in (0.01, 0.01, 2.0)] == [None] * 3
