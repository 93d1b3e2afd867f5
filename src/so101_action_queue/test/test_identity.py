"""Which answers are meant for this session, and which are news."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from so101_action_queue.asking import Asked, Questions
from so101_action_queue.decisions import Verdict
from so101_action_queue.identity import Party, Unwanted, identify
from so101_action_queue.inputs import Answer

PARTY = Party(session=11, spec_id=22, server_id=33)


def answer(request_id: int, **changes: Any) -> Answer:
    whole = Answer(
        session=11, request_id=request_id, spec_id=22, step=request_id * 10, server_id=33, server_name="s", status=0,
        message="", retry_after_s=0.0, period_s=1 / 30, joint_names=(), rows=0, positions=np.empty(0, np.float32),
    )  # fmt: skip
    return replace(whole, **changes)


def three_asked() -> Questions:
    questions = Questions()
    for request_id in (1, 2, 3):
        questions.ask(0, step=request_id * 10, executed=0)
    return questions


def verdict(candidate: Answer, questions: Questions, party: Party = PARTY) -> Verdict:
    result = identify(candidate, party, questions)
    return Verdict.ACCEPTED if isinstance(result, Asked) else result.verdict


def test_every_question_not_yet_answered_may_be_answered_in_any_order() -> None:
    questions = three_asked()
    assert [verdict(answer(number), questions) for number in (2, 1, 3)] == [Verdict.ACCEPTED] * 3


def test_below_an_accepted_one_is_stale_and_the_accepted_one_again_is_a_duplicate() -> None:
    questions = three_asked()
    asked = questions.find(2)
    assert asked is not None
    questions.close_accepted(asked)
    assert [verdict(answer(number), questions) for number in (1, 2, 3)] == [
        Verdict.STALE,
        Verdict.DUPLICATE,
        Verdict.ACCEPTED,
    ]


def test_the_copy_of_an_error_answer_is_a_duplicate() -> None:
    questions = three_asked()
    asked = questions.find(3)
    assert asked is not None
    questions.close_failed(0, asked)
    assert verdict(answer(3, status=6), questions) is Verdict.DUPLICATE


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"session": 12}, "another session"),
        ({"spec_id": 23}, "another policy_spec"),
        ({"server_id": 34, "server_name": "other"}, "server other"),
        ({"request_id": 4}, "never asked"),
        ({"request_id": 0}, "never asked"),
        ({"step": 21}, "echoes step 21, asked at step 20"),
    ],
)
def test_what_belongs_to_somebody_else_is_foreign(changes: dict[str, Any], named: str) -> None:
    result = identify(replace(answer(2), **changes), PARTY, three_asked())
    assert isinstance(result, Unwanted)
    assert result.verdict is Verdict.REJECTED_FOREIGN
    assert named in result.reason


def test_before_a_session_everything_is_foreign_even_what_claims_session_nought() -> None:
    assert verdict(answer(1, session=0), three_asked(), Party(0, 22, 33)) is Verdict.REJECTED_FOREIGN
