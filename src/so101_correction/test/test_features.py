# SPDX-License-Identifier: Apache-2.0
"""What the network is told of joints and plan."""

import numpy as np
import pytest
from so101_correction.core.features import feature_count, look_ahead, proprioception
from so101_correction.errors import CorrectionInputError


def test_the_numbers_of_two_joints_by_hand() -> None:
    rows = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    told = proprioception(np.array([1.0, 2.0]), rows, 25)
    relative = [-1.8, -3.6, -1.4, -3.2, -1.0, -2.8]  # twice row less position
    np.testing.assert_allclose(told, [1.0, 2.0, 0.1, 0.2, *relative, 0.5], rtol=1e-6)
    assert told.dtype == np.float32 and told.size == feature_count(2)


def test_an_age_beyond_the_oldest_is_told_as_the_oldest() -> None:
    told = [proprioception(np.zeros(1), np.zeros((3, 1)), age)[-1] for age in (53, 54, 55, 1000)]
    np.testing.assert_allclose(told, [1.06, 1.08, 1.08, 1.08], rtol=1e-6)


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    positions, rows, ages = rng.normal(size=(4, 6)), rng.normal(size=(4, 3, 6)), np.arange(4) * 20
    together = proprioception(positions, rows, ages)
    assert together.shape == (4, 31)
    for n in range(4):
        np.testing.assert_array_equal(together[n], proprioception(positions[n], rows[n], ages[n]))


@pytest.mark.parametrize(
    ("ahead", "told"),
    [(0, [0, 0, 0]), (1, [0, 1, 1]), (2, [0, 2, 2]), (3, [0, 3, 3]), (7, [0, 3, 7]), (8, [0, 3, 8]), (40, [0, 3, 8])],
)
def test_where_the_plan_ends_its_last_row_stands_for_those_after_it(ahead: int, told: list[int]) -> None:
    rows = look_ahead(np.zeros(1), np.arange(1.0, ahead + 1)[:, None])
    np.testing.assert_array_equal(rows[:, 0], told)


@pytest.mark.parametrize(
    ("positions", "rows", "age", "message"),
    [
        (np.zeros(6), np.zeros((3, 5)), 0, r"rows: expected shape 3 x 6, got 3 x 5"),
        (np.zeros(6), np.zeros((2, 6)), 0, r"rows: expected shape 3 x 6, got 2 x 6"),
        (np.zeros((2, 6)), np.zeros((2, 3, 6)), 1, r"age_steps: expected shape 2, got of a single value"),
        (np.zeros(6), np.zeros((3, 6)), -1, r"age_steps: expected 0 or more, got -1"),
        (1.0, np.zeros((3, 6)), 0, r"joint_positions"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_with_both(
    positions: np.ndarray, rows: np.ndarray, age: int, message: str
) -> None:
    with pytest.raises(CorrectionInputError, match=message):
        proprioception(positions, rows, age)


def test_rows_of_another_number_of_joints_are_refused() -> None:
    with pytest.raises(CorrectionInputError, match="rows_ahead: expected shape rows x 6, got 4 x 5"):
        look_ahead(np.zeros(6), np.zeros((4, 5)))
