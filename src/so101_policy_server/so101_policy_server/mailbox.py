"""One slot per session: the newest request of each session waits here for its frames and for the inference thread."""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from so101_policy_server.request import Request, RequestKey, SessionKey

SESSIONS_REMEMBERED: Final = 32
"""A robot has one session at a time; each restart of its queue makes a new one."""

IDS_REMEMBERED: Final = 64
"""Copies of a request come 10 ms after it, 64 requests at three a second cover 20 s."""


class Arrival(enum.Enum):
    """What a request turned out to be."""

    NEW = enum.auto()
    """It has the slot now."""
    DUPLICATE = enum.auto()
    """It was here before; nothing is to be done."""
    OUTDATED = enum.auto()
    """Overtaken by a newer one; it never had the slot and must be answered so."""


@dataclass(slots=True)
class _Slot:
    newest_id: int = 0
    seen: deque[int] = field(default_factory=lambda: deque(maxlen=IDS_REMEMBERED))
    waiting: Request | None = None
    complete_since_ns: int | None = None


class Mailbox:
    """Holds at most one request per session and hands out complete ones.

    Each NEW request leaves exactly once, by one of `put` (displaced), `take` or `drop`; who gets it owes one answer.
    """

    def __init__(self) -> None:
        self._slots: OrderedDict[SessionKey, _Slot] = OrderedDict()

    def put(self, request: Request) -> tuple[Arrival, list[Request]]:
        """Offer a request; returns what it is and the requests it displaced (of its own, or of a forgotten session)."""
        session, request_id = request.key.session, request.key.request_id
        slot = self._slots.setdefault(session, _Slot())
        if request_id in slot.seen or request_id <= slot.newest_id - IDS_REMEMBERED:
            return Arrival.DUPLICATE, []
        slot.seen.append(request_id)
        if request_id < slot.newest_id:
            return Arrival.OUTDATED, []
        displaced = [slot.waiting] if slot.waiting is not None else []
        slot.newest_id, slot.waiting, slot.complete_since_ns = request_id, request, None
        self._slots.move_to_end(session)
        while len(self._slots) > SESSIONS_REMEMBERED:
            _, forgotten = self._slots.popitem(last=False)
            displaced += [forgotten.waiting] if forgotten.waiting is not None else []
        return Arrival.NEW, displaced

    def knows(self, key: RequestKey) -> bool:
        """Whether this request, or a copy of it, was here before."""
        slot = self._slots.get(key.session)
        return slot is not None and (key.request_id in slot.seen or key.request_id <= slot.newest_id - IDS_REMEMBERED)

    def note(self, key: RequestKey) -> None:
        """Remember a request that is answered without a slot."""
        slot = self._slots.setdefault(key.session, _Slot())
        slot.seen.append(key.request_id)
        # Refusals cost nobody a slot: sessions that hold a request are left alone.
        idle = [session for session, known in self._slots.items() if known.waiting is None and session != key.session]
        for session in idle[: max(0, len(self._slots) - SESSIONS_REMEMBERED)]:
            del self._slots[session]

    def complete(self, key: RequestKey, now_ns: int) -> None:
        """Mark a waiting request as ready for the inference thread; nothing happens if it has left."""
        slot = self._slots.get(key.session)
        if slot is not None and slot.waiting is not None and slot.waiting.key == key and slot.complete_since_ns is None:
            slot.complete_since_ns = now_ns

    def take(self) -> Request | None:
        """Hand out a complete request: must_go first, then the one that was complete first; None when there is none."""
        ready = [
            (not slot.waiting.must_go, slot.complete_since_ns, slot)
            for slot in self._slots.values()
            if slot.waiting is not None and slot.complete_since_ns is not None
        ]
        if not ready:
            return None
        slot = min(ready, key=lambda entry: entry[:2])[2]
        request, slot.waiting, slot.complete_since_ns = slot.waiting, None, None
        return request

    def drop(self, key: RequestKey) -> Request | None:
        """Remove a waiting request, complete or not; None if it has left already."""
        slot = self._slots.get(key.session)
        if slot is None or slot.waiting is None or slot.waiting.key != key:
            return None
        request, slot.waiting, slot.complete_since_ns = slot.waiting, None, None
        return request

    def waiting(self) -> list[RequestKey]:
        """Every request that has a slot, complete or not."""
        return [slot.waiting.key for slot in self._slots.values() if slot.waiting is not None]
