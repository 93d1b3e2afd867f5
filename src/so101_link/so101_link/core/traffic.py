# SPDX-License-Identifier: Apache-2.0
"""What was offered to a link, what it carried, and which frames it had to leave out, over the last seconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

WINDOW_NS: Final = 5_000_000_000
_SLOT_NS: Final = 500_000_000


@dataclass(frozen=True, slots=True)
class TrafficNumbers:
    """Mbit/s offered and sent, and frames dropped, in the last 5 s; dropped_ever since the node began."""

    offered_mbit: float = 0.0
    sent_mbit: float = 0.0
    frames_dropped: int = 0
    dropped_ever: int = 0


class Traffic:
    """Sums in slots of half a second. Its owner's lock guards it, but for `sent`, which one thread calls."""

    def __init__(self) -> None:
        self._slots: deque[tuple[int, list[int]]] = deque(maxlen=WINDOW_NS // _SLOT_NS + 1)
        self._sent: deque[tuple[int, list[int]]] = deque(maxlen=WINDOW_NS // _SLOT_NS + 1)
        self._dropped_ever = 0

    def offered(self, size: int, now_ns: int) -> None:
        """`size` bytes were left to be sent."""
        _slot(self._slots, now_ns)[0] += size

    def dropped(self, frames: int, now_ns: int) -> None:
        """So many frames were left out, because a newer request's were there."""
        _slot(self._slots, now_ns)[1] += frames
        self._dropped_ever += frames

    def sent(self, size: int, now_ns: int) -> None:
        """`size` bytes went to the kernel."""
        _slot(self._sent, now_ns)[0] += size

    def numbers(self, now_ns: int) -> TrafficNumbers:
        """Return the last 5 s."""
        since = now_ns // _SLOT_NS - WINDOW_NS // _SLOT_NS
        recent = [sums for slot, sums in tuple(self._slots) if slot > since]
        sent = [sums[0] for slot, sums in tuple(self._sent) if slot > since]
        to_mbit = 8e-6 / (WINDOW_NS / 1e9)
        return TrafficNumbers(
            offered_mbit=sum(sums[0] for sums in recent) * to_mbit,
            sent_mbit=sum(sent) * to_mbit,
            frames_dropped=sum(sums[1] for sums in recent),
            dropped_ever=self._dropped_ever,
        )


def _slot(slots: deque[tuple[int, list[int]]], now_ns: int) -> list[int]:
    number = now_ns // _SLOT_NS
    if not slots or slots[-1][0] != number:
        slots.append((number, [0, 0]))
    return slots[-1][1]
