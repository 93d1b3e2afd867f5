# SPDX-License-Identifier: Apache-2.0
"""The seam and its bound: numbers worked out by hand, and the bound for any input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_action_queue.core.blending import bound_seams, seam
from so101_action_queue.core.inputs import Bounds
from so101_node.protocol import FloatArray

WIDE = Bounds(np.full(1, -9.0), np.full(1, 9.0))


def column(*values: float) -> FloatArray:
    return np.array(values, dtype=np.float64)[:, np.newaxis]


def test_a_chunk_that_moves_as_the_arm_moves_has_no_seam() -> None:
    # Commanded 0.10 then 0.12, planned 0.50 then 0.52: an offset, but the same velocity.
    value = seam(np.array([0.10]), np.array([0.50]), np.array([0.12]), np.array([0.52]))
    assert value == pytest.approx([0.0])


def test_the_seam_is_the_velocity_beyond_the_chunks_own() -> None:
    # The arm would go from 0.0 to 0.3 in one tick while the chunk itself moves by 0.1.
    value = seam(np.array([0.0]), np.array([0.2]), np.array([0.3]), np.array([0.3]))
    assert value == pytest.approx([0.2])


def test_a_jump_of_three_seams_takes_three_rows() -> None:
    # Held at 0.0, the chunk says 0.15 throughout; at most 0.05 per tick.
    plan = np.full((5, 1), 0.15)
    rows, ramped = bound_seams(plan, plan, np.array([-0.15]), 0.05, WIDE)
    np.testing.assert_allclose(rows[:, 0], [0.05, 0.10, 0.15, 0.15, 0.15])
    assert ramped == 2  # the third is where it has arrived


def test_a_moving_chunk_is_joined_while_it_moves() -> None:
    # The arm rests at 0.0, the chunk begins at 0.2 and moves by 0.1: 0.1 behind, then level.
    plan = column(0.2, 0.3, 0.4)
    rows, _ = bound_seams(plan, plan, np.array([-0.2]), 0.1, WIDE)
    np.testing.assert_allclose(rows, column(0.1, 0.3, 0.4))


def test_the_end_of_the_overlap_is_a_seam_too() -> None:
    # Half of an old chunk at 0.0 for two rows, then the new one alone at 0.4: a jump of 0.2, spread over two rows.
    new = column(0.4, 0.4, 0.4, 0.4)
    mixed = column(0.2, 0.2, 0.4, 0.4)
    rows, ramped = bound_seams(mixed, new, np.array([-0.2]), 0.1, WIDE)
    np.testing.assert_allclose(rows, column(0.2, 0.2, 0.3, 0.4))
    assert ramped == 3


def test_each_joint_walks_for_as_long_as_it_needs() -> None:
    plan = np.tile([0.10, 0.40], (10, 1))
    rows, ramped = bound_seams(plan, plan, np.array([-0.10, -0.40]), 0.10, WIDE)
    np.testing.assert_allclose(rows[:5, 0], [0.10] * 5)
    np.testing.assert_allclose(rows[:5, 1], [0.10, 0.20, 0.30, 0.40, 0.40])
    assert ramped == 3


def test_a_walk_longer_than_the_chunk_says_so() -> None:
    plan = np.ones((2, 1))
    rows, ramped = bound_seams(plan, plan, np.array([-1.0]), 0.1, WIDE)
    np.testing.assert_allclose(rows[:, 0], [0.1, 0.2])
    assert ramped == 2


def test_small_seams_are_left_alone() -> None:
    new = column(0.4, 0.4)
    mixed = column(0.35, 0.38)
    rows, ramped = bound_seams(mixed, new, np.array([-0.1]), 0.05, WIDE)
    assert rows is mixed
    assert ramped == 0


def test_at_a_joint_limit_the_walk_ends_and_begins_again_from_there() -> None:
    # Held at 0.9 with the limit at 1.0: the plan goes up by 0.3 and comes back. Nothing winds up beyond the limit.
    plan = column(0.0, 0.3, 0.0)
    rows, _ = bound_seams(plan, plan, np.array([0.9]), 0.1, Bounds(np.array([-1.0]), np.array([1.0])))
    np.testing.assert_allclose(rows, column(0.8, 1.0, 0.6))


@given(
    plan=st.lists(st.floats(-2, 2), min_size=1, max_size=60),
    old=st.lists(st.floats(-2, 2), max_size=30),
    share=st.floats(0, 1),
    held=st.floats(-2, 2),
    max_seam=st.floats(0.001, 1.0),
)
def test_no_tick_leaves_the_plans_own_velocity_by_more_than_the_bound(
    plan: list[float], old: list[float], share: float, held: float, max_seam: float
) -> None:
    new = column(*plan)
    mixed = new.copy()
    overlap = min(len(old), len(plan))
    mixed[:overlap] = share * column(*old)[:overlap] + (1 - share) * new[:overlap]
    rows, ramped = bound_seams(mixed, new, np.array([held]) - new[0], max_seam, WIDE)
    offsets = np.concatenate([[[held] - new[0]], rows - new])
    assert np.abs(np.diff(offsets, axis=0)).max() <= max_seam * (1 + 1e-9) + 1e-12
    np.testing.assert_array_equal(rows[ramped:], mixed[ramped:])
