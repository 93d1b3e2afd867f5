# SPDX-License-Identifier: Apache-2.0
"""How long an arm has been left holding under torque."""


class HoldWatch:
    """Counts from the first tick in which the arm holds and nobody has commanded."""

    def __init__(self, limit_s: float) -> None:
        """`limit_s`: 0 for none."""
        self._limit_ns = round(limit_s * 1e9)
        self._since_ns: int | None = None

    def touch(self) -> None:
        """Somebody is there: begin again."""
        self._since_ns = None

    def is_due(self, now_ns: int) -> bool:
        """Whether the arm has been holding for the limit. Call in each tick in which it holds."""
        if self._since_ns is None:
            self._since_ns = now_ns
        return self._limit_ns > 0 and now_ns - self._since_ns >= self._limit_ns
