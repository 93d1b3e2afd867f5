"""What becomes of answers, apart from a whole session."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from so101_action_queue.admission import Bounds
from so101_action_queue.asker import Asker
from so101_action_queue.decisions import Counters, Verdict
from so101_action_queue.execution import Execution
from so101_action_queue.identity import Party
from so101_action_queue.inputs import Answer
from so101_action_queue.notices import Notices
from so101_action_queue.reception import INVALID_IN_A_ROW, Reception, Terms
from so101_action_queue.settings import Settings

SETTINGS = Settings(joint_names=("pan",), cameras=(), max_seam_rad=3.2)
BOUNDS = Bounds(np.array([-1.0]), np.array([1.0]))
PARTY = Party(session=5, spec_id=9, server_id=7)
S = 1_000_000_000


class Desk:
    """A reception with what it works on; a question is open at step 0."""

    def __init__(self, **settings: Any) -> None:
        self.execution, self.asker, self.counters, self.notices = Execution(1), Asker(), Counters(), Notices()
        self.execution.begin(np.zeros(1))
        self.reception = Reception(self.execution, self.asker, self.counters)
        self.terms = Terms(replace(SETTINGS, **settings), BOUNDS, self.notices)

    def ask(self) -> int:
        return self.asker.questions.ask(0, self.execution.step, self.execution.executed).request_id

    def take(self, request_id: int, values: list[float], now_ns: int = S // 10, **changes: Any) -> Verdict:
        answer = Answer(
            session=5, request_id=request_id, spec_id=9, step=0, server_id=7, server_name="s", status=0, message="",
            retry_after_s=0.0, period_s=1 / 30, joint_names=("pan",), rows=len(values),
            positions=np.array(values, dtype=np.float32),
        )  # fmt: skip
        for name, value in changes.items():
            object.__setattr__(answer, name, value)
        return self.reception.take(now_ns, answer, PARTY, self.terms).verdict


def test_a_good_answer_is_in_the_queue_and_its_copy_is_a_duplicate() -> None:
    desk = Desk()
    request_id = desk.ask()
    assert desk.take(request_id, [0.1, 0.2]) is Verdict.ACCEPTED
    assert desk.take(request_id, [0.1, 0.2]) is Verdict.DUPLICATE
    assert desk.execution.length == 2
    assert (desk.counters.accepted, desk.counters.duplicate) == (1, 1)


def test_every_fate_is_counted_under_its_own_name_and_leaves_the_rows_alone() -> None:
    desk = Desk()
    assert desk.take(desk.ask(), [0.1] * 5) is Verdict.ACCEPTED
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
        desk.take(desk.ask(), [0.5], **changes)
        assert getattr(desk.counters, counter) == before + 1
        assert desk.execution.length == 5
    assert desk.reception.trouble.text == "status 77"


def test_invalid_chunks_in_a_row_cost_the_rows_ahead_and_a_good_one_ends_the_row() -> None:
    desk = Desk()
    desk.take(desk.ask(), [0.1] * 5)
    for _ in range(INVALID_IN_A_ROW):
        assert desk.execution.length == 5
        desk.take(desk.ask(), [9.9])
    assert desk.execution.length == 0
    assert "3 invalid chunks in a row" in desk.reception.trouble.text
    assert desk.take(desk.ask(), [0.1]) is Verdict.ACCEPTED
    assert desk.reception.trouble.text == ""


@pytest.mark.parametrize(("after_s", "verdict"), [(4.9, Verdict.ACCEPTED), (5.1, Verdict.STALE)])
def test_an_answer_as_old_as_rows_may_get_is_of_no_use(after_s: float, verdict: Verdict) -> None:
    desk = Desk(max_action_age_s=5.0)
    assert desk.take(desk.ask(), [0.1], now_ns=round(after_s * S)) is verdict
    assert desk.counters.expired == (verdict is Verdict.STALE)


def test_an_idle_queue_takes_no_rows_and_says_why() -> None:
    desk = Desk()
    desk.terms = Terms(SETTINGS, None, desk.notices, "the queue is paused")
    assert desk.take(desk.ask(), [0.1]) is Verdict.STALE
    assert desk.execution.length == 0
    assert "paused" in desk.notices.take()[0].text
