"""The ledger of questions and the rules that say when to ask."""

import pytest
from so101_action_queue.asking import (
    ASK_RULES,
    LONGEST_RETRY_AFTER_S,
    REMEMBERED,
    Questions,
    adaptive,
    is_slow,
    threshold,
)
from so101_action_queue.round_trip import RoundTrips
from so101_action_queue.settings import Settings

S = 1_000_000_000


def trips(seconds: float) -> RoundTrips:
    result = RoundTrips()
    result.add(9.0)
    result.add(seconds)
    return result


def test_ids_rise_by_one_and_the_newest_is_outstanding() -> None:
    questions = Questions()
    assert [questions.ask(0, 0, 0).request_id for _ in range(3)] == [1, 2, 3]
    assert questions.outstanding is not None
    assert questions.outstanding.request_id == 3


def test_an_answer_to_an_older_question_is_good_and_leaves_the_newer_one_outstanding() -> None:
    questions = Questions()
    first, second = questions.ask(0, 0, 0), questions.ask(S, 5, 5)
    assert questions.find(1) == first
    questions.close_accepted(first)
    assert questions.outstanding == second
    assert questions.find(1) is None
    assert questions.is_answered(1)
    assert questions.find(2) == second


def test_accepting_the_newest_closes_all() -> None:
    questions = Questions()
    questions.ask(0, 0, 0)
    questions.close_accepted(questions.ask(S, 5, 5))
    assert questions.outstanding is None
    assert questions.find(1) is None
    assert not questions.is_answered(1)  # overtaken, never answered: its answer would be stale, not a duplicate


def test_errors_wait_longer_each_time_up_to_two_seconds_and_a_good_answer_resets_that() -> None:
    questions = Questions()
    waits = []
    for _ in range(6):
        questions.close_failed(0, questions.ask(0, 0, 0))
        waits.append(next(wait for wait in range(0, 3000, 100) if not questions.is_waiting_to_retry(wait * 1_000_000)))
    assert waits == [200, 400, 800, 1600, 2000, 2000]
    questions.close_accepted(questions.ask(0, 0, 0))
    questions.close_failed(0, questions.ask(0, 0, 0))
    assert not questions.is_waiting_to_retry(200_000_000)


def test_the_servers_wish_for_patience_is_followed_within_reason() -> None:
    questions = Questions()
    questions.close_failed(0, questions.ask(0, 0, 0), retry_after_s=0.5)
    assert questions.is_waiting_to_retry(round(0.49 * S))
    assert not questions.is_waiting_to_retry(round(0.5 * S))
    questions.close_failed(0, questions.ask(0, 0, 0), retry_after_s=1e9)
    assert not questions.is_waiting_to_retry(round(LONGEST_RETRY_AFTER_S * S))


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -1.0, 0.0])
def test_a_wish_that_makes_no_sense_gets_our_own_waiting_time(nonsense: float) -> None:
    questions = Questions()
    questions.close_failed(0, questions.ask(0, 0, 0), retry_after_s=nonsense)
    assert questions.is_waiting_to_retry(round(0.19 * S))
    assert not questions.is_waiting_to_retry(round(0.2 * S))


def test_a_question_asked_in_spite_of_the_waiting_time_ends_it() -> None:
    questions = Questions()
    questions.close_failed(0, questions.ask(0, 0, 0), retry_after_s=9.0)
    questions.close_accepted(questions.ask(0, 0, 0))  # a new task asks at once
    assert not questions.is_waiting_to_retry(1)


def test_an_error_answer_to_an_older_question_does_not_delay_the_next() -> None:
    questions = Questions()
    first = questions.ask(0, 0, 0)
    second = questions.ask(S, 0, 0)
    questions.close_failed(S, first, retry_after_s=5.0)
    assert questions.outstanding == second
    assert not questions.is_waiting_to_retry(S)


def test_a_server_that_gave_no_sign_yet_is_asked_again_soon_and_then_less_often() -> None:
    settings = Settings(request_timeout_s=1.0)
    questions = Questions()
    asked_ns, waits = 0, []
    questions.ask(0, 0, 0)
    for now_ns in range(0, 4 * S, S // 100):
        if questions.is_overdue(now_ns, settings, RoundTrips()):
            questions.ask(now_ns, 0, 0)
            waits.append(round((now_ns - asked_ns) / S, 2))
            asked_ns = now_ns
    assert waits == [0.21, 0.31, 0.46, 0.68, 1.01, 1.01]
    questions.forget_outstanding()
    questions.new_server()
    questions.ask(5 * S, 0, 0)
    assert questions.is_overdue(round(5.3 * S), settings, RoundTrips())


def test_an_answer_to_an_overtaken_question_is_no_sign_that_the_newest_came_through() -> None:
    settings = Settings(request_timeout_s=1.0)
    questions = Questions()
    first = questions.ask(0, 0, 0)
    questions.ask(S, 0, 0)
    questions.close_failed(S, first)
    assert questions.is_overdue(round(1.4 * S), settings, RoundTrips())


@pytest.mark.parametrize("sign", ["an answer", "busy with ours"])
def test_a_server_that_gave_a_sign_gets_the_whole_timeout(sign: str) -> None:
    settings = Settings(request_timeout_s=1.0)
    questions = Questions()
    first = questions.ask(0, 0, 0)
    if sign == "an answer":
        questions.close_accepted(first)
        questions.ask(0, 0, 0)
    else:
        questions.server_is_busy_with_us(0)
    assert not questions.is_overdue(S, settings, RoundTrips())
    assert questions.is_overdue(S + 1, settings, RoundTrips())


def test_a_question_is_asked_again_after_the_timeout_or_twice_the_usual_time() -> None:
    settings = Settings(request_timeout_s=1.0)
    questions = Questions()
    questions.close_accepted(questions.ask(0, 0, 0))
    questions.ask(0, 0, 0)
    assert not questions.is_overdue(S, settings, RoundTrips())
    assert questions.is_overdue(S + 1, settings, RoundTrips())
    assert not questions.is_overdue(round(2.9 * S), settings, trips(1.5))
    assert questions.is_overdue(round(3.1 * S), settings, trips(1.5))


def test_a_server_busy_with_ours_gets_more_time_but_not_for_ever() -> None:
    settings = Settings(request_timeout_s=1.0, busy_timeout_s=5.0)
    questions = Questions()
    questions.ask(0, 0, 0)
    for tenth in range(51):
        questions.server_is_busy_with_us(tenth * S // 10)
        assert not questions.is_overdue(tenth * S // 10, settings, RoundTrips())
    questions.server_is_busy_with_us(5 * S + 1)
    assert questions.is_overdue(5 * S + 1, settings, RoundTrips())


def test_the_ledger_does_not_grow_without_end() -> None:
    questions = Questions()
    for number in range(10 * REMEMBERED):
        questions.close_failed(0, questions.ask(number, 0, 0))
    for number in range(10 * REMEMBERED):
        questions.ask(number, 0, 0)
    assert sum(questions.find(number) is not None for number in range(20 * REMEMBERED + 1)) == REMEMBERED
    assert sum(questions.is_answered(number) for number in range(20 * REMEMBERED + 1)) == REMEMBERED


@pytest.mark.parametrize(("share", "most"), [(0.0, 0), (0.3, 15), (0.5, 25), (1.0, 50)])
def test_threshold_asks_at_a_share_of_the_last_chunk(share: float, most: int) -> None:
    settings = Settings(chunk_size_threshold=share)
    assert threshold(50, RoundTrips(), settings) == most


def test_adaptive_asks_as_late_as_the_round_trip_and_the_margin_allow() -> None:
    settings = Settings(margin_steps=3, min_replan_steps=15)
    # 0.2 s at 30 Hz are 6 steps, and 3 more.
    assert adaptive(50, trips(0.2), settings) == 9


def test_adaptive_keeps_the_shortest_distance_between_questions() -> None:
    settings = Settings(margin_steps=3, min_replan_steps=40)
    # 27 rows would be needed, 50 - 40 = 10 are allowed; but half the chunk is always allowed.
    assert adaptive(50, trips(0.8), settings) == 25
    assert adaptive(50, trips(0.8), Settings(margin_steps=3, min_replan_steps=24)) == 26


def test_adaptive_with_a_round_trip_beyond_half_the_chunk_asks_after_every_answer() -> None:
    settings = Settings()
    assert is_slow(50, trips(0.9), settings)
    assert adaptive(50, trips(0.9), settings) == 50
    assert not is_slow(50, trips(0.8), settings)


def test_adaptive_before_anything_is_measured_is_threshold() -> None:
    settings = Settings(chunk_size_threshold=0.5)
    assert adaptive(50, RoundTrips(), settings) == 25


def test_every_rule_asks_when_nothing_is_left() -> None:
    for rule in ASK_RULES.values():
        for seconds in (0.01, 0.5, 5.0):
            assert rule(50, trips(seconds), Settings(chunk_size_threshold=0.0, min_replan_steps=100)) >= 0
