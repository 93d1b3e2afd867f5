# SPDX-License-Identifier: Apache-2.0
"""Connections that were refused before they were a link: counted, and told in as few lines as people can read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

LINE_EVERY_NS: Final = 5_000_000_000
_PLACES_SHOWN: Final = 3
_REASONS_KEPT: Final = 32
_OTHER: Final = "other reasons"


@dataclass(slots=True)
class _Untold:
    times: int = 0
    places: dict[str, None] = field(default_factory=dict)


class Strangers:
    """Counts them; `line` gives the first of each reason at once, and sums of what follows every 5 s."""

    def __init__(self) -> None:
        self.count = 0
        self._untold: dict[str, _Untold] = {}
        self._told_ns: dict[str, int] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether some of them are still to be told."""
        return bool(self._untold)

    def add(self, address: str, reason: str) -> None:
        """One from `address` was refused."""
        self.count += 1
        known = reason in self._told_ns or reason in self._untold or len(self._untold) < _REASONS_KEPT
        untold = self._untold.setdefault(reason if known else _OTHER, _Untold())
        untold.times += 1
        if len(untold.places) <= _PLACES_SHOWN:
            untold.places[address] = None

    def line(self, now_ns: int) -> str:
        """Return one line for the log if it is time for one; else ""."""
        for reason, untold in self._untold.items():
            told_ns = self._told_ns.get(reason)
            if told_ns is not None and now_ns - told_ns < LINE_EVERY_NS:
                continue
            if len(self._told_ns) >= _REASONS_KEPT:
                self._told_ns.clear()
            self._told_ns[reason] = now_ns
            del self._untold[reason]
            places = list(untold.places)
            shown = ", ".join(places[:_PLACES_SHOWN]) + (" and others" if len(places) > _PLACES_SHOWN else "")
            times = f", {untold.times} times" if untold.times > 1 else ""
            return f"refused a connection from {shown}{times}: {reason}"
        return ""
