# SPDX-License-Identifier: Apache-2.0
"""How long to wait until the next attempt to connect."""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 0.3
LONGEST_S: Final = 2.0
_GROWTH: Final = 1.6


class Redial:
    """0.3 s, growing to 2 s where the other end refuses.

    An end that is only gone is there again soon, and one attempt costs nothing: its wait stays at 0.3 s.
    """

    def __init__(self) -> None:
        self._wait_s = FIRST_S

    def after_success(self) -> float:
        """Return the wait after a connection that was up, s."""
        self._wait_s = FIRST_S
        return FIRST_S

    def after_failure(self, *, refused: bool) -> float:
        """Return the wait after one that was not, s."""
        wait_s = self._wait_s
        self._wait_s = min(LONGEST_S, wait_s * _GROWTH) if refused else FIRST_S
        return wait_s
