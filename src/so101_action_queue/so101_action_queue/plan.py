"""The rows still to execute."""

import numpy as np

from so101_action_queue.inputs import FloatArray


class ActionPlan:
    """Rows for consecutive control steps, and when the observation behind them was asked for.

    Row 0 is meant for the step to execute next. Rows handed in and out are copies, (rows, joints) float64, rad.
    """

    def __init__(self, joints: int) -> None:
        self._rows: FloatArray = np.empty((0, joints))
        self._next = 0
        self.observed_ns = 0

    def __len__(self) -> int:
        return len(self._rows) - self._next

    def __bool__(self) -> bool:
        return len(self) > 0

    def pop(self) -> FloatArray:
        """Remove and return the next row, (joints,)."""
        if not self:
            raise IndexError("the plan has no row left")
        row: FloatArray = self._rows[self._next].copy()
        self._next += 1
        return row

    def rows(self) -> FloatArray:
        """Return the rows still to execute."""
        return self._rows[self._next :].copy()

    def drop(self, count: int) -> int:
        """Remove up to `count` rows unexecuted and return how many there were."""
        dropped = min(max(count, 0), len(self))
        self._next += dropped
        return dropped

    def replace(self, rows: FloatArray, observed_ns: int) -> None:
        """Put `rows` in place of all that was left."""
        self._rows = rows.astype(np.float64, copy=True)
        self._next = 0
        self.observed_ns = observed_ns

    def clear(self) -> None:
        """Forget all rows."""
        self._next = len(self._rows)
