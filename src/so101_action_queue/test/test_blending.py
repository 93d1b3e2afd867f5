# SPDX-License-Identifier: Apache-2.0
"""A new chunk in place of the rows ahead."""

import numpy as np
import pytest
from so101_action_queue.core.aggregation import AGGREGATIONS
from so101_action_queue.core.blending import BlendedRows, RowsAhead, blend
from so101_action_queue.core.inputs import Bounds
from so101_action_queue.core.settings import QueueSettings
from so101_node.protocol import FloatArray

BOUNDS = Bounds(np.array([-1.0]), np.array([1.0]))


def column(*values: float) -> FloatArray:
    return np.array(values, dtype=np.float64)[:, np.newaxis]


def spliced(
    old: FloatArray,
    chunk: FloatArray,
    trimmed: int,
    name: str,
    held: float = 0.0,
    must_ramp: bool = False,
    **settings: object,
) -> BlendedRows:
    ahead = RowsAhead(10, old, np.array([held]))
    values = QueueSettings(joint_names=("pan",), **settings)  # type: ignore[arg-type]
    return blend(ahead, chunk, trimmed, AGGREGATIONS[name], values, BOUNDS, must_ramp)


def test_overlap_is_mixed_the_rest_is_new_and_nothing_of_the_old_goes_beyond() -> None:
    result = spliced(column(0.1, 0.2), column(9.0, 0.2, 0.3, 0.4), 1, "average", held=0.0, max_seam_rad=99.0)
    np.testing.assert_allclose(result.rows, column(0.15, 0.25, 0.4))
    result = spliced(column(0.1, 0.2, 0.3, 0.4), column(0.2, 0.3), 0, "average", max_seam_rad=99.0)
    np.testing.assert_allclose(result.rows, column(0.15, 0.25))


def test_after_hold_leaves_the_seams_of_a_moving_arm_as_lerobot_does() -> None:
    result = spliced(
        column(0.0, 0.0), column(0.5, 0.5, 0.5), 1, "latest_only", max_seam_rad=0.05, seam_ramp="after_hold"
    )
    np.testing.assert_allclose(result.rows, column(0.5, 0.5))
    assert result.rows_ramped == 0
    # Planned: rest at 0.5. Commanded: 0.0 then 0.5.
    np.testing.assert_allclose(result.seam, [0.5])


@pytest.mark.parametrize(
    "why", [{"must_ramp": True}, {"seam_ramp": "always"}, {"name": "crossfade"}, {"old": column()}]
)
def test_a_seam_is_ramped_where_it_must_be(why: dict[str, object]) -> None:
    arguments = {"old": column(0.0, 0.0), "name": "latest_only", "seam_ramp": "after_hold", **why}
    result = spliced(chunk=column(0.1, 0.1, 0.1, 0.1), trimmed=1, max_seam_rad=0.05, **arguments)  # type: ignore[arg-type]
    if arguments["name"] == "crossfade":
        # Faded over two rows: 1/3 and 2/3 of the way; the seam of 0.033 is small enough as it is.
        np.testing.assert_allclose(result.rows, column(0.1 / 3, 0.2 / 3, 0.1))
        return
    np.testing.assert_allclose(result.rows, column(0.05, 0.1, 0.1))
    assert result.rows_ramped == 1


def test_crossfade_of_a_large_difference_is_bounded_too() -> None:
    result = spliced(column(0.0), column(0.9, 0.9, 0.9, 0.9), 1, "crossfade", max_seam_rad=0.1)
    # One row of overlap: half way, 0.45, is a seam of 0.45. Nine rows of 0.1 take up the whole difference of 0.9.
    np.testing.assert_allclose(result.rows, column(0.1, 0.2, 0.3))
    assert result.rows_ramped == 3
    np.testing.assert_allclose(result.seam, [0.45])


def test_where_the_old_rows_end_the_seam_is_bounded_too() -> None:
    # An old row of 0.0 weighs 0.3 against 0.2; after it the new chunk goes on alone: 0.06 in one tick if nobody minds.
    arguments = (column(0.0), column(0.0, 0.2, 0.2, 0.2), 1, "weighted_average")
    plain = spliced(*arguments, max_seam_rad=0.05, seam_ramp="after_hold")
    np.testing.assert_allclose(plain.rows, column(0.14, 0.2, 0.2))
    bounded = spliced(*arguments, max_seam_rad=0.05)
    # The chunk itself moves by 0.2 here; what goes beyond that is 0.05 at most.
    np.testing.assert_allclose(bounded.rows, column(0.15, 0.2, 0.2))


def test_ramped_rows_stay_within_limits() -> None:
    # The arm was commanded 1.0 while the chunk says 0.0 and then goes up to its limit itself.
    result = spliced(column(), column(0.0, 1.0, 1.0, 1.0), 0, "latest_only", held=1.0, max_seam_rad=0.1)
    assert result.rows.max() <= 1.0
    assert result.rows[0, 0] == pytest.approx(0.9)


def test_the_chunk_handed_in_is_left_as_it_was() -> None:
    chunk = column(0.5, 0.5)
    spliced(column(), chunk, 0, "latest_only", must_ramp=True)
    assert chunk.tolist() == [[0.5], [0.5]]
