# SPDX-License-Identifier: Apache-2.0
"""Binding to a server, losing it, and finding another."""

from dataclasses import replace

from so101_action_queue.core.inputs import ServerReport
from so101_action_queue.core.server_watch import ServerEvent, ServerWatch
from so101_action_queue.core.settings import QueueSettings
from so101_node.protocol import PolicyState

S = 1_000_000_000
SPEC = 5
SETTINGS = QueueSettings(server_lost_s=0.9)
A = ServerReport(server_id=1, server_name="a", spec_id=SPEC, state=PolicyState.READY)
B = ServerReport(server_id=2, server_name="b", spec_id=SPEC, state=PolicyState.READY)


def bound_to_a() -> ServerWatch:
    watch = ServerWatch()
    watch.hear(0, A, SETTINGS)
    assert watch.judge(0, SPEC, SETTINGS) == [ServerEvent.BOUND]
    return watch


def test_the_first_ready_server_is_bound_and_kept_though_another_is_ready() -> None:
    watch = ServerWatch()
    watch.hear(0, replace(B, state=PolicyState.LOADING), SETTINGS)
    watch.hear(0, A, SETTINGS)
    assert watch.judge(0, SPEC, SETTINGS) == [ServerEvent.BOUND]
    assert watch.bound_id == A.server_id
    watch.hear(1, B, SETTINGS)
    assert watch.judge(1, SPEC, SETTINGS) == []
    assert watch.bound_id == A.server_id


def test_ready_for_another_spec_is_not_ready() -> None:
    watch = ServerWatch()
    watch.hear(0, replace(A, spec_id=4), SETTINGS)
    assert watch.judge(0, SPEC, SETTINGS) == []
    assert watch.connected
    assert "policy_spec" in watch.explain(0, SPEC, SETTINGS).text


def test_what_a_first_chunk_still_waits_for_is_told_until_a_server_is_ready() -> None:
    watch = ServerWatch()
    assert watch.missing(0, SPEC, SETTINGS) == "no policy server heard"
    watch.hear(0, replace(A, state=PolicyState.UNCONFIGURED, message="name a checkpoint"), SETTINGS)
    assert watch.missing(0, SPEC, SETTINGS) == "server a is UNCONFIGURED: name a checkpoint"
    watch.hear(0, A, SETTINGS)
    assert watch.missing(0, SPEC, SETTINGS) == ""  # though it was not bound yet
    assert watch.judge(0, SPEC, SETTINGS) == [ServerEvent.BOUND]
    assert watch.missing(0, SPEC, SETTINGS) == ""


def test_only_servers_of_the_wanted_names_count() -> None:
    settings = QueueSettings(servers=("b",))
    watch = ServerWatch()
    assert not watch.hear(0, A, settings)
    assert not watch.connected
    assert "(b)" in watch.explain(0, SPEC, settings).text
    assert watch.hear(0, B, settings)
    watch.judge(0, SPEC, settings)
    assert watch.bound_id == B.server_id


def test_of_several_that_are_ready_the_preferred_is_bound_whichever_was_heard_first() -> None:
    settings = QueueSettings(servers=("b", "a"))
    watch = ServerWatch()
    watch.hear(0, A, settings)
    watch.hear(0, B, settings)
    watch.judge(0, SPEC, settings)
    assert watch.bound_id == B.server_id


def test_silence_for_longer_than_the_bound_is_loss_and_not_before() -> None:
    watch = bound_to_a()
    assert watch.judge(round(0.9 * S), SPEC, SETTINGS) == []
    assert watch.judge(round(0.9 * S) + 1, SPEC, SETTINGS) == [ServerEvent.LOST]
    assert watch.lost
    assert not watch.ready
    assert "no heartbeat for 0.9 s" in watch.explain(S, SPEC, SETTINGS).text
    assert watch.judge(5 * S, SPEC, SETTINGS) == []


def test_after_a_loss_the_same_server_or_another_is_bound() -> None:
    for comeback in (A, B):
        watch = bound_to_a()
        watch.judge(2 * S, SPEC, SETTINGS)
        assert watch.bound_id == A.server_id  # its late chunks stay good until somebody else is bound
        watch.hear(3 * S, comeback, SETTINGS)
        assert watch.judge(3 * S, SPEC, SETTINGS) == [ServerEvent.BOUND]
        assert watch.bound_id == comeback.server_id
        assert watch.ready


def test_a_loss_is_called_by_its_name_though_another_server_is_bound_in_the_same_breath() -> None:
    watch = bound_to_a()
    watch.hear(2 * S, B, SETTINGS)
    assert watch.judge(2 * S, SPEC, SETTINGS) == [ServerEvent.LOST, ServerEvent.BOUND]
    assert watch.loss.text == "server lost: no heartbeat for 0.9 s"


def test_a_server_is_there_to_begin_with_while_it_was_heard_lately_and_has_not_left() -> None:
    watch = ServerWatch()
    watch.hear(0, replace(A, state=PolicyState.LOADING), SETTINGS)
    assert watch.any_heard_lately(5 * S)
    assert not watch.any_heard_lately(5 * S + 1)
    watch.hear(6 * S, replace(A, leaving=True), SETTINGS)
    assert not watch.any_heard_lately(6 * S)


def test_a_goodbye_frees_the_robot_at_once() -> None:
    watch = bound_to_a()
    watch.hear(S // 10, B, SETTINGS)
    watch.hear(S // 10, replace(A, leaving=True), SETTINGS)
    assert watch.judge(S // 10, SPEC, SETTINGS) == [ServerEvent.LOST, ServerEvent.BOUND]
    assert watch.bound_id == B.server_id


def test_a_goodbye_is_called_by_its_name() -> None:
    watch = bound_to_a()
    watch.hear(S // 10, replace(A, leaving=True), SETTINGS)
    watch.judge(S // 10, SPEC, SETTINGS)
    assert watch.explain(S // 10, SPEC, SETTINGS).text == "server a said goodbye"


def test_a_bound_server_in_error_stays_bound_and_its_message_is_shown() -> None:
    watch = bound_to_a()
    watch.hear(1, replace(A, state=PolicyState.ERROR, message="out of memory"), SETTINGS)
    watch.hear(1, B, SETTINGS)
    assert watch.judge(1, SPEC, SETTINGS) == [ServerEvent.NOT_READY]
    assert watch.bound_id == A.server_id
    assert watch.explain(1, SPEC, SETTINGS).text == "server a is ERROR: out of memory"
    watch.hear(2, A, SETTINGS)
    assert watch.judge(2, SPEC, SETTINGS) == [ServerEvent.READY]


def test_a_flood_of_servers_neither_fills_memory_nor_displaces_the_bound_one() -> None:
    watch = bound_to_a()
    for number in range(1000):
        watch.hear(number, replace(B, server_id=100 + number), SETTINGS)
    assert watch.bound == A
    assert watch.judge(1000, SPEC, SETTINGS) == []
    assert len(watch._heard) <= 8


def test_an_unknown_state_is_shown_as_a_number() -> None:
    watch = ServerWatch()
    watch.hear(0, replace(A, state=77), SETTINGS)
    assert watch.explain(0, SPEC, SETTINGS).text == "server a is state 77"
