# SPDX-License-Identifier: Apache-2.0
"""What may enter the queue."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from so101_action_queue.core.inputs import Bounds, JointLimits, ReceivedChunk
from so101_action_queue.core.intake import Dropped, UsableRows, read
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.errors import LimitsError
from so101_node.protocol import ChunkVerdict

SETTINGS = QueueSettings(joint_names=("pan", "lift"), actions_per_chunk=10, implausible_rad=1.0)
BOUNDS = Bounds(np.array([-1.0, -2.0]), np.array([1.0, 2.0]))
LIMITS = JointLimits(1, ("lift", "pan"), (-2.0, -1.0), (2.0, 1.0), (-2.0, -1.0), (2.0, 1.0), (0, 0))


def chunk(positions: list[float], **changes: Any) -> ReceivedChunk:
    whole = ReceivedChunk(
        session=1, request_id=1, spec_id=1, step=0, server_id=1, server_name="s", status=0, message="",
        retry_after_s=0.0, period_s=1 / 30, joint_names=("pan", "lift"), rows=len(positions) // 2,
        positions=np.array(positions, dtype=np.float32),
    )  # fmt: skip
    return replace(whole, **changes)


def admitted(candidate: ReceivedChunk) -> UsableRows:
    result = read(candidate, SETTINGS, BOUNDS)
    assert isinstance(result, UsableRows), result
    return result


def rejected(candidate: ReceivedChunk) -> Dropped:
    result = read(candidate, SETTINGS, BOUNDS)
    assert isinstance(result, Dropped), result
    return result


def test_rows_arrive_row_by_row_in_our_joint_order() -> None:
    rows = admitted(chunk([0.5, 1.5, -0.5, -1.5])).rows
    assert rows.tolist() == [[0.5, 1.5], [-0.5, -1.5]]
    swapped = admitted(chunk([1.5, 0.5, -1.5, -0.5], joint_names=("lift", "pan"))).rows
    assert swapped.tolist() == rows.tolist()


def test_a_little_beyond_the_limits_is_clamped_and_counted_value_by_value() -> None:
    result = admitted(chunk([1.25, 0.0, 0.0, -2.5]))
    assert result.rows.tolist() == [[1.0, 0.0], [0.0, -2.0]]
    assert result.values_clamped == 2


def test_far_beyond_the_limits_drops_the_chunk_and_names_row_and_joint() -> None:
    fault = rejected(chunk([0.0, 0.0, 0.0, 3.5]))
    assert fault.verdict is ChunkVerdict.REJECTED_IMPLAUSIBLE
    assert "row 1, lift = 3.500 rad" in fault.reason
    assert "implausible_rad 1" in fault.reason


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_one_number_that_is_not_finite_drops_the_chunk(bad: float) -> None:
    fault = rejected(chunk([0.0, 0.0, bad, 0.0]))
    assert fault.verdict is ChunkVerdict.REJECTED_NOT_FINITE
    assert "row 1, pan" in fault.reason


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"joint_names": ("pan",), "rows": 2}, "expected pan, lift"),
        ({"joint_names": ("pan", "pan")}, "expected pan, lift"),
        ({"joint_names": ("pan", "elbow")}, "expected pan, lift"),
        ({"joint_names": ()}, "joints none"),
        ({"rows": 0}, "0 rows"),
        ({"rows": 11}, "11 rows, expected 1 to 10"),
        ({"rows": 2}, "2 values, expected 2 rows x 2 joints"),
        ({"period_s": 1 / 20}, "fps 30"),
        ({"period_s": float("nan")}, "fps 30"),
        ({"period_s": 0.0}, "fps 30"),
    ],
)
def test_what_does_not_fit_is_dropped_with_what_was_expected(changes: dict[str, Any], named: str) -> None:
    fault = rejected(chunk([0.0, 0.0], **changes))
    assert fault.verdict is ChunkVerdict.REJECTED_SHAPE
    assert named in fault.reason


def test_a_period_rounded_on_the_way_fits() -> None:
    admitted(chunk([0.0, 0.0], period_s=0.0333))


def test_limits_are_mapped_by_name() -> None:
    bounds = LIMITS.bounds(("pan", "lift"))
    assert bounds.lower.tolist() == [-1.0, -2.0]
    assert bounds.upper.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (replace(LIMITS, joint_names=("lift", "elbow")), "no limits for pan"),
        (replace(LIMITS, lower=(-2.0,)), "lower has 1 values for 2 joints"),
        (replace(LIMITS, lower=(2.0, -1.0)), "lift from 2 to 2"),
        (replace(LIMITS, upper=(float("nan"), 1.0)), "lift"),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(limits: JointLimits, named: str) -> None:
    with pytest.raises(LimitsError, match=named):
        limits.bounds(("pan", "lift"))
