# SPDX-License-Identifier: Apache-2.0
"""When a policy that has rested goes once through what a request needs, so that the request itself finds it warm.

Between the requests of one robot, 0.8 s, other programs take the processor's caches: the first frame then takes 4 ms to
decode where it takes 1.5, and preparing three of them for the policy 5 ms instead of 0.8 (measured on two cores of a
Xeon that others share; without them it is little). Requests come regularly, so a server can do the same just before the
next one, on what it throws away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from so101_policy_server.core.served_robot import ServedRobot

BEFORE_NS: Final = 25_000_000
"""How long before the request: a rehearsal takes 3 to 6 ms, and 30 ms later all is still warm."""

BEFORE_FRAMES_NS: Final = 12_000_000
"""How long before the last frame of a request for whose frames the cameras wait."""

COLD_AFTER_NS: Final = 150_000_000
"""Robots that ask more often than this keep the policy warm by themselves."""

GIVEN_UP_NS: Final = 100_000_000
"""A request that is later than this by the robot's own rhythm does not come; the next one sets the rhythm again."""


class Rehearsals:
    """Which rehearsals are due; each once for each request of a robot, and once while its frames are awaited.

    Not thread-safe.
    """

    def __init__(self) -> None:
        self._done_ns: dict[str, int] = {}
        self._awaits_ns: dict[str, int] = {}

    def await_frames(self, robot: ServedRobot, now_ns: int, wait_ns: int) -> None:
        """A request came, for whose frames its cameras wait so long."""
        if wait_ns > BEFORE_FRAMES_NS:
            self._awaits_ns[robot.name] = now_ns + wait_ns - BEFORE_FRAMES_NS
        else:
            self._awaits_ns.pop(robot.name, None)

    def due_in_ns(self, robots: Iterable[ServedRobot], now_ns: int) -> int | None:
        """How long until the next rehearsal for one of these robots, ns; 0 = now, None = none is to be expected."""
        waits = [due_ns - now_ns for robot in robots if (due_ns := self._due_ns(robot, now_ns)) is not None]
        return max(0, min(waits)) if waits else None

    def done(self, robots: Iterable[ServedRobot], now_ns: int) -> None:
        """Those that were due by now are made."""
        for robot in robots:
            due_ns = self._due_ns(robot, now_ns)
            if due_ns is None or due_ns > now_ns or robot.asked_ns is None:
                continue
            if self._before_frames_ns(robot, now_ns) is not None:
                del self._awaits_ns[robot.name]
            else:
                self._done_ns[robot.name] = robot.asked_ns

    def _before_frames_ns(self, robot: ServedRobot, now_ns: int) -> int | None:
        """When the rehearsal before its last awaited frame is due; None when the frame has come, or none is awaited."""
        awaits_ns = self._awaits_ns.get(robot.name)
        return awaits_ns if awaits_ns is not None and now_ns <= awaits_ns + BEFORE_FRAMES_NS else None

    def _due_ns(self, robot: ServedRobot, now_ns: int) -> int | None:
        before_frames_ns = self._before_frames_ns(robot, now_ns)
        if before_frames_ns is not None:
            return before_frames_ns
        next_ns = robot.next_request_ns
        if next_ns is None or robot.asked_ns is None or self._done_ns.get(robot.name) == robot.asked_ns:
            return None
        if robot.accepted is None or next_ns - robot.asked_ns < COLD_AFTER_NS or now_ns > next_ns + GIVEN_UP_NS:
            return None
        return next_ns - BEFORE_NS
