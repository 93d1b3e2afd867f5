"""Seam and ramp: numbers worked out by hand, and the bound for any input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_action_queue.seam import ramp, seam


def test_a_chunk_that_moves_as_the_arm_moves_has_no_seam() -> None:
    # Commanded 0.10 then 0.12, planned 0.50 then 0.52: an offset, but the same velocity.
    value = seam(np.array([0.10]), np.array([0.50]), np.array([0.12]), np.array([0.52]))
    assert value == pytest.approx([0.0])


def test_the_seam_is_the_velocity_beyond_the_chunks_own() -> None:
    # The arm would go from 0.0 to 0.3 in one tick while the chunk itself moves by 0.1.
    value = seam(np.array([0.0]), np.array([0.2]), np.array([0.3]), np.array([0.3]))
    assert value == pytest.approx([0.2])


def test_a_jump_of_three_seams_is_spread_over_three_rows() -> None:
    # Held at 0.0, the chunk says 0.15 throughout; at most 0.05 per tick.
    rows, lengths = ramp(np.full((5, 1), 0.15), np.array([0.15]), 0.05)
    np.testing.assert_allclose(rows[:, 0], [0.05, 0.10, 0.15, 0.15, 0.15])
    assert lengths.tolist() == [3.0]


def test_each_joint_ramps_for_as_long_as_it_needs() -> None:
    rows, lengths = ramp(np.tile([0.10, 0.40], (10, 1)), np.array([0.10, 0.40]), 0.10)
    np.testing.assert_allclose(rows[:5, 0], [0.10] * 5)
    np.testing.assert_allclose(rows[:5, 1], [0.10, 0.20, 0.30, 0.40, 0.40])
    assert lengths.tolist() == [0.0, 4.0]


def test_a_ramp_longer_than_the_chunk_says_so() -> None:
    rows, lengths = ramp(np.ones((2, 1)), np.array([1.0]), 0.1)
    np.testing.assert_allclose(rows[:, 0], [0.1, 0.2])
    assert lengths.tolist() == [10.0]


@given(
    plan=st.lists(st.floats(-2, 2), min_size=1, max_size=60),
    held=st.floats(-2, 2),
    max_seam=st.floats(0.001, 1.0),
)
def test_after_a_ramp_no_tick_leaves_the_plans_own_velocity_by_more_than_the_bound(
    plan: list[float], held: float, max_seam: float
) -> None:
    new = np.array(plan)[:, np.newaxis]
    jump = seam(np.array([held]), new[0], new[0], new[0])
    rows, _ = ramp(new, jump, max_seam)
    offsets = np.concatenate([[[held] - new[0]], rows - new])
    assert np.abs(np.diff(offsets, axis=0)).max() <= max_seam * (1 + 1e-9) + 1e-12
