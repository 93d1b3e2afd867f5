# SPDX-License-Identifier: Apache-2.0
"""When a policy that rested goes through a request that it throws away."""

from __future__ import annotations

import pytest
from so101_policy_server.core.rehearsing import BEFORE_FRAMES_NS, BEFORE_NS, GIVEN_UP_NS
from so101_policy_server.core.server import PolicyServer

MS = 1_000_000
SPACING_NS = 833 * MS


@pytest.fixture
def server(examples) -> PolicyServer:
    return examples.ready_server()


def ask(server: PolicyServer, examples, *times_ns: int, robot: str = "", first_id: int = 1) -> None:
    for number, at_ns in enumerate(times_ns):
        server.request(examples.request(first_id + number, robot=robot, received_ns=at_ns), at_ns)


def test_nothing_is_rehearsed_before_the_rhythm_of_a_robot_is_known(server, examples) -> None:
    assert server.rehearsal_in_ns(0) is None
    ask(server, examples, 0)
    assert server.rehearsal_in_ns(1) is None


def test_a_rehearsal_is_due_once_shortly_before_each_request(server, examples) -> None:
    ask(server, examples, 0, SPACING_NS)
    due_ns = 2 * SPACING_NS - BEFORE_NS
    assert server.rehearsal_in_ns(SPACING_NS) == SPACING_NS - BEFORE_NS
    assert server.rehearsal_in_ns(due_ns) == 0
    server.rehearses(due_ns)
    assert server.rehearsal_in_ns(due_ns) is None
    ask(server, examples, 2 * SPACING_NS, first_id=3)
    assert server.rehearsal_in_ns(2 * SPACING_NS) == SPACING_NS - BEFORE_NS


def test_a_request_that_does_not_come_is_rehearsed_for_no_more(server, examples) -> None:
    ask(server, examples, 0, SPACING_NS)
    assert server.rehearsal_in_ns(2 * SPACING_NS + GIVEN_UP_NS) == 0
    assert server.rehearsal_in_ns(2 * SPACING_NS + GIVEN_UP_NS + 1) is None


def test_robots_that_ask_often_keep_the_policy_warm_by_themselves(server, examples) -> None:
    ask(server, examples, 0, 100 * MS)
    assert server.rehearsal_in_ns(190 * MS) is None


def test_the_next_of_several_robots_counts(server, examples) -> None:
    server.spec("/left", examples.spec(), 0)
    ask(server, examples, 0, SPACING_NS)
    ask(server, examples, 100 * MS, SPACING_NS, robot="/left")
    assert server.rehearsal_in_ns(SPACING_NS) == SPACING_NS - 100 * MS - BEFORE_NS
    server.rehearses(2 * SPACING_NS - 100 * MS - BEFORE_NS)
    assert server.rehearsal_in_ns(2 * SPACING_NS - 100 * MS - BEFORE_NS) == 100 * MS


def test_a_rehearsal_comes_shortly_before_the_last_frame_that_a_request_waits_for(server, examples) -> None:
    server.request(examples.request(1, frame_wait_ns=30 * MS), 0)
    assert server.rehearsal_in_ns(0) == 30 * MS - BEFORE_FRAMES_NS
    server.rehearses(30 * MS - BEFORE_FRAMES_NS)
    assert server.rehearsal_in_ns(30 * MS - BEFORE_FRAMES_NS) is None, "once"
    server.request(examples.request(2, frame_wait_ns=BEFORE_FRAMES_NS), SPACING_NS)
    assert server.rehearsal_in_ns(SPACING_NS) == SPACING_NS - BEFORE_NS, "these come too soon"


def test_frames_that_have_come_meanwhile_are_rehearsed_for_no_more(server, examples) -> None:
    server.request(examples.request(1, frame_wait_ns=30 * MS), 0)
    assert server.rehearsal_in_ns(31 * MS) is None


def test_frames_that_came_before_their_rehearsal_do_not_have_the_next_one_made_twice(server, examples) -> None:
    ask(server, examples, 0)
    server.request(examples.request(2, received_ns=SPACING_NS, frame_wait_ns=30 * MS), SPACING_NS)
    due_ns = 2 * SPACING_NS - BEFORE_NS
    assert server.rehearsal_in_ns(due_ns) == 0
    server.rehearses(due_ns)
    assert server.rehearsal_in_ns(due_ns) is None


def test_it_can_be_switched_off(examples) -> None:
    server = examples.ready_server(rehearse=False)
    ask(server, examples, 0, SPACING_NS)
    assert server.rehearsal_in_ns(2 * SPACING_NS - BEFORE_NS) is None
