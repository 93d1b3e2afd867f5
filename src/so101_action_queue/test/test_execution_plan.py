# SPDX-License-Identifier: Apache-2.0
"""The rows still to execute."""

import numpy as np
import pytest
from so101_action_queue.core.execution import ActionPlan


def test_rows_come_out_in_order_and_once() -> None:
    plan = ActionPlan(2)
    plan.replace(np.array([[1.0, 2.0], [3.0, 4.0]]), observed_ns=5)
    assert plan.pop().tolist() == [1.0, 2.0]
    assert plan.pop().tolist() == [3.0, 4.0]
    assert not plan
    with pytest.raises(IndexError):
        plan.pop()


def test_dropping_more_than_there_is_drops_what_there_is() -> None:
    plan = ActionPlan(1)
    plan.replace(np.ones((3, 1)), observed_ns=0)
    assert plan.drop(2) == 2
    assert plan.drop(2) == 1
    assert plan.drop(2) == 0


def test_the_plan_shares_no_memory_with_its_callers() -> None:
    rows = np.zeros((2, 1))
    plan = ActionPlan(1)
    plan.replace(rows, observed_ns=0)
    rows[:] = 9.0
    plan.rows()[:] = 9.0
    first = plan.pop()
    first[:] = 9.0
    assert plan.rows().tolist() == [[0.0]]
