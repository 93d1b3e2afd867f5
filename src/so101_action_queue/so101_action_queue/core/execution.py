# SPDX-License-Identifier: Apache-2.0
"""Where the arm is along its steps: the rows ahead, the setpoint, and how an accepted chunk changes them."""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from so101_node.protocol import FloatArray

from so101_action_queue.core.aggregation import AGGREGATIONS
from so101_action_queue.core.blending import BlendedRows, RowsAhead, blend
from so101_action_queue.core.decisions import OpenRequest, PlanInForce
from so101_action_queue.core.inputs import AlignedRows, Bounds
from so101_action_queue.core.settings import QueueSettings

REMEMBERED_CHUNKS = 100  # for temporal_ensemble: no more can cover one step, at a chunk a tick


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


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where a chunk went. alignment and blended are None when nothing of it is left to execute.

    steps_since: steps between the request and now. is_late_continuation: more of them than the policy was told when it
    was to continue the leftover, so that its rows meet ours unprepared.
    """

    steps_since: int
    is_late_continuation: bool = False
    alignment: Alignment | None = None
    blended: BlendedRows | None = None


class ActionPlan:
    """Rows for consecutive control steps, and when the observation behind them was requested.

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
        self.newest: OpenRequest | None = None  # whose chunk was accepted last
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

    def in_force(self, executes: bool) -> PlanInForce:
        """Return what the last tick follows; `executes`: it executed a row."""
        newest = self.newest
        step = self.step - 1 if executes else self.step  # of the last tick
        return PlanInForce(
            setpoint=self.setpoint.copy(),
            rows_ahead=self._plan.rows(),
            request_id=newest.request_id if newest else 0,
            step=newest.step if newest else 0,
            age_steps=step - newest.step if newest else 0,
            executes=executes,
        )

    def forget_rows(self) -> None:
        """Drop all rows: the setpoint is held from now on."""
        self.action_age_s = math.nan
        self._plan.clear()
        self._earlier.clear()

    def advance(self, now_ns: int, periods: int, settings: QueueSettings, bounds: Bounds) -> Advance:
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

    def place(self, request: OpenRequest, chunk: FloatArray, settings: QueueSettings, bounds: Bounds) -> Placement:
        """Put what is still ahead of a chunk in place of the rows ahead.

        Args:
            chunk: (rows, joints) float64, rad, within bounds; row i is meant for step `request.step` + i.
        """
        steps_since = self.step - request.step
        alignment = self.align(request, len(chunk), settings)
        if alignment is None:
            return Placement(steps_since)
        is_late = self._is_late_continuation(request, settings)
        blended = self.accept(request, chunk, alignment.trimmed, settings, bounds)
        return Placement(steps_since, is_late, alignment, blended)

    def align(self, request: OpenRequest, rows: int, settings: QueueSettings) -> Alignment | None:
        """Return which rows of a chunk for `request` are past, or None when nothing of it is left."""
        if settings.alignment == "none":
            return Alignment(0)
        trimmed = self.step - request.step
        if trimmed < rows:
            return Alignment(trimmed)
        trimmed = self.executed - request.executed
        return Alignment(trimmed, realigned=True) if trimmed < rows else None

    def accept(
        self, request: OpenRequest, chunk: FloatArray, trimmed: int, settings: QueueSettings, bounds: Bounds
    ) -> BlendedRows:
        """Put `chunk[trimmed:]` in place of the rows ahead; chunk is (rows, joints) float64, rad, within bounds."""
        aggregation = AGGREGATIONS[settings.aggregate_fn_name]
        must_ramp = self._at_rest or self.step <= self._ramp_until
        must_ramp = must_ramp or self._is_late_continuation(request, settings) or self._is_detached(request, settings)
        ahead = RowsAhead(self.step, self._plan.rows(), self.setpoint, tuple(self._earlier))
        blended = blend(ahead, chunk, trimmed, aggregation, settings, bounds, must_ramp)
        self._plan.replace(blended.rows, request.sent_ns)
        self._ramp_until = self.step + blended.rows_ramped if blended.rows_ramped else -1
        if aggregation.remembers:
            while self._earlier and self._earlier[0].end <= self.step:
                self._earlier.popleft()
            self._earlier.append(AlignedRows(self.step - trimmed, chunk.copy()))
        else:
            self._earlier.clear()
        self.chunk_rows = len(chunk)
        self.newest = request
        return blended

    def _is_late_continuation(self, request: OpenRequest, settings: QueueSettings) -> bool:
        """Whether more steps ran than the policy was told when it was to continue the leftover.

        It held to our rows for the expected delay only; its rows beyond that meet ours unprepared.
        """
        sends_leftover = AGGREGATIONS[settings.aggregate_fn_name].sends_leftover
        return sends_leftover and self.step - request.step > request.expected_delay_steps

    def _is_detached(self, request: OpenRequest, settings: QueueSettings) -> bool:
        """Whether the policy continued rows that another chunk has replaced meanwhile: several requests are under way.

        Every chunk but the first is then of that kind, so it is not counted as late.
        """
        sends_leftover = AGGREGATIONS[settings.aggregate_fn_name].sends_leftover
        accepted = self.newest.request_id if self.newest else 0
        return sends_leftover and settings.max_requests_in_flight > 1 and request.follows != accepted
