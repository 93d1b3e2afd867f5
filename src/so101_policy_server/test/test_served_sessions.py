# SPDX-License-Identifier: Apache-2.0
"""Which sessions a policy may remember."""

from __future__ import annotations

from so101_policy_server.core.request import SessionKey
from so101_policy_server.core.served_sessions import ROBOTS_REMEMBERED, ServedSessions


def test_robots_that_take_turns_are_remembered() -> None:
    sessions = ServedSessions()
    for _ in range(3):
        for robot in ("/one", "/two", "/three"):
            assert sessions.serve([SessionKey(robot, 1)]) == []


def test_a_new_session_of_a_robot_ends_its_old_one_and_nobody_elses() -> None:
    sessions = ServedSessions()
    sessions.serve([SessionKey("/one", 1), SessionKey("/two", 1)])
    assert sessions.serve([SessionKey("/two", 1), SessionKey("/one", 2)]) == [SessionKey("/one", 1)]


def test_of_too_many_robots_the_one_served_longest_ago_is_forgotten() -> None:
    sessions = ServedSessions()
    robots = [SessionKey(f"/robot{number}", 1) for number in range(ROBOTS_REMEMBERED + 1)]
    assert sessions.serve(robots[:-1]) == []
    assert sessions.serve([robots[0]]) == []
    assert sessions.serve([robots[-1]]) == [robots[1]]


def test_another_policy_has_seen_none_of_them() -> None:
    sessions = ServedSessions()
    sessions.serve([SessionKey("/one", 1)])
    sessions.clear()
    assert sessions.serve([SessionKey("/one", 2)]) == []
