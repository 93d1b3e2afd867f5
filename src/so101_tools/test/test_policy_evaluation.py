"""The reduced queue of the evaluator."""

import numpy as np
from so101_tools.policy.evaluation import Plan


def rows(*values: float) -> np.ndarray:
    return np.repeat(np.array(values)[:, None], 6, axis=1)


def test_a_late_chunk_is_trimmed_to_what_is_still_ahead() -> None:
    plan = Plan()
    plan.merge(rows(0, 1, 2, 3), 0)
    plan.pop()
    plan.pop()
    late = Plan()
    late.step = 2
    late.merge(rows(10, 11, 12, 13), 0)
    assert [late.pop()[0] for _ in range(len(late))] == [12, 13]


def test_what_overlaps_is_averaged_and_the_new_end_is_kept() -> None:
    plan = Plan()
    plan.merge(rows(0, 0), 0)
    plan.merge(rows(10, 10, 10), 0)
    assert np.allclose([plan.pop()[0] for _ in range(3)], [7, 7, 10])


def test_an_empty_plan_takes_row_0_first() -> None:
    plan = Plan()
    plan.merge(rows(5, 6), 0)
    assert plan.pop()[0] == 5
    assert plan.step == 1
