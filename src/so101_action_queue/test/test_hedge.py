# SPDX-License-Identifier: Apache-2.0
"""A second server that is asked when the first is late: the queue's core in virtual time, with two servers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from so101_action_queue.core.decisions import ChunkRequest
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.virtual_session import SERVER_ID, VirtualLink, VirtualSession
from so101_node.protocol import ChunkStatus, ChunkVerdict, FloatArray, PolicyState, QueueState

SECOND_ID = 100
HEDGED = QueueSettings(hedge=True, servers=("virtual", "second"))
POLICY_S = 0.1


def ramp(request: ChunkRequest) -> FloatArray:
    """Rows that rise with the step, the same from whichever server."""
    steps = request.step + np.arange(50)[:, None]
    return np.tile(0.001 * steps, (1, 6))


class TwoServers(VirtualSession):
    """The session's own server is the first; a second one of the same policy answers what is asked of it.

    first_answers: tells by request whether the first gets it at all. second_s: time of its inference, s; None: never.
    """

    def __init__(self, settings: QueueSettings = HEDGED, **of_second: object) -> None:
        self.first_answers: Callable[[ChunkRequest], bool] = lambda request: True
        self.second_s: float | None = POLICY_S
        self.second_status = ChunkStatus.OK
        self.of_second = of_second
        super().__init__(settings, ramp, VirtualLink(inference_s=lambda request_id: POLICY_S))
        self.start()

    def _beat(self) -> None:
        second = replace(self.server, server_id=SECOND_ID, server_name="second", **self.of_second)  # type: ignore[arg-type]
        self.journal.hear_server(self.now_ns, second)
        super()._beat()

    def _send(self, request: ChunkRequest) -> None:
        if request.server_id != SECOND_ID:
            if self.first_answers(request):
                super()._send(request)
        elif self.second_s is not None:
            rows = ramp(request) if self.second_status == ChunkStatus.OK else np.empty((0, 6))
            chunk = self.chunk(
                request, rows, server_id=SECOND_ID, server_name="second", status=self.second_status, retry_after_s=0.0
            )
            self.after(self.second_s, lambda: self._arrive(chunk))

    def kill_first(self) -> None:
        self.server_speaks = False
        self.first_answers = lambda request: False

    @property
    def hedged(self) -> list[ChunkRequest]:
        return [request for request in self.trace.requests if request.server_id == SECOND_ID]


def test_a_prompt_server_is_asked_alone_and_by_its_id() -> None:
    session = TwoServers()
    session.run(10.0)
    assert {request.server_id for request in session.trace.requests} == {SERVER_ID}
    assert session.trace.counters.hedged == 0


def test_without_hedging_a_request_is_for_every_server() -> None:
    session = TwoServers(QueueSettings(servers=("virtual", "second")))
    session.run(3.0)
    session.first_answers = lambda request: False
    session.run(3.0)
    assert {request.server_id for request in session.trace.requests} == {0}
    assert session.trace.counters.hedged == 0


def test_a_server_that_is_killed_starves_no_tick_where_a_second_one_is_asked() -> None:
    session = TwoServers()
    session.run(5.0)
    started = len(session.trace.states)
    session.kill_first()
    session.run(6.0)
    assert set(session.trace.states[started:]) == {QueueState.RUNNING}
    assert session.hedged
    assert session.journal.core.status(session.now_ns).server_id == SECOND_ID


def test_a_server_that_is_killed_starves_the_queue_where_chunks_are_short_and_no_second_one_is_asked() -> None:
    session = TwoServers(QueueSettings(servers=("virtual", "second"), actions_per_chunk=30))
    session.policy = lambda request: ramp(request)[:30]
    session.run(5.0)
    started = len(session.trace.states)
    session.kill_first()
    session.run(6.0)
    assert QueueState.RUNNING in session.trace.states[started:]
    assert set(session.trace.states[started:]) != {QueueState.RUNNING}  # what the test above would see


def test_each_request_is_answered_by_one_accepted_chunk() -> None:
    session = TwoServers()
    session.run(5.0)
    late = {"n": 0}

    def every_third(request: ChunkRequest) -> bool:
        late["n"] += 1
        return late["n"] % 3 != 0

    session.first_answers = every_third
    session.run(20.0)
    assert session.trace.counters.hedged >= 3
    assert session.trace.counters.rejected_foreign == 0
    accepted = [chunk for chunk in session.trace.chunks if chunk.verdict is ChunkVerdict.ACCEPTED]
    assert session.trace.counters.accepted == len(accepted) <= len(session.trace.requests)
    assert session.trace.counters.starved_ticks == 0
    steps = np.diff(np.array(session.trace.setpoints), axis=0)
    assert np.abs(steps[200:]).max() < 0.002  # the ramp itself is 0.001 per step


def test_a_second_server_that_fails_is_not_asked_in_every_tick() -> None:
    session = TwoServers()
    session.run(5.0)
    session.second_status = ChunkStatus.POLICY_ERROR
    session.first_answers = lambda request: False
    session.run(3.0)
    assert 1 <= len(session.hedged) <= 12


def test_a_second_server_that_never_answers_does_not_keep_the_first_from_being_asked() -> None:
    session = TwoServers()
    session.run(5.0)
    session.second_s = None
    slow = {"left": 1}

    def once(request: ChunkRequest) -> bool:
        slow["left"] -= 1
        return slow["left"] < 0

    session.first_answers = once
    before = session.trace.counters.accepted
    session.run(8.0)
    assert session.trace.counters.accepted >= before + 6
    assert session.trace.states[-1] is QueueState.RUNNING


@pytest.mark.parametrize(
    "other",
    [{"fingerprint": "b" * 64}, {"horizon": 7}, {"state": PolicyState.LOADING}, {"spec_id": 1}, {"leaving": True}],
)
def test_a_server_of_another_policy_or_one_that_is_not_ready_is_never_asked(other: dict[str, object]) -> None:
    session = TwoServers(HEDGED, **other)
    session.run(3.0)
    session.first_answers = lambda request: False
    session.run(3.0)
    assert session.hedged == []


def test_a_chunk_of_the_server_that_was_not_asked_is_foreign() -> None:
    session = TwoServers()
    session.run(3.0)
    session.first_answers = lambda request: False
    session.second_s = None
    session.run(2.0)
    request = next(one for one in reversed(session.trace.requests) if one.server_id == SERVER_ID)
    decision = session.deliver(session.chunk(request, ramp(request), server_id=SECOND_ID, server_name="second"))
    assert decision.verdict is ChunkVerdict.REJECTED_FOREIGN
    assert "another one was asked" in decision.reason


def test_the_second_server_is_no_rival_where_it_is_wanted() -> None:
    wanted, unwanted = TwoServers(), TwoServers(QueueSettings(servers=("virtual", "second")))
    foreign = TwoServers(HEDGED, fingerprint="b" * 64)
    for session in (wanted, unwanted, foreign):
        session.run(1.0)
    assert wanted.journal.core.rival_servers(wanted.now_ns) == []
    assert unwanted.journal.core.rival_servers(unwanted.now_ns) == ["second"]
    assert foreign.journal.core.rival_servers(foreign.now_ns) == ["second"]
