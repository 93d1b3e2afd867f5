# SPDX-License-Identifier: Apache-2.0
"""What becomes of chunks, apart from a whole session."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from so101_action_queue.core.decisions import QueueCounters
from so101_action_queue.core.execution import Execution
from so101_action_queue.core.inputs import Bounds, ReceivedChunk
from so101_action_queue.core.intake import INVALID_IN_A_ROW, ChunkIntake, ChunkOrigin, IntakeTerms
from so101_action_queue.core.requests import Requests
from so101_action_queue.core.settings import QueueSettings
from so101_node.log_lines import ThrottledLines
from so101_node.protocol import ChunkVerdict

SETTINGS = QueueSettings(joint_names=("pan",), cameras=(), max_seam_rad=3.2)
BOUNDS = Bounds(np.array([-1.0]), np.array([1.0]))
ORIGIN = ChunkOrigin(session=5, spec_id=9, server_id=7)
S = 1_000_000_000


class Desk:
    """An intake with what it works on; a request is open at step 0."""

    def __init__(self, **settings: Any) -> None:
        self.execution, self.requests, self.counters, self.lines = (
            Execution(1),
            Requests(),
            QueueCounters(),
            ThrottledLines(),
        )
        self.execution.begin(np.zeros(1))
        self.intake = ChunkIntake(self.execution, self.requests, self.counters)
        self.terms = IntakeTerms(replace(SETTINGS, **settings), BOUNDS, self.lines)

    def request(self) -> int:
        return self.requests.open(0, self.execution.step, self.execution.executed).request_id

    def take(self, request_id: int, values: list[float], now_ns: int = S // 10, **changes: Any) -> ChunkVerdict:
        chunk = ReceivedChunk(
            session=5, request_id=request_id, spec_id=9, step=0, server_id=7, server_name="s", status=0, message="",
            retry_after_s=0.0, period_s=1 / 30, joint_names=("pan",), rows=len(values),
            positions=np.array(values, dtype=np.float32),
        )  # fmt: skip
        for name, value in changes.items():
            object.__setattr__(chunk, name, value)
        return self.intake.take(now_ns, chunk, ORIGIN, self.terms).verdict


def test_a_good_chunk_is_in_the_queue_and_its_copy_is_a_duplicate() -> None:
    desk = Desk()
    request_id = desk.request()
    assert desk.take(request_id, [0.1, 0.2]) is ChunkVerdict.ACCEPTED
    assert desk.take(request_id, [0.1, 0.2]) is ChunkVerdict.DUPLICATE
    assert desk.execution.length == 2
    assert (desk.counters.accepted, desk.counters.duplicate) == (1, 1)


def test_every_fate_is_counted_under_its_own_name_and_leaves_the_rows_alone() -> None:
    desk = Desk()
    assert desk.take(desk.request(), [0.1] * 5) is ChunkVerdict.ACCEPTED
    fates: list[tuple[str, dict[str, Any]]] = [
        ("rejected_foreign", {"server_id": 8}),
        ("rejected_foreign", {"session": 6}),
        ("rejected_shape", {"rows": 3}),
        ("rejected_not_finite", {"positions": np.array([np.nan], dtype=np.float32)}),
        ("errors", {"status": 6, "message": "out of memory"}),
        ("errors", {"status": 77}),
    ]
    for counter, changes in fates:
        before = getattr(desk.counters, counter)
        desk.take(desk.request(), [0.5], **changes)
        assert getattr(desk.counters, counter) == before + 1
        assert desk.execution.length == 5
    assert desk.intake.trouble.text == "status 77"


def test_invalid_chunks_in_a_row_cost_the_rows_ahead_and_a_good_one_ends_the_row() -> None:
    desk = Desk()
    desk.take(desk.request(), [0.1] * 5)
    for _ in range(INVALID_IN_A_ROW):
        assert desk.execution.length == 5
        desk.take(desk.request(), [9.9])
    assert desk.execution.length == 0
    assert "3 invalid chunks in a row" in desk.intake.trouble.text
    assert desk.take(desk.request(), [0.1]) is ChunkVerdict.ACCEPTED
    assert desk.intake.trouble.text == ""


@pytest.mark.parametrize(("after_s", "verdict"), [(4.9, ChunkVerdict.ACCEPTED), (5.1, ChunkVerdict.STALE)])
def test_a_chunk_as_old_as_rows_may_get_is_of_no_use(after_s: float, verdict: ChunkVerdict) -> None:
    desk = Desk(max_action_age_s=5.0)
    assert desk.take(desk.request(), [0.1], now_ns=round(after_s * S)) is verdict
    assert desk.counters.expired == (verdict is ChunkVerdict.STALE)


def test_an_idle_queue_takes_no_rows_and_says_why() -> None:
    desk = Desk()
    desk.terms = IntakeTerms(SETTINGS, None, desk.lines, "the queue is paused")
    assert desk.take(desk.request(), [0.1]) is ChunkVerdict.STALE
    assert desk.execution.length == 0
    assert "paused" in desk.lines.take()[0].text
