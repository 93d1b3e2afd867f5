# SPDX-License-Identifier: Apache-2.0
"""Which sessions a policy may remember something of: a bounded number, one for each robot."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from so101_policy_server.core.request import SessionKey

ROBOTS_REMEMBERED: Final = 32
"""As many as the mailbox has slots. A policy's memory of one session may be megabytes of a GPU."""


class ServedSessions:
    """The sessions that were served last. Not thread-safe."""

    def __init__(self) -> None:
        self._session_of: OrderedDict[str, SessionKey] = OrderedDict()

    def serve(self, sessions: Iterable[SessionKey]) -> list[SessionKey]:
        """Note sessions that are served now; returns those that are to be forgotten.

        They are a robot's session before its present one, and what was served longest ago of too many robots.
        """
        over = []
        for session in sessions:
            before = self._session_of.get(session.robot)
            if before is not None and before != session:
                over.append(before)
            self._session_of[session.robot] = session
            self._session_of.move_to_end(session.robot)
        while len(self._session_of) > ROBOTS_REMEMBERED:
            over.append(self._session_of.popitem(last=False)[1])
        return over

    def clear(self) -> None:
        """Another policy, which has seen none of them."""
        self._session_of.clear()
