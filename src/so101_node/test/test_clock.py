# SPDX-License-Identifier: Apache-2.0
"""The clock that goes on while the computer is suspended."""

import time

import pytest
from so101_node.timing import clock


def test_it_is_the_monotonic_clock_while_nothing_is_suspended() -> None:
    before = time.monotonic_ns()
    now = clock.now_ns()
    assert before - 1_000_000 <= now <= time.monotonic_ns() + 1_000_000


def test_ten_minutes_under_a_closed_lid_are_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = clock.now_ns()
    real = time.clock_gettime_ns
    monkeypatch.setattr(time, "clock_gettime_ns", lambda which: real(which) + 600_000_000_000)  # CLOCK_BOOTTIME's jump
    assert 600.0 <= (clock.now_ns() - before) / 1e9 < 601.0
