# SPDX-License-Identifier: Apache-2.0
"""Requests wait here for their frames and for the inference thread: one complete request per session at most.

A request gives way to a newer one of its session once that one has its frames. Were it the moment the newer request
comes, a queue with several requests under way would never get a chunk where frames take longer than its spacing.

Robots take turns: who has waited longest goes first, and a session keeps its place when its request gives way to a
newer one. Who has an empty queue may overtake the others, but each of them only once.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from so101_policy_server.core.pending_observation import PendingObservation
from so101_policy_server.core.request import PolicyRequest, RequestKey, SessionKey

SESSIONS_REMEMBERED: Final = 32
"""A robot has one session at a time; each restart of its queue makes a new one."""

IDS_REMEMBERED: Final = 64
"""Copies of a request come 10 ms after it, 64 requests at three a second cover 20 s."""


WAITING_PER_SESSION: Final = 8
"""As many as an action queue may have under way; one more, and the oldest gives way."""


def every_session(_session: SessionKey) -> bool:
    """No session is left out."""
    return True


class Arrival(enum.Enum):
    """What a request turned out to be."""

    NEW = enum.auto()
    """It waits now."""
    DUPLICATE = enum.auto()
    """It was here before; nothing is to be done."""
    OUTDATED = enum.auto()
    """Overtaken by a newer one; it never waited here and must be told so."""


@dataclass(slots=True)
class _Slot:
    newest_id: int = 0
    seen: deque[int] = field(default_factory=lambda: deque(maxlen=IDS_REMEMBERED))
    waiting: OrderedDict[int, PendingObservation] = field(default_factory=OrderedDict)
    ready_since_ns: int | None = None
    """When the session had a complete request first since one was taken; None while it has none."""
    overtaken: bool = False
    """Whether it had one when those of others were taken."""

    @property
    def complete(self) -> PendingObservation | None:
        """The request that has its frames, if there is one."""
        return next((waiting for waiting in self.waiting.values() if waiting.complete_since_ns is not None), None)

    def give_way(self, count: int) -> list[PolicyRequest]:
        """Remove and return the `count` oldest that wait."""
        return [self.waiting.popitem(last=False)[1].request for _ in range(count)]

    def has_seen(self, request_id: int) -> bool:
        """Whether a copy of that request was here, as far as it is remembered."""
        return request_id in self.seen or request_id <= self.newest_id - IDS_REMEMBERED


class Mailbox:
    """Holds a few requests per session, of which one at most is complete, and hands out complete ones.

    Each NEW request leaves exactly once, by one of `put` and `completed` (displaced), `take` or `drop`; who gets it
    owes one chunk.
    """

    def __init__(self) -> None:
        self._slots: OrderedDict[SessionKey, _Slot] = OrderedDict()

    def put(self, pending: PendingObservation) -> tuple[Arrival, list[PolicyRequest]]:
        """Offer a request; returns what it is and the requests it displaced (of its own, or of a forgotten session)."""
        key = pending.request.key
        slot = self._slots.setdefault(key.session, _Slot())
        if slot.has_seen(key.request_id):
            return Arrival.DUPLICATE, []
        slot.seen.append(key.request_id)
        if key.request_id < slot.newest_id:
            return Arrival.OUTDATED, []
        slot.newest_id = key.request_id
        slot.waiting[key.request_id] = pending
        displaced = slot.give_way(len(slot.waiting) - WAITING_PER_SESSION) + self.completed(key)
        self._slots.move_to_end(key.session)
        while len(self._slots) > SESSIONS_REMEMBERED:
            _, forgotten = self._slots.popitem(last=False)
            displaced += forgotten.give_way(len(forgotten.waiting))
        return Arrival.NEW, displaced

    def completed(self, key: RequestKey) -> list[PolicyRequest]:
        """Where the waiting request of that key is complete, remove and return the older ones of its session."""
        pending = self.get(key)
        if pending is None or pending.complete_since_ns is None:
            return []
        slot = self._slots[key.session]
        older = slot.give_way(list(slot.waiting).index(key.request_id))
        if slot.ready_since_ns is None:
            slot.ready_since_ns = pending.complete_since_ns
        return older

    def knows(self, key: RequestKey) -> bool:
        """Whether this request, or a copy of it, was here before."""
        slot = self._slots.get(key.session)
        return slot is not None and slot.has_seen(key.request_id)

    def note(self, key: RequestKey) -> None:
        """Remember a request that is refused without a slot."""
        slot = self._slots.setdefault(key.session, _Slot())
        slot.seen.append(key.request_id)
        # Refusals cost nobody a slot: sessions that hold a request are left alone.
        idle = [session for session, known in self._slots.items() if not known.waiting and session != key.session]
        for session in idle[: max(0, len(self._slots) - SESSIONS_REMEMBERED)]:
            del self._slots[session]

    def get(self, key: RequestKey) -> PendingObservation | None:
        """The waiting request of that key, complete or not; None if it is not here, or has left."""
        slot = self._slots.get(key.session)
        return slot.waiting.get(key.request_id) if slot is not None else None

    def ready(self, admits: Callable[[SessionKey], bool] = every_session) -> list[tuple[int, PendingObservation]]:
        """The complete requests in the order in which they are taken, one for each robot, and since when it has one.

        Args:
            admits: which sessions count.

        First those that were overtaken, then those with an empty queue (must_go), then the others; among equals the
        session goes first that has waited longest.
        """
        ready = [
            (0 if slot.overtaken else 1 if one.request.must_go else 2, slot.ready_since_ns, one)
            for session, slot in self._slots.items()
            if (one := slot.complete) is not None and slot.ready_since_ns is not None and admits(session)
        ]
        first: dict[str, tuple[int, PendingObservation]] = {}
        for _, since_ns, pending in sorted(ready, key=lambda entry: entry[:2]):
            first.setdefault(pending.request.key.session.robot, (since_ns, pending))
        return list(first.values())

    def take(self, largest: int, admits: Callable[[SessionKey], bool] = every_session) -> list[PendingObservation]:
        """Hand out up to `largest` complete requests, see `ready`; none when there is none."""
        taken = [pending for _, pending in self.ready(admits)[:largest]]
        for pending in taken:
            self.drop(pending.request.key)
        for session, slot in self._slots.items():
            if admits(session):  # who waits for another policy was not overtaken
                slot.overtaken = bool(taken) and slot.complete is not None
        return taken

    def collecting(self, by_ns: int) -> set[str]:
        """The robots that have a request here which lacks frames, those due by then, and none that is complete."""
        return {
            key.robot
            for key, slot in self._slots.items()
            if slot.complete is None and any(one.frames_due_ns <= by_ns for one in slot.waiting.values())
        }

    def drop(self, key: RequestKey) -> PendingObservation | None:
        """Remove a waiting request, complete or not; None if it has left already."""
        pending = self.get(key)
        if pending is not None:
            slot = self._slots[key.session]
            del slot.waiting[key.request_id]
            if pending.complete_since_ns is not None:
                slot.ready_since_ns, slot.overtaken = None, False
        return pending

    def waiting(self) -> list[PendingObservation]:
        """Every request that waits, complete or not."""
        return [pending for slot in self._slots.values() for pending in slot.waiting.values()]
