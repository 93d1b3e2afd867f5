# SPDX-License-Identifier: Apache-2.0
"""Windowed quantiles."""

import math

from so101_action_queue.core.request_rules import REQUEST_RULES, WINDOW, RoundTrips
from so101_action_queue.core.settings import REQUEST_POLICIES


def test_nothing_is_known_before_the_second_chunk_because_the_first_is_warm_up() -> None:
    trips = RoundTrips()
    assert math.isnan(trips.p95_s)
    trips.add(9.0)
    assert trips.last_s == 9.0
    assert math.isnan(trips.p50_s)
    trips.add(0.1)
    assert (trips.p50_s, trips.p95_s) == (0.1, 0.1)


def test_quantiles_of_twenty_chunks_are_the_tenth_and_the_nineteenth() -> None:
    trips = RoundTrips()
    trips.add(99.0)
    for value in range(20, 0, -1):
        trips.add(value / 100)
    assert trips.p50_s == 0.10
    assert trips.p95_s == 0.19


def test_a_spike_is_forgotten_after_a_window_of_chunks() -> None:
    trips = RoundTrips()
    for _ in range(3):
        trips.add(2.0)
    assert trips.p95_s == 2.0
    for _ in range(WINDOW):
        trips.add(0.1)
    assert trips.p95_s == 0.1


def test_a_new_server_begins_with_its_own_warm_up() -> None:
    trips = RoundTrips()
    trips.add(0.1)
    trips.add(0.1)
    trips.new_server()
    trips.add(5.0)
    assert math.isnan(trips.p95_s)
    trips.add(0.2)
    assert trips.p95_s == 0.2


def test_every_rule_has_its_name_among_the_parameters_choices() -> None:
    assert tuple(REQUEST_RULES) == REQUEST_POLICIES
