"""Which question waits for which camera's picture. As a policy does, the expert answers when all have come.

The expert does not look at them; but an answer that did not wait would prove nothing about the cameras, and would be
quicker than any policy's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

REMEMBERED = 64
"""Questions whose pictures, and whose second copy, are remembered."""

Key = tuple[int, int]
"""Session and request_id."""


class FrameWait:
    """Holds one question, the newest. Not thread-safe; times are a monotonic clock's, ns."""

    def __init__(self, timeout_ns: int) -> None:
        self._timeout_ns = timeout_ns
        self._pictures: OrderedDict[Key, set[str]] = OrderedDict()
        self._seen: OrderedDict[Key, None] = OrderedDict()
        self._waiting: Key | None = None
        self._needed: frozenset[str] = frozenset()
        self._since_ns = 0

    def ask(self, key: Key, cameras: Iterable[str], now_ns: int) -> tuple[bool, Key | None]:
        """Take in a question that needs these cameras; returns whether it is new, and the question it displaced."""
        if key in self._seen:
            return False, None
        _remember(self._seen, key, None)
        displaced, self._waiting = self._waiting, key
        self._needed, self._since_ns = frozenset(cameras), now_ns
        return True, displaced

    def picture(self, key: Key, camera: str) -> None:
        """Take in a picture, before or after its question."""
        cameras = self._pictures.get(key) or set()
        cameras.add(camera)
        _remember(self._pictures, key, cameras)

    def take(self) -> Key | None:
        """Hand out the question if all its pictures are there."""
        if self._waiting is None or not self._needed <= self._pictures.get(self._waiting, set()):
            return None
        key, self._waiting = self._waiting, None
        return key

    def overdue(self, now_ns: int) -> tuple[Key, list[str]] | None:
        """Hand out the question if pictures of it have been missing for too long, with their cameras."""
        if self._waiting is None or now_ns - self._since_ns < self._timeout_ns:
            return None
        key, missing = self._waiting, sorted(self._needed - self._pictures.get(self._waiting, set()))
        if not missing:
            return None
        self._waiting = None
        return key, missing


def _remember[Value](store: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    store[key] = value
    while len(store) > REMEMBERED:
        store.popitem(last=False)
