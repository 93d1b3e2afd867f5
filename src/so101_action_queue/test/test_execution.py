# SPDX-License-Identifier: Apache-2.0
"""The step counter and the rows ahead under both alignments."""

import math
from typing import Any

import numpy as np
from so101_action_queue.core.decisions import OpenRequest
from so101_action_queue.core.execution import Alignment, Execution
from so101_action_queue.core.inputs import Bounds
from so101_action_queue.core.settings import QueueSettings

S = 1_000_000_000
BOUNDS = Bounds(np.array([-10.0]), np.array([10.0]))


def settings(**changes: Any) -> QueueSettings:
    return QueueSettings(joint_names=("pan",), aggregate_fn_name="latest_only", max_seam_rad=3.2, **changes)


def loaded(rows: int, chosen: QueueSettings) -> Execution:
    """An execution at step 0 whose row for step i is i / 10 rad."""
    execution = Execution(1)
    execution.begin(np.zeros(1))
    chunk = np.arange(rows, dtype=np.float64)[:, np.newaxis] / 10
    execution.accept(OpenRequest(1, 0, 0, 0, 0), chunk, 0, chosen, BOUNDS)
    return execution


def test_executed_steps_stand_still_while_there_is_nothing_to_execute() -> None:
    chosen = settings()
    execution = loaded(2, chosen)
    assert [execution.advance(0, 1, chosen, BOUNDS).executed for _ in range(5)] == [True, True, False, False, False]
    assert (execution.step, execution.executed) == (2, 2)
    assert execution.setpoint.tolist() == [0.1]


def test_elapsed_time_goes_on_counting_and_skips_rows_of_missed_ticks() -> None:
    chosen = settings(alignment="elapsed_time")
    execution = loaded(5, chosen)
    assert execution.advance(0, 1, chosen, BOUNDS).executed
    advance = execution.advance(0, 3, chosen, BOUNDS)  # two deadlines went by unserved
    assert (advance.executed, advance.rows_skipped) == (True, 2)
    assert execution.setpoint.tolist() == [0.3]
    for _ in range(4):
        execution.advance(0, 1, chosen, BOUNDS)
    assert (execution.step, execution.executed) == (8, 3)


def test_executed_steps_execute_every_row_whatever_was_missed() -> None:
    chosen = settings()
    execution = loaded(3, chosen)
    execution.advance(0, 1, chosen, BOUNDS)
    execution.advance(0, 3, chosen, BOUNDS)
    assert execution.setpoint.tolist() == [0.1]


def test_rows_executed_since_the_request_are_trimmed() -> None:
    chosen = settings()
    execution = loaded(5, chosen)
    for _ in range(3):
        execution.advance(0, 1, chosen, BOUNDS)
    assert execution.align(OpenRequest(2, 0, step=1, executed=1, expected_delay_steps=0), 5, chosen) == Alignment(2)
    assert execution.align(OpenRequest(2, 0, step=3, executed=3, expected_delay_steps=0), 5, chosen) == Alignment(0)


def test_a_chunk_shorter_than_the_elapsed_time_is_aligned_by_executed_steps() -> None:
    chosen = settings(alignment="elapsed_time")
    execution = loaded(2, chosen)
    asked = OpenRequest(2, 0, step=execution.step + 1, executed=execution.executed + 1, expected_delay_steps=0)
    for _ in range(9):
        execution.advance(0, 1, chosen, BOUNDS)
    assert (execution.step, execution.executed) == (9, 2)
    assert execution.align(asked, 5, chosen) == Alignment(1, realigned=True)


def test_nothing_is_left_of_a_chunk_whose_every_row_was_executed_from_the_old_one() -> None:
    chosen = settings()
    execution = loaded(5, chosen)
    for _ in range(4):
        execution.advance(0, 1, chosen, BOUNDS)
    assert execution.align(OpenRequest(2, 0, step=1, executed=1, expected_delay_steps=0), 3, chosen) is None


def test_without_alignment_a_late_chunk_is_executed_from_its_first_row() -> None:
    chosen = settings(alignment="none")
    execution = loaded(8, chosen)
    for _ in range(3):
        execution.advance(0, 1, chosen, BOUNDS)
    assert execution.align(OpenRequest(2, 0, step=1, executed=1, expected_delay_steps=0), 5, chosen) == Alignment(0)


def test_rows_die_of_age() -> None:
    chosen = settings(max_action_age_s=1.0)
    execution = loaded(5, chosen)
    assert execution.advance(S, 1, chosen, BOUNDS).executed
    assert execution.action_age_s == 1.0
    advance = execution.advance(S + 1, 1, chosen, BOUNDS)
    assert advance.too_old
    assert not advance.executed
    assert execution.length == 0
    assert math.isnan(execution.action_age_s)


def test_a_ramp_that_outlives_its_chunk_is_taken_up_by_the_next() -> None:
    chosen = QueueSettings(joint_names=("pan",), aggregate_fn_name="latest_only", max_seam_rad=0.1)
    execution = Execution(1)
    execution.begin(np.zeros(1))
    execution.accept(OpenRequest(1, 0, 0, 0, 0), np.full((4, 1), 1.0), 0, chosen, BOUNDS)
    commanded = [0.0]
    for _ in range(2):
        execution.advance(0, 1, chosen, BOUNDS)
        commanded.append(float(execution.setpoint[0]))
    # Rows are left, so nothing but the unfinished ramp demands another.
    execution.accept(OpenRequest(2, 0, 2, 2, 0), np.full((9, 1), 1.0), 0, chosen, BOUNDS)
    for _ in range(9):
        execution.advance(0, 1, chosen, BOUNDS)
        commanded.append(float(execution.setpoint[0]))
    np.testing.assert_allclose(np.diff(commanded), [0.1] * 10 + [0.0], atol=1e-12)


def test_temporal_ensemble_averages_over_the_chunks_it_remembers() -> None:
    chosen = QueueSettings(
        joint_names=("pan",), aggregate_fn_name="temporal_ensemble", temporal_ensemble_coeff=0.0, max_seam_rad=3.2
    )
    execution = Execution(1)
    execution.begin(np.zeros(1))
    for number, value in enumerate((0.3, 0.6, 0.9), start=1):
        execution.accept(OpenRequest(number, 0, 0, 0, 0), np.full((4, 1), value), 0, chosen, BOUNDS)
    np.testing.assert_allclose(execution.rows_ahead()[:, 0], [0.6] * 4)  # weights all 1: the mean


def test_temporal_ensemble_remembers_every_chunk_that_still_covers_a_step_and_no_other() -> None:
    chosen = QueueSettings(
        joint_names=("pan",), aggregate_fn_name="temporal_ensemble", temporal_ensemble_coeff=0.0, max_seam_rad=3.2
    )
    execution = Execution(1)
    execution.begin(np.zeros(1))
    for number in range(1, 26):  # a chunk at each tick, the n-th says n / 10
        execution.accept(OpenRequest(number, 0, execution.step, 0, 0), np.full((24, 1), number / 10), 0, chosen, BOUNDS)
        execution.advance(0, 1, chosen, BOUNDS)
    np.testing.assert_allclose(execution.setpoint, np.mean(range(2, 26)) / 10)  # the first covers steps 0 to 23 only


def test_two_chunks_between_two_ticks_at_rest_are_both_ramped() -> None:
    chosen = QueueSettings(joint_names=("pan",), aggregate_fn_name="latest_only", max_seam_rad=0.1)
    execution = Execution(1)
    execution.begin(np.zeros(1))
    execution.accept(OpenRequest(1, 0, 0, 0, 0), np.full((9, 1), 0.05), 0, chosen, BOUNDS)  # near: no ramp
    execution.accept(OpenRequest(2, 0, 0, 0, 0), np.full((9, 1), 0.4), 0, chosen, BOUNDS)  # far, and rows are ahead now
    execution.advance(0, 1, chosen, BOUNDS)
    np.testing.assert_allclose(execution.setpoint, [0.1])
