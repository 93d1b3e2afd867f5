"""Where the arm is along its steps: the rows ahead, the setpoint, and how an accepted chunk changes them."""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from so101_action_queue.admission import Bounds
from so101_action_queue.aggregation import AGGREGATIONS, AlignedRows
from so101_action_queue.asking import Asked
from so101_action_queue.inputs import FloatArray
from so101_action_queue.plan import ActionPlan
from so101_action_queue.settings import Settings
from so101_action_queue.splice import Ahead, Spliced, splice

REMEMBERED_CHUNKS = 100  # for temporal_ensemble: no more can cover one step, at an answer a tick


@dataclass(frozen=True, slots=True)
class Advance:
    """One tick's movement along the steps: whether a row was executed, rows skipped, whether the rows had aged out."""

    executed: bool
    rows_skipped: int = 0
    too_old: bool = False


@dataclass(frozen=True, slots=True)
class Alignment:
    """How many rows of a chunk are past. `realigned` when all were and executed steps were counted instead."""

    trimmed: int
    realigned: bool = False


class Execution:
    """Step counter, rows ahead and last command.

    `step` is the index of the next row to execute. Under `executed_steps` it counts executed rows; under
    `elapsed_time` it counts control periods, whether or not there was a row for them.
    """

    def __init__(self, joints: int) -> None:
        self.step = 0
        self.executed = 0
        self.chunk_rows = 0  # of the last accepted chunk; 0 before the first
        self.setpoint: FloatArray = np.full(joints, math.nan)
        self.action_age_s = math.nan
        self._plan = ActionPlan(joints)
        self._at_rest = True
        self._ramp_until = -1  # last step of a ramp that is not over
        self._earlier: deque[AlignedRows] = deque(maxlen=REMEMBERED_CHUNKS)

    def begin(self, setpoint: FloatArray) -> None:
        """Start from a held setpoint, (joints,), rad."""
        self.setpoint = setpoint.copy()

    @property
    def length(self) -> int:
        """Rows still to execute."""
        return len(self._plan)

    def rows_ahead(self) -> FloatArray:
        """Return a copy of the rows still to execute, (rows, joints), rad."""
        return self._plan.rows()

    def forget_rows(self) -> None:
        """Drop all rows: the setpoint is held from now on."""
        self.action_age_s = math.nan
        self._plan.clear()
        self._earlier.clear()

    def advance(self, now_ns: int, periods: int, settings: Settings, bounds: Bounds) -> Advance:
        """Move on by one tick, `periods` (1 or more) control periods after the tick before."""
        by_time = settings.alignment == "elapsed_time"
        skipped = 0
        if by_time:
            self.step += periods - 1
            skipped = self._plan.drop(periods - 1)
        too_old = bool(self._plan) and now_ns - self._plan.observed_ns > settings.max_action_age_s * 1e9
        if too_old:
            self.forget_rows()
        executed = bool(self._plan)
        self.action_age_s = math.nan
        if executed:
            self.setpoint = bounds.clip(self._plan.pop())
            self.executed += 1
            self.action_age_s = (now_ns - self._plan.observed_ns) / 1e9
        if executed or by_time:
            self.step += 1
        self._at_rest = not executed
        return Advance(executed, skipped, too_old)

    def align(self, asked: Asked, rows: int, settings: Settings) -> Alignment | None:
        """Return which rows of an answer to `asked` are past, or None when nothing of it is left."""
        if settings.alignment == "none":
            return Alignment(0)
        trimmed = self.step - asked.step
        if trimmed < rows:
            return Alignment(trimmed)
        trimmed = self.executed - asked.executed
        return Alignment(trimmed, realigned=True) if trimmed < rows else None

    def is_late_continuation(self, asked: Asked, settings: Settings) -> bool:
        """Whether more steps ran than the policy was told when it was to continue the leftover.

        It held to our rows for the expected delay only; its rows beyond that meet ours unprepared.
        """
        sends_leftover = AGGREGATIONS[settings.aggregate_fn_name].sends_leftover
        return sends_leftover and self.step - asked.step > asked.expected_delay_steps

    def accept(self, asked: Asked, chunk: FloatArray, trimmed: int, settings: Settings, bounds: Bounds) -> Spliced:
        """Put `chunk[trimmed:]` in place of the rows ahead; chunk is (rows, joints) float64, rad, within bounds."""
        aggregation = AGGREGATIONS[settings.aggregate_fn_name]
        must_ramp = self._at_rest or self.step <= self._ramp_until or self.is_late_continuation(asked, settings)
        ahead = Ahead(self.step, self._plan.rows(), self.setpoint, tuple(self._earlier))
        spliced = splice(ahead, chunk, trimmed, aggregation, settings, bounds, must_ramp)
        self._plan.replace(spliced.rows, asked.asked_ns)
        self._ramp_until = self.step + spliced.rows_ramped if spliced.rows_ramped else -1
        if aggregation.remembers:
            while self._earlier and self._earlier[0].end <= self.step:
                self._earlier.popleft()
            self._earlier.append(AlignedRows(self.step - trimmed, chunk.copy()))
        else:
            self._earlier.clear()
        self.chunk_rows = len(chunk)
        return spliced
