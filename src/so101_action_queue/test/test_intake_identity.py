# SPDX-License-Identifier: Apache-2.0
"""Which chunks are meant for this session, and which are news."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from so101_action_queue.core.decisions import OpenRequest
from so101_action_queue.core.inputs import ReceivedChunk
from so101_action_queue.core.intake import ChunkOrigin, Dropped, identify
from so101_action_queue.core.requests import Closing, Requests
from so101_node.protocol import ChunkVerdict

ORIGIN = ChunkOrigin(session=11, spec_id=22, server_id=33)


def chunk(request_id: int, **changes: Any) -> ReceivedChunk:
    whole = ReceivedChunk(
        session=11, request_id=request_id, spec_id=22, step=request_id * 10, server_id=33, server_name="s", status=0,
        message="", retry_after_s=0.0, period_s=1 / 30, joint_names=(), rows=0, positions=np.empty(0, np.float32),
    )  # fmt: skip
    return replace(whole, **changes)


def three_asked() -> Requests:
    requests = Requests()
    for request_id in (1, 2, 3):
        requests.open(0, step=request_id * 10, executed=0)
    return requests


def verdict(candidate: ReceivedChunk, requests: Requests, origin: ChunkOrigin = ORIGIN) -> ChunkVerdict:
    result = identify(candidate, origin, requests.ledger)
    return ChunkVerdict.ACCEPTED if isinstance(result, OpenRequest) else result.verdict


def test_every_request_not_yet_closed_may_be_closed_in_any_order() -> None:
    requests = three_asked()
    assert [verdict(chunk(number), requests) for number in (2, 1, 3)] == [ChunkVerdict.ACCEPTED] * 3


def test_below_an_accepted_one_is_stale_and_the_accepted_one_again_is_a_duplicate() -> None:
    requests = three_asked()
    asked = requests.ledger.open.get(2)
    assert asked is not None
    requests.close(0, asked, Closing.ACCEPTED)
    assert [verdict(chunk(number), requests) for number in (1, 2, 3)] == [
        ChunkVerdict.STALE,
        ChunkVerdict.DUPLICATE,
        ChunkVerdict.ACCEPTED,
    ]


def test_the_copy_of_an_error_chunk_is_a_duplicate() -> None:
    requests = three_asked()
    asked = requests.ledger.open.get(3)
    assert asked is not None
    requests.close(0, asked, Closing.FAILED)
    assert verdict(chunk(3, status=6), requests) is ChunkVerdict.DUPLICATE


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"session": 12}, "another session"),
        ({"spec_id": 23}, "another policy_spec"),
        ({"server_id": 34, "server_name": "other"}, "server other"),
        ({"request_id": 4}, "never sent"),
        ({"request_id": 0}, "never sent"),
        ({"step": 21}, "echoes step 21, requested at step 20"),
    ],
)
def test_what_belongs_to_somebody_else_is_foreign(changes: dict[str, Any], named: str) -> None:
    result = identify(replace(chunk(2), **changes), ORIGIN, three_asked().ledger)
    assert isinstance(result, Dropped)
    assert result.verdict is ChunkVerdict.REJECTED_FOREIGN
    assert named in result.reason


def test_before_a_session_everything_is_foreign_even_what_claims_session_nought() -> None:
    assert verdict(chunk(1, session=0), three_asked(), ChunkOrigin(0, 22, 33)) is ChunkVerdict.REJECTED_FOREIGN
