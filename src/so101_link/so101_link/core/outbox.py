# SPDX-License-Identifier: Apache-2.0
"""What waits to be sent: the newest of each topic, the most urgent first, and one observation on its way.

`put` is called by the callbacks of a node and never waits for anything but the lock of a few instructions.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from so101_link.core.topics import LinkTopic, Urgency
from so101_link.core.traffic import Traffic

COPY_WITHIN_NS: Final = 100_000_000
"""Requests and chunks are published twice, 10 ms apart; what comes again within this is that copy."""

REMEMBERED: Final = 4
"""So many messages may be published before the copy of the first comes."""

WAITING_CHUNKS: Final = 4
MAX_WAITING_FRAMES: Final = 512
"""Of one observation: 32 steps of 16 cameras."""

STALE_NS: Final = 1_500_000_000
"""A heartbeat that is older says nothing: five a second are published, and who said it last may be gone."""


@dataclass(frozen=True, slots=True)
class LinkRequestKey:
    """Which observation a frame belongs to."""

    session: int
    request_id: int

    def is_newer_than(self, other: LinkRequestKey | None) -> bool:
        """Whether it was requested later; another session counts as later."""
        return other is None or self.session != other.session or self.request_id > other.request_id


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One serialized message that waits."""

    topic: LinkTopic
    data: bytes


class Outbox:
    """Where callbacks leave messages and the thread of the connection takes them.

    Args:
        wake: called after each message that can be sent; must not block.
    """

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self.wake = wake
        self.traffic = Traffic()
        self._lock = threading.Lock()
        self._is_open = False
        self._now: deque[OutgoingMessage] = deque(maxlen=WAITING_CHUNKS)
        self._latched: dict[str, tuple[int, OutgoingMessage]] = {}
        self._unsent: dict[str, OutgoingMessage] = {}
        self._frames: dict[LinkRequestKey, deque[OutgoingMessage]] = {}
        self._on_its_way: LinkRequestKey | None = None
        self._newest: LinkRequestKey | None = None
        self._recent: deque[tuple[int, OutgoingMessage]] = deque(maxlen=REMEMBERED)

    def open(self, now_ns: int) -> None:
        """The other end is there: latched values go first, and of what is older nothing."""
        with self._lock:
            self._forget()
            self._unsent = {
                name: message
                for name, (put_ns, message) in self._latched.items()
                if not (message.topic.is_heartbeat and now_ns - put_ns > STALE_NS)
            }
            self._is_open = True
        self.wake()

    def close(self) -> None:
        """The other end is gone: an old request or frame is of no use to it when it comes back."""
        with self._lock:
            self._is_open = False
            self._forget()

    def forget(self, topic: LinkTopic) -> None:
        """Who published this latched value is gone: nobody is to be greeted with it any more."""
        with self._lock:
            self._latched.pop(topic.name, None)

    def put(self, topic: LinkTopic, data: bytes, now_ns: int, request: LinkRequestKey | None = None) -> None:
        """Leave a message.

        Args:
            topic: where it was heard.
            data: serialized.
            now_ns: steady time.
            request: of a frame, the request that it was sent for.
        """
        message = OutgoingMessage(topic, data)
        with self._lock:
            if topic.urgency is Urgency.NOW and self._is_copy(message, now_ns):
                return
            if topic.urgency is Urgency.LATCHED:
                self._latched[topic.name] = (now_ns, message)
            if not self._is_open:
                return
            self.traffic.offered(len(data), now_ns)
            if topic.urgency is Urgency.NOW:
                self._now.append(message)
            elif topic.urgency is Urgency.LATCHED:
                self._unsent[topic.name] = message
            elif not self._put_frame(message, request or LinkRequestKey(0, 0), now_ns):
                return
        self.wake()

    def take(self, urgency: Urgency) -> OutgoingMessage | None:
        """Take the next message of this urgency; None where none waits."""
        with self._lock:
            if urgency is Urgency.NOW:
                return self._now.popleft() if self._now else None
            if urgency is Urgency.LATCHED:
                return self._unsent.pop(next(iter(self._unsent))) if self._unsent else None
            return self._take_frame()

    def _is_copy(self, message: OutgoingMessage, now_ns: int) -> bool:
        for put_ns, before in self._recent:
            if now_ns - put_ns < COPY_WITHIN_NS and before == message:
                return True
        self._recent.append((now_ns, message))
        return False

    def _put_frame(self, message: OutgoingMessage, key: LinkRequestKey, now_ns: int) -> bool:
        """Keep the frame where its observation is the newest, or the one on its way, which always arrives whole.

        An observation that gave way to each newer one would never arrive where the link is slower than the requests.
        """
        if key.is_newer_than(self._newest):
            self._newest = key
            for old in [one for one in self._frames if one not in (key, self._on_its_way)]:
                self.traffic.dropped(len(self._frames.pop(old)), now_ns)
        elif key not in (self._newest, self._on_its_way):
            self.traffic.dropped(1, now_ns)
            return False
        waiting = self._frames.setdefault(key, deque())
        if len(waiting) >= MAX_WAITING_FRAMES:
            self.traffic.dropped(1, now_ns)
            return False
        waiting.append(message)
        return True

    def _take_frame(self) -> OutgoingMessage | None:
        if self._on_its_way not in self._frames:
            self._on_its_way = next(iter(self._frames), self._on_its_way)
        waiting = self._frames.get(self._on_its_way) if self._on_its_way is not None else None
        if not waiting:
            return None
        message = waiting.popleft()
        if not waiting and self._on_its_way is not None:
            del self._frames[self._on_its_way]
        return message

    def _forget(self) -> None:
        self._now.clear()
        self._unsent.clear()
        self._frames.clear()
        self._recent.clear()
        self._on_its_way = self._newest = None
