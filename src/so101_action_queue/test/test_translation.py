# SPDX-License-Identifier: Apache-2.0
"""Messages to values and back."""

import math

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState
from so101_action_queue.core import causes
from so101_action_queue.core.decisions import ChunkRequest, CoreStatus, QueueCounters
from so101_action_queue.core.inputs import JointLimits
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.core.spec import policy_spec
from so101_msgs.msg import ActionChunk, QueueStatus
from so101_node.protocol import QueueState
from so101_node.protocol.spec_message import spec_message
from so101_node.threads import Tick

from so101_action_queue import translation

STAMP = Time(sec=5, nanosec=6)


def test_joint_positions_are_picked_by_name_and_never_by_place() -> None:
    reader = translation.JointPositionsReader(("pan", "lift"))
    positions = reader.read(JointState(name=["extra", "lift", "pan"], position=[9.0, 2.0, 1.0]), 0.25)
    assert positions is not None
    assert (positions.positions, positions.age_s) == ((1.0, 2.0), 0.25)
    positions = reader.read(JointState(name=["pan", "lift"], position=[3.0, 4.0]), 0.0)
    assert positions is not None
    assert positions.positions == (3.0, 4.0)


@pytest.mark.parametrize(
    "message",
    [
        JointState(name=["pan"], position=[1.0]),
        JointState(name=["pan", "lift"], position=[1.0]),
        JointState(name=["pan", "lift"], position=[1.0, math.nan]),
        JointState(),
    ],
)
def test_joint_positions_with_one_missing_are_none(message: JointState) -> None:
    assert translation.JointPositionsReader(("pan", "lift")).read(message, 0.0) is None


def test_the_numbers_of_a_chunk_are_copied() -> None:
    message = ActionChunk(rows=1, positions=[1.0, 2.0], joint_names=["pan", "lift"])
    chunk = translation.chunk_from(message)
    message.positions[0] = 9.0
    assert chunk.positions.tolist() == [1.0, 2.0]


def test_a_request_fills_every_field_of_the_request() -> None:
    request = ChunkRequest(
        session=2**63 + 1, request_id=2, spec_id=3, step=4, must_go=True, task="t", history=1, joint_names=("pan",),
        positions=(0.5,), positions_age_s=0.01, expected_delay_steps=5, leftover_rows=2, leftover=(0.25, 0.75),
        frame_sizes=(96, 128),
    )  # fmt: skip
    message = translation.request_message(STAMP, request)
    assert (message.session, message.request_id, message.spec_id, message.step) == (2**63 + 1, 2, 3, 4)
    assert (message.must_go, message.task, message.history, message.positions_age) == (True, "t", 1, 0.01)
    assert (message.expected_delay_steps, message.leftover_rows) == (5, 2)
    assert (list(message.positions), list(message.leftover)) == ([0.5], [0.25, 0.75])
    assert list(message.frame_sizes) == [96, 128]
    assert message.header.stamp == STAMP


def test_the_spec_carries_units_ranges_and_task() -> None:
    limits = JointLimits(1, ("pan",), (-1.0,), (1.0,), (-2.0,), (2.0,), (1,))
    chosen = QueueSettings(
        joint_names=("pan",), units="normalized", cameras=("front",), rename_from=("a",), rename_to=("b",)
    )
    spec = policy_spec(chosen, limits)
    message = spec_message(STAMP, spec, 7, "go")
    assert (message.units, message.task, message.session, message.spec_id) == (1, "go", 7, spec.spec_id)
    assert (list(message.range_lower), list(message.range_upper), list(message.drive_mode)) == ([-2.0], [2.0], [1])
    assert (message.cameras, message.rename_from, message.rename_to) == (["front"], ["a"], ["b"])


def test_every_counter_and_state_of_the_core_has_its_place_in_the_status_message() -> None:
    # late_continuations is for diagnostics alone
    shown = [name for name in QueueCounters.__slots__ if name != "late_continuations"]
    counters = QueueCounters(**dict(zip(shown, range(1, len(shown) + 1), strict=True)))
    status = CoreStatus(
        QueueState.STARVED, "x" * 300, causes.STARVED, 1, 2, 3, 4, 5, 6, 0.5, 7, 0.1, 8, 0.2, 0.3, 0.4, math.nan,
        counters, 13,
    )  # fmt: skip
    message = translation.status_message(STAMP, status, Tick(9, 10, 11_000_000, 12, 30.0))
    for name, value in zip(shown, range(1, len(shown) + 1), strict=True):
        assert getattr(message, name) == value
    assert message.state == QueueStatus.STARVED
    assert len(message.cause) == 256
    assert message.cause_name == "STARVED"
    assert (message.outstanding_request_id, message.outstanding) == (7, 13)
    assert (message.tick, message.tick_ns, message.tick_error, message.deadline_misses) == (9, 10, 0.011, 12)
    assert (message.round_trip_last, message.round_trip_p50, message.round_trip_p95) == (0.2, 0.3, 0.4)
    for state in QueueState:
        assert getattr(QueueStatus, state.name) == state


def test_a_plan_is_a_trajectory_whose_first_point_is_one_period_ahead() -> None:
    message = translation.plan_message(STAMP, ("pan",), np.array([[0.1], [0.2]]), 0.5)
    assert [list(point.positions) for point in message.points] == [[0.1], [0.2]]
    times = [(point.time_from_start.sec, point.time_from_start.nanosec) for point in message.points]
    assert times == [(0, 500_000_000), (1, 0)]
