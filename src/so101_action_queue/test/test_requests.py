# SPDX-License-Identifier: Apache-2.0
"""The ledger of requests and the rules that say when to ask."""

import pytest
from so101_action_queue.core.request_rules import REQUEST_RULES, RoundTrips, adaptive, is_slow, threshold
from so101_action_queue.core.requests import LONGEST_RETRY_AFTER_S, REMEMBERED, Closing, Requests
from so101_action_queue.core.settings import QueueSettings

S = 1_000_000_000


def trips(seconds: float) -> RoundTrips:
    result = RoundTrips()
    result.add(9.0)
    result.add(seconds)
    return result


def test_ids_rise_by_one_and_the_newest_is_outstanding() -> None:
    requests = Requests()
    assert [requests.open(0, 0, 0).request_id for _ in range(3)] == [1, 2, 3]
    assert requests.outstanding is not None
    assert requests.outstanding.request_id == 3


def test_a_chunk_to_an_older_request_is_good_and_leaves_the_newer_one_outstanding() -> None:
    requests = Requests()
    first, second = requests.open(0, 0, 0), requests.open(S, 5, 5)
    assert requests.ledger.open.get(1) == first
    requests.close(0, first, Closing.ACCEPTED)
    assert requests.outstanding == second
    assert requests.ledger.open.get(1) is None
    assert 1 in requests.ledger.answered
    assert requests.ledger.open.get(2) == second


def test_accepting_the_newest_closes_all() -> None:
    requests = Requests()
    requests.open(0, 0, 0)
    requests.close(0, requests.open(S, 5, 5), Closing.ACCEPTED)
    assert requests.outstanding is None
    assert requests.ledger.open.get(1) is None
    assert 1 not in requests.ledger.answered  # overtaken, never answered: its chunk would be stale, not a duplicate


def test_errors_wait_longer_each_time_up_to_two_seconds_and_a_good_chunk_resets_that() -> None:
    requests = Requests()
    waits = []
    for _ in range(6):
        requests.close(0, requests.open(0, 0, 0), Closing.FAILED)
        waits.append(next(wait for wait in range(0, 3000, 100) if not requests.is_waiting_to_retry(wait * 1_000_000)))
    assert waits == [200, 400, 800, 1600, 2000, 2000]
    requests.close(0, requests.open(0, 0, 0), Closing.ACCEPTED)
    requests.close(0, requests.open(0, 0, 0), Closing.FAILED)
    assert not requests.is_waiting_to_retry(200_000_000)


def test_the_servers_wish_for_patience_is_followed_within_reason() -> None:
    requests = Requests()
    requests.close(0, requests.open(0, 0, 0), Closing.FAILED, retry_after_s=0.5)
    assert requests.is_waiting_to_retry(round(0.49 * S))
    assert not requests.is_waiting_to_retry(round(0.5 * S))
    requests.close(0, requests.open(0, 0, 0), Closing.FAILED, retry_after_s=1e9)
    assert not requests.is_waiting_to_retry(round(LONGEST_RETRY_AFTER_S * S))


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -1.0, 0.0])
def test_a_wish_that_makes_no_sense_gets_our_own_waiting_time(nonsense: float) -> None:
    requests = Requests()
    requests.close(0, requests.open(0, 0, 0), Closing.FAILED, retry_after_s=nonsense)
    assert requests.is_waiting_to_retry(round(0.19 * S))
    assert not requests.is_waiting_to_retry(round(0.2 * S))


def test_a_request_sent_in_spite_of_the_waiting_time_ends_it() -> None:
    requests = Requests()
    requests.close(0, requests.open(0, 0, 0), Closing.FAILED, retry_after_s=9.0)
    requests.close(0, requests.open(0, 0, 0), Closing.ACCEPTED)  # a new task asks at once
    assert not requests.is_waiting_to_retry(1)


def test_an_error_chunk_to_an_older_request_does_not_delay_the_next() -> None:
    requests = Requests()
    first = requests.open(0, 0, 0)
    second = requests.open(S, 0, 0)
    requests.close(S, first, Closing.FAILED, retry_after_s=5.0)
    assert requests.outstanding == second
    assert not requests.is_waiting_to_retry(S)


def test_a_server_that_gave_no_sign_yet_is_requested_again_soon_and_then_less_often() -> None:
    settings = QueueSettings(request_timeout_s=1.0)
    requests = Requests()
    asked_ns, waits = 0, []
    requests.open(0, 0, 0)
    for now_ns in range(0, 4 * S, S // 100):
        if requests.is_overdue(now_ns, settings):
            requests.open(now_ns, 0, 0)
            waits.append(round((now_ns - asked_ns) / S, 2))
            asked_ns = now_ns
    assert waits == [0.21, 0.31, 0.46, 0.68, 1.01, 1.01]
    requests.forget_outstanding()
    requests.new_server()
    requests.open(5 * S, 0, 0)
    assert requests.is_overdue(round(5.3 * S), settings)


def test_a_chunk_to_an_overtaken_request_is_no_sign_that_the_newest_came_through() -> None:
    settings = QueueSettings(request_timeout_s=1.0)
    requests = Requests()
    first = requests.open(0, 0, 0)
    requests.open(S, 0, 0)
    requests.close(S, first, Closing.FAILED)
    assert requests.is_overdue(round(1.4 * S), settings)


@pytest.mark.parametrize("sign", ["an answer", "busy with ours"])
def test_a_server_that_gave_a_sign_gets_the_whole_timeout(sign: str) -> None:
    settings = QueueSettings(request_timeout_s=1.0)
    requests = Requests()
    first = requests.open(0, 0, 0)
    if sign == "an answer":
        requests.close(0, first, Closing.ACCEPTED)
        requests.open(0, 0, 0)
    else:
        requests.server_is_busy_with_us(0)
    assert not requests.is_overdue(S, settings)
    assert requests.is_overdue(S + 1, settings)


def test_a_request_is_repeated_after_the_timeout_or_twice_the_usual_time() -> None:
    settings = QueueSettings(request_timeout_s=1.0)
    requests = Requests()
    requests.close(0, requests.open(0, 0, 0), Closing.ACCEPTED)
    requests.open(0, 0, 0)
    assert not requests.is_overdue(S, settings)
    assert requests.is_overdue(S + 1, settings)
    requests.round_trips = trips(1.5)
    assert not requests.is_overdue(round(2.9 * S), settings)
    assert requests.is_overdue(round(3.1 * S), settings)


def test_a_server_busy_with_ours_gets_more_time_but_not_forever() -> None:
    settings = QueueSettings(request_timeout_s=1.0, busy_timeout_s=5.0)
    requests = Requests()
    requests.open(0, 0, 0)
    for tenth in range(51):
        requests.server_is_busy_with_us(tenth * S // 10)
        assert not requests.is_overdue(tenth * S // 10, settings)
    requests.server_is_busy_with_us(5 * S + 1)
    assert requests.is_overdue(5 * S + 1, settings)


def test_the_ledger_does_not_grow_without_end() -> None:
    requests = Requests()
    for number in range(10 * REMEMBERED):
        requests.close(0, requests.open(number, 0, 0), Closing.FAILED)
    for number in range(10 * REMEMBERED):
        requests.open(number, 0, 0)
    assert sum(requests.ledger.open.get(number) is not None for number in range(20 * REMEMBERED + 1)) == REMEMBERED
    assert sum(number in requests.ledger.answered for number in range(20 * REMEMBERED + 1)) == REMEMBERED


@pytest.mark.parametrize(("share", "most"), [(0.0, 0), (0.3, 15), (0.5, 25), (1.0, 50)])
def test_threshold_asks_at_a_share_of_the_last_chunk(share: float, most: int) -> None:
    settings = QueueSettings(chunk_size_threshold=share)
    assert threshold(50, RoundTrips(), settings) == most


def test_adaptive_asks_as_late_as_the_round_trip_and_the_margin_allow() -> None:
    settings = QueueSettings(margin_steps=3, min_replan_steps=15)
    # 0.2 s at 30 Hz are 6 steps, and 3 more.
    assert adaptive(50, trips(0.2), settings) == 9


def test_adaptive_keeps_the_shortest_distance_between_requests() -> None:
    settings = QueueSettings(margin_steps=3, min_replan_steps=40)
    # 27 rows would be needed, 50 - 40 = 10 are allowed; but half the chunk is always allowed.
    assert adaptive(50, trips(0.8), settings) == 25
    assert adaptive(50, trips(0.8), QueueSettings(margin_steps=3, min_replan_steps=24)) == 26


def test_adaptive_with_a_round_trip_beyond_half_the_chunk_asks_after_every_chunk() -> None:
    settings = QueueSettings()
    assert is_slow(50, trips(0.9), settings)
    assert adaptive(50, trips(0.9), settings) == 50
    assert not is_slow(50, trips(0.8), settings)


def test_adaptive_before_anything_is_measured_is_threshold() -> None:
    settings = QueueSettings(chunk_size_threshold=0.5)
    assert adaptive(50, RoundTrips(), settings) == 25


def test_every_rule_asks_when_nothing_is_left() -> None:
    for rule in REQUEST_RULES.values():
        for seconds in (0.01, 0.5, 5.0):
            assert rule(50, trips(seconds), QueueSettings(chunk_size_threshold=0.0, min_replan_steps=100)) >= 0
