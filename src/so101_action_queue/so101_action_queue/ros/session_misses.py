# SPDX-License-Identifier: Apache-2.0
"""Deadlines that the control thread missed, counted from the begin of each session."""

from dataclasses import replace

from so101_node.threads import Tick


class SessionMisses:
    """Counts missed deadlines from the begin of each session, as the other counters of QueueStatus do."""

    def __init__(self) -> None:
        self._session = 0
        self._before = 0

    def since_begin(self, session: int, tick: Tick) -> Tick:
        """Return `tick` with only the misses after the first tick of `session`."""
        if session != self._session:
            self._session, self._before = session, tick.misses
        return replace(tick, misses=tick.misses - self._before)
