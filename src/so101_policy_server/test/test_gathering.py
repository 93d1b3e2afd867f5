# SPDX-License-Identifier: Apache-2.0
"""How long a batch waits for the requests of other robots."""

from __future__ import annotations

import pytest
from so101_policy_server.core.gathering import Gathering

MS = 1_000_000


@pytest.fixture
def gathering() -> Gathering:
    return Gathering(0.005)


def test_nobody_is_waited_for_where_nobody_is_expected(gathering) -> None:
    assert gathering.wait_ns(100 * MS, others_expected=False, now_ns=100 * MS) == 0


def test_others_are_waited_for_no_longer_than_the_window(gathering) -> None:
    waits = [gathering.wait_ns(100 * MS, others_expected=True, now_ns=(100 + passed) * MS) for passed in range(8)]
    assert waits == [5 * MS, 4 * MS, 3 * MS, 2 * MS, 1 * MS, 0, 0, 0]


def test_a_request_that_waited_for_the_policy_still_waits_for_those_that_the_policy_just_served(gathering) -> None:
    gathering.freed(200 * MS)
    assert gathering.wait_ns(100 * MS, others_expected=True, now_ns=202 * MS) == 3 * MS


def test_without_a_window_nothing_ever_waits() -> None:
    assert Gathering(0.0).wait_ns(100 * MS, others_expected=True, now_ns=100 * MS) == 0
