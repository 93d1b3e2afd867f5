"""One slot per session: who waits, who is displaced, who is next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_policy_server.mailbox import SESSIONS_REMEMBERED, Arrival, Mailbox
from so101_policy_server.request import RequestKey


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


def test_the_newest_request_of_a_session_replaces_the_one_before(mailbox, examples) -> None:
    first, second = examples.request(1), examples.request(2)
    assert mailbox.put(first) == (Arrival.NEW, [])
    assert mailbox.put(second) == (Arrival.NEW, [first])
    mailbox.complete(second.key, 0)
    assert mailbox.take() is second
    assert mailbox.take() is None


def test_a_request_is_not_taken_before_its_observation_is_complete(mailbox, examples) -> None:
    request = examples.request(1)
    mailbox.put(request)
    assert mailbox.take() is None
    mailbox.complete(request.key, 0)
    assert mailbox.take() is request


def test_sessions_do_not_displace_each_other(mailbox, examples) -> None:
    one, other = examples.request(1, session=1), examples.request(1, session=2)
    assert mailbox.put(one) == (Arrival.NEW, [])
    assert mailbox.put(other) == (Arrival.NEW, [])


def test_the_same_session_number_of_two_robots_means_two_sessions(mailbox, examples) -> None:
    assert mailbox.put(examples.request(1, robot="/left")) == (Arrival.NEW, [])
    assert mailbox.put(examples.request(1, robot="/right")) == (Arrival.NEW, [])


def test_a_copy_is_recognised_while_it_waits_and_after_it_left(mailbox, examples) -> None:
    request = examples.request(1)
    mailbox.put(request)
    assert mailbox.put(examples.request(1)) == (Arrival.DUPLICATE, [])
    mailbox.drop(request.key)
    assert mailbox.put(examples.request(1)) == (Arrival.DUPLICATE, [])


def test_a_request_overtaken_by_a_newer_one_is_outdated_once(mailbox, examples) -> None:
    mailbox.put(examples.request(5))
    assert mailbox.put(examples.request(4)) == (Arrival.OUTDATED, [])
    assert mailbox.put(examples.request(4)) == (Arrival.DUPLICATE, [])


def test_a_refused_request_is_noted_once(mailbox, examples) -> None:
    assert not mailbox.knows(examples.key(3))
    mailbox.note(examples.key(3))
    assert mailbox.knows(examples.key(3))
    assert mailbox.put(examples.request(3)) == (Arrival.DUPLICATE, [])


def test_a_flood_of_refused_sessions_fills_no_memory_and_displaces_nobody(mailbox, examples) -> None:
    waiting = examples.request(1, session=1)
    mailbox.put(waiting)
    for session in range(2, 5000):
        mailbox.note(examples.key(1, session))
    assert len(mailbox._slots) <= SESSIONS_REMEMBERED + 1
    assert mailbox.waiting() == [waiting.key]


def test_an_empty_queue_goes_before_one_that_waited_longer(mailbox, examples) -> None:
    patient, urgent = examples.request(1, session=1), examples.request(1, session=2, must_go=True)
    for when, request in enumerate((patient, urgent)):
        mailbox.put(request)
        mailbox.complete(request.key, when)
    assert [mailbox.take(), mailbox.take()] == [urgent, patient]


def test_among_equals_the_one_complete_first_goes_first(mailbox, examples) -> None:
    late, early = examples.request(1, session=1), examples.request(1, session=2)
    mailbox.put(late)
    mailbox.put(early)
    mailbox.complete(early.key, 10)
    mailbox.complete(late.key, 20)
    assert [mailbox.take(), mailbox.take()] == [early, late]


def test_a_displaced_request_cannot_become_complete(mailbox, examples) -> None:
    mailbox.put(examples.request(1))
    mailbox.put(examples.request(2))
    mailbox.complete(examples.key(1), 0)
    assert mailbox.take() is None


def test_old_sessions_are_forgotten_and_their_request_handed_back(mailbox, examples) -> None:
    first = examples.request(1, session=1)
    mailbox.put(first)
    displaced = [mailbox.put(examples.request(1, session=2 + n))[1] for n in range(SESSIONS_REMEMBERED)]
    assert displaced == [[]] * (SESSIONS_REMEMBERED - 1) + [[first]]


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["put", "complete", "take", "drop", "note"]), st.integers(1, 3), st.integers(1, 12)),
    max_size=80,
)


@given(operations=OPERATIONS)
def test_whatever_happens_each_request_is_owed_exactly_one_answer(operations, examples) -> None:
    mailbox, owed, answered = Mailbox(), set(), []
    for what, session, request_id in operations:
        key = examples.key(request_id, session)
        if what == "put":
            arrival, displaced = mailbox.put(examples.request(request_id, session=session))
            assert (arrival is Arrival.DUPLICATE) == (key in owed)
            owed.add(key)
            answered += [request.key for request in displaced] + [key] * (arrival is Arrival.OUTDATED)
        elif what == "note":
            assert mailbox.knows(key) == (key in owed)
            if key not in owed:
                mailbox.note(key)
                answered.append(key)
                owed.add(key)
        elif what == "complete":
            mailbox.complete(key, 0)
        else:
            request = mailbox.take() if what == "take" else mailbox.drop(key)
            answered += [] if request is None else [request.key]
    waiting: list[RequestKey] = mailbox.waiting()
    assert sorted(map(str, answered + waiting)) == sorted(map(str, owed))
