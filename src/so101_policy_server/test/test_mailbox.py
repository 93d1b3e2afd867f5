# SPDX-License-Identifier: Apache-2.0
"""The requests of each session that wait: who is displaced, who is next."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_policy_server.core.mailbox import SESSIONS_REMEMBERED, WAITING_PER_SESSION, Arrival, Mailbox
from so101_policy_server.core.pending_observation import PendingObservation
from so101_policy_server.core.request import PolicyRequest


def taken(mailbox: Mailbox) -> PendingObservation | None:
    """The next request, if there is one."""
    return next(iter(mailbox.take(1)), None)


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def waiting(examples):
    """Makes a request wait for one frame."""
    return lambda request: PendingObservation(request, examples.needs("front"), 0)


@pytest.fixture
def complete(mailbox, examples):
    """Brings that frame, as `Intake` does; returns the requests that give way to the one that it completes."""

    def bring(request: PolicyRequest, when: int) -> list[PolicyRequest]:
        pending = mailbox.get(request.key)
        if pending is not None:
            pending.decoded(examples.frame("front", request.key.request_id), examples.picture(), when)
        return mailbox.completed(request.key)

    return bring


def test_a_request_gives_way_to_a_newer_one_of_its_session_that_is_complete(
    mailbox, waiting, complete, examples
) -> None:
    first, second = examples.request(1), examples.request(2)
    assert mailbox.put(waiting(first)) == (Arrival.NEW, [])
    assert mailbox.put(waiting(second)) == (Arrival.NEW, [])
    assert complete(second, 0) == [first]
    assert taken(mailbox).request is second
    assert taken(mailbox) is None


def test_a_request_without_frames_displaces_the_older_ones_at_once(mailbox, waiting, examples) -> None:
    first = examples.request(1)
    mailbox.put(waiting(first))
    assert mailbox.put(PendingObservation(examples.request(2), (), 0)) == (Arrival.NEW, [first])


def test_requests_that_come_faster_than_their_frames_are_served_all_the_same(
    mailbox, waiting, complete, examples
) -> None:
    """Several are under way, and the frames of each come after the next request: at each moment one lacks them."""
    requests = [examples.request(number) for number in range(1, 30)]
    mailbox.put(waiting(requests[0]))
    for before, request in pairwise(requests):
        assert mailbox.put(waiting(request)) == (Arrival.NEW, [])
        assert complete(before, 0) == []
        assert taken(mailbox).request is before


def test_requests_whose_frames_never_come_do_not_pile_up(mailbox, waiting, examples) -> None:
    requests = [examples.request(number) for number in range(1, WAITING_PER_SESSION + 4)]
    displaced = [mailbox.put(waiting(request))[1] for request in requests]
    assert displaced == [[]] * WAITING_PER_SESSION + [[requests[0]], [requests[1]], [requests[2]]]
    assert len(mailbox.waiting()) == WAITING_PER_SESSION


def test_a_request_of_which_the_newer_ones_lack_frames_is_taken(mailbox, waiting, complete, examples) -> None:
    first = examples.request(1)
    mailbox.put(waiting(first))
    mailbox.put(waiting(examples.request(2)))
    complete(first, 0)
    assert taken(mailbox).request is first
    assert taken(mailbox) is None


def test_a_request_is_not_taken_before_its_observation_is_complete(mailbox, waiting, complete, examples) -> None:
    request = examples.request(1)
    mailbox.put(waiting(request))
    assert taken(mailbox) is None
    complete(request, 0)
    assert taken(mailbox).request is request


def test_sessions_do_not_displace_each_other(mailbox, waiting, examples) -> None:
    one, other = examples.request(1, session=1), examples.request(1, session=2)
    assert mailbox.put(waiting(one)) == (Arrival.NEW, [])
    assert mailbox.put(waiting(other)) == (Arrival.NEW, [])


def test_the_same_session_number_of_two_robots_means_two_sessions(mailbox, waiting, examples) -> None:
    assert mailbox.put(waiting(examples.request(1, robot="/left"))) == (Arrival.NEW, [])
    assert mailbox.put(waiting(examples.request(1, robot="/right"))) == (Arrival.NEW, [])


def test_a_copy_is_recognised_while_it_waits_and_after_it_left(mailbox, waiting, examples) -> None:
    request = examples.request(1)
    mailbox.put(waiting(request))
    assert mailbox.put(waiting(examples.request(1))) == (Arrival.DUPLICATE, [])
    mailbox.drop(request.key)
    assert mailbox.put(waiting(examples.request(1))) == (Arrival.DUPLICATE, [])


def test_a_request_overtaken_by_a_newer_one_is_outdated_once(mailbox, waiting, examples) -> None:
    mailbox.put(waiting(examples.request(5)))
    assert mailbox.put(waiting(examples.request(4))) == (Arrival.OUTDATED, [])
    assert mailbox.put(waiting(examples.request(4))) == (Arrival.DUPLICATE, [])


def test_a_refused_request_is_noted_once(mailbox, waiting, examples) -> None:
    assert not mailbox.knows(examples.key(3))
    mailbox.note(examples.key(3))
    assert mailbox.knows(examples.key(3))
    assert mailbox.put(waiting(examples.request(3))) == (Arrival.DUPLICATE, [])


def test_a_flood_of_refused_sessions_fills_no_memory_and_displaces_nobody(mailbox, waiting, examples) -> None:
    first = waiting(examples.request(1, session=1))
    mailbox.put(first)
    for session in range(2, 5000):
        mailbox.note(examples.key(1, session))
    assert len(mailbox._slots) <= SESSIONS_REMEMBERED + 1
    assert mailbox.waiting() == [first]


def test_an_empty_queue_goes_before_one_that_waited_longer(mailbox, waiting, complete, examples) -> None:
    patient, urgent = examples.request(1, session=1), examples.request(1, session=2, must_go=True)
    for when, request in enumerate((patient, urgent)):
        mailbox.put(waiting(request))
        complete(request, when)
    assert [taken(mailbox).request, taken(mailbox).request] == [urgent, patient]


def test_among_equals_the_one_complete_first_goes_first(mailbox, waiting, complete, examples) -> None:
    late, early = examples.request(1, session=1), examples.request(1, session=2)
    mailbox.put(waiting(late))
    mailbox.put(waiting(early))
    complete(early, 10)
    complete(late, 20)
    assert [taken(mailbox).request, taken(mailbox).request] == [early, late]


def test_a_displaced_request_cannot_become_complete(mailbox, waiting, complete, examples) -> None:
    mailbox.put(waiting(examples.request(1)))
    mailbox.put(waiting(examples.request(2)))
    complete(examples.request(2), 0)
    taken(mailbox)
    assert complete(examples.request(1), 0) == []
    assert taken(mailbox) is None


def test_old_sessions_are_forgotten_and_their_request_handed_back(mailbox, waiting, examples) -> None:
    first = examples.request(1, session=1)
    mailbox.put(waiting(first))
    displaced = [mailbox.put(waiting(examples.request(1, session=2 + n)))[1] for n in range(SESSIONS_REMEMBERED)]
    assert displaced == [[]] * (SESSIONS_REMEMBERED - 1) + [[first]]


def test_several_are_taken_at_once_one_of_each_robot(mailbox, waiting, complete, examples) -> None:
    requests = [examples.request(1, robot=f"/robot{number}") for number in range(4)]
    for when, request in enumerate(requests):
        mailbox.put(waiting(request))
        complete(request, when)
    assert [pending.request for pending in mailbox.take(3)] == requests[:3]
    assert [pending.request for pending in mailbox.take(3)] == requests[3:]
    assert mailbox.take(3) == []


def test_two_sessions_of_one_robot_are_not_taken_together(mailbox, waiting, complete, examples) -> None:
    requests = [examples.request(1, session=session, robot="/robot") for session in (1, 2)]
    for request in requests:
        mailbox.put(waiting(request))
        complete(request, 0)
    assert [len(mailbox.take(8)), len(mailbox.take(8)), len(mailbox.take(8))] == [1, 1, 0]


def test_a_session_keeps_its_place_when_its_request_gives_way_to_a_newer_one(
    mailbox, waiting, complete, examples
) -> None:
    """Else a robot that asks faster than it is served would go to the back each time."""
    hasty, other = examples.request(1, session=1), examples.request(1, session=2)
    for when, request in enumerate((hasty, other)):
        mailbox.put(waiting(request))
        complete(request, when)
    newer = examples.request(2, session=1)
    mailbox.put(waiting(newer))
    assert complete(newer, 10) == [hasty]
    assert [taken(mailbox).request, taken(mailbox).request] == [newer, other]


def test_a_robot_is_overtaken_by_one_with_an_empty_queue_only_once(mailbox, waiting, complete, examples) -> None:
    patient = examples.request(1, session=1)
    mailbox.put(waiting(patient))
    complete(patient, 0)
    order = []
    for number in range(1, 4):
        urgent = examples.request(number, session=2, must_go=True)
        mailbox.put(waiting(urgent))
        complete(urgent, number)
        order.append(taken(mailbox).request.key.session.session)
    assert order == [2, 1, 2]


@given(
    largest=st.integers(1, 3),
    turns=st.lists(st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=8), min_size=12, max_size=30),
)
def test_however_robots_ask_none_waits_more_than_one_batch_longer_than_it_must(largest, turns, examples) -> None:
    """`turns`: who asks before each batch is taken. Five robots in batches of `largest` need so many batches."""
    mailbox, since, ids = Mailbox(), {}, dict.fromkeys(range(1, 6), 0)
    for turn, asking in enumerate(turns):
        for robot, must_go in asking:
            ids[robot] += 1
            request = examples.request(ids[robot], session=robot, robot=f"/{robot}", must_go=must_go)
            mailbox.put(PendingObservation(request, (), turn))
            since.setdefault(robot, turn)
        for pending in mailbox.take(largest):
            waited = turn - since.pop(pending.request.key.session.session)
            assert waited <= -(-5 // largest)


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
            request = examples.request(request_id, session=session)
            arrival, displaced = mailbox.put(PendingObservation(request, examples.needs("front"), 0))
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
            pending = mailbox.get(key)
            if pending is not None:
                pending.decoded(examples.frame("front", request_id), examples.picture(), 0)
            answered += [request.key for request in mailbox.completed(key)]
            ready = [one.request.key for one in mailbox.waiting() if one.complete_since_ns is not None]
            assert len(ready) == len({one.session for one in ready})
        else:
            pending = taken(mailbox) if what == "take" else mailbox.drop(key)
            answered += [] if pending is None else [pending.request.key]
    waiting = [pending.request.key for pending in mailbox.waiting()]
    assert sorted(map(str, answered + waiting)) == sorted(map(str, owed))
