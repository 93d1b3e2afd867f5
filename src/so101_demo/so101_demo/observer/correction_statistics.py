# SPDX-License-Identifier: Apache-2.0
"""How much the correction did in a run: the ticks it changed, its largest delta, and why it added nothing in others."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_NUMBER = re.compile(r"\b\d+(\.\d+)?\b")


@dataclass(slots=True)
class CorrectionStatistics:
    """Counts the ticks at which rows were due, as `RunStatistics` does: while an episode runs."""

    _ticks: int = 0
    _corrected: int = 0
    _largest_rad: float = 0.0
    _causes: Counter[str] = field(default_factory=Counter)
    _episode_running: bool = True

    def start_episode(self) -> None:
        """An episode begins."""
        self._episode_running = True

    def end_episode(self) -> None:
        """An episode ended, however."""
        self._episode_running = False

    def add_tick(self, correction: Sequence[float], cause: str) -> None:
        """Take one tick at which the queue commanded the arm.

        Args:
            correction: added per joint, rad; empty where none is loaded.
            cause: why nothing is added; "" while it works.
        """
        if not self._episode_running or not correction:
            return
        self._ticks += 1
        largest_rad = max(map(abs, correction))
        if largest_rad > 0.0:
            self._corrected += 1
        if math.isfinite(largest_rad):
            self._largest_rad = max(self._largest_rad, largest_rad)
        if cause:
            self._causes[_NUMBER.sub("N", cause)] += 1

    def report(self) -> dict[str, Any]:
        """Return the part of the demo's --report; None where no correction was loaded. Causes: N for each number."""
        loaded = self._ticks > 0
        return {
            "corrected_ticks": round(self._corrected / self._ticks, 4) if loaded else None,
            "largest_delta_rad": round(self._largest_rad, 4) if loaded else None,
            "correction_causes": dict(self._causes.most_common()),
        }
