# SPDX-License-Identifier: Apache-2.0
"""Aggregation functions against numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_action_queue.core.aggregation import AGGREGATIONS, Overlap
from so101_action_queue.core.inputs import AlignedRows

OLD = np.array([[1.0, 10.0], [2.0, 20.0]])
NEW = np.array([[2.0, 0.0], [4.0, 10.0]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("weighted_average", [[1.7, 3.0], [3.4, 13.0]]),
        ("latest_only", [[2.0, 0.0], [4.0, 10.0]]),
        ("average", [[1.5, 5.0], [3.0, 15.0]]),
        ("conservative", [[1.3, 7.0], [2.6, 17.0]]),
        ("rtc", [[2.0, 0.0], [4.0, 10.0]]),
    ],
)
def test_each_fixed_mix_has_lerobots_weights(name: str, expected: list[list[float]]) -> None:
    combined = AGGREGATIONS[name].combine(Overlap(5, OLD, NEW))
    np.testing.assert_allclose(combined, expected, rtol=0, atol=1e-12)


def test_the_four_names_of_lerobot_are_known() -> None:
    assert {"weighted_average", "latest_only", "average", "conservative"} <= set(AGGREGATIONS)


def test_no_aggregation_hands_out_its_inputs() -> None:
    for aggregation in AGGREGATIONS.values():
        combined = aggregation.combine(Overlap(0, OLD, NEW))
        assert not np.shares_memory(combined, OLD)
        assert not np.shares_memory(combined, NEW)


def test_crossfade_goes_in_equal_parts_from_old_to_new() -> None:
    old, new = np.zeros((3, 1)), np.full((3, 1), 4.0)
    combined = AGGREGATIONS["crossfade"].combine(Overlap(0, old, new))
    np.testing.assert_allclose(combined[:, 0], [1.0, 2.0, 3.0])


def test_temporal_ensemble_weighs_the_oldest_chunk_most_as_act_does() -> None:
    coefficient = 0.5
    first = AlignedRows(0, np.array([[0.0], [0.0], [3.0], [6.0]]))  # covers steps 0 to 3
    second = AlignedRows(2, np.array([[1.0], [1.0]]))  # covers 2 and 3
    new = np.array([[5.0], [7.0], [9.0]])  # from step 2: 2, 3, 4
    overlap = Overlap(2, np.zeros((3, 1)), new, (first, second), coefficient)
    w1, w2 = math.exp(-0.5), math.exp(-1.0)
    expected = [
        (3.0 + w1 * 1.0 + w2 * 5.0) / (1 + w1 + w2),
        (6.0 + w1 * 1.0 + w2 * 7.0) / (1 + w1 + w2),
        9.0,  # only the newest chunk covers step 4
    ]
    np.testing.assert_allclose(AGGREGATIONS["temporal_ensemble"].combine(overlap)[:, 0], expected)


def test_temporal_ensemble_leaves_out_chunks_that_are_over() -> None:
    past = AlignedRows(0, np.full((2, 1), 100.0))
    combined = AGGREGATIONS["temporal_ensemble"].combine(Overlap(2, np.zeros((1, 1)), np.ones((1, 1)), (past,)))
    np.testing.assert_allclose(combined, [[1.0]])


angles = st.floats(-3.0, 3.0)
pairs = st.lists(st.tuples(angles, angles), min_size=1, max_size=20)


@pytest.mark.parametrize("name", list(AGGREGATIONS))
@given(pairs=pairs)
def test_what_comes_out_lies_between_what_the_chunks_say(name: str, pairs: list[tuple[float, float]]) -> None:
    old, new = (np.array(column)[:, np.newaxis] for column in zip(*pairs, strict=True))
    combined = AGGREGATIONS[name].combine(Overlap(3, old, new, (AlignedRows(3, old),)))
    assert combined.shape == new.shape
    assert np.all(combined >= np.minimum(old, new) - 1e-12)
    assert np.all(combined <= np.maximum(old, new) + 1e-12)


@pytest.mark.parametrize("name", list(AGGREGATIONS))
@given(rows=st.lists(angles, min_size=1, max_size=20))
def test_chunks_that_agree_are_left_as_they_are(name: str, rows: list[float]) -> None:
    both = np.array(rows)[:, np.newaxis]
    combined = AGGREGATIONS[name].combine(Overlap(3, both, both, (AlignedRows(3, both),)))
    np.testing.assert_allclose(combined, both, rtol=0, atol=1e-12)
