# SPDX-License-Identifier: Apache-2.0
"""Missed deadlines of one session."""

from so101_action_queue.ros.session_misses import SessionMisses
from so101_node.threads import Tick


def test_misses_before_a_session_are_not_its_own() -> None:
    misses = SessionMisses()

    def seen(session: int, missed: int) -> int:
        return misses.since_begin(session, Tick(0, 0, 0, missed, 30.0)).misses

    assert [seen(0, 7), seen(5, 20), seen(5, 20), seen(5, 23), seen(6, 23), seen(6, 24)] == [7, 0, 0, 3, 0, 1]
