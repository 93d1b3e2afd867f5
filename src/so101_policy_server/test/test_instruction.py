# SPDX-License-Identifier: Apache-2.0
"""A policy that does as the task says is not asked without one; others need none."""

from __future__ import annotations

import pytest
from so101_node.protocol import ChunkStatus, PolicyState
from so101_policy_server.core.request import ServedChunk
from so101_policy_server.core.server import PolicyServer
from so101_policy_server.core.spec_check import SpecMismatchError, check_spec


def server_of(examples, reads_task: bool, task: str = "") -> PolicyServer:
    server = PolicyServer(examples.config(task=task))
    server.start()
    server.activate()
    server.loaded(examples.description(policy_type="smolvla", reads_task=reads_task), 0)
    return server


@pytest.mark.parametrize("blank", ["", "  \n\t"])
def test_a_spec_without_a_task_is_rejected_by_name_until_it_has_one(examples, blank: str) -> None:
    server = server_of(examples, reads_task=True)
    server.spec("", examples.spec(task=blank), 0)
    status = server.status("")
    assert status.state is PolicyState.ERROR
    assert "task is empty: a policy of type smolvla does as it says; set task of action_queue" in status.message
    (answer,) = server.request(examples.request(1, task=blank), 0)
    assert answer.status is ChunkStatus.SPEC_REJECTED and "task is empty" in answer.message
    server.spec("", examples.spec(task="pick"), 0)
    assert server.status("").state is PolicyState.READY


def test_a_request_whose_task_was_blanked_is_answered_with_the_reason(examples) -> None:
    server = server_of(examples, reads_task=True)
    server.spec("", examples.spec(task="pick"), 0)
    (answer,) = [one for one in server.request(examples.request(1, task=" "), 0) if isinstance(one, ServedChunk)]
    assert answer.status is ChunkStatus.BAD_REQUEST and "task is empty" in answer.message
    assert not [one for one in server.request(examples.request(2), 0) if isinstance(one, ServedChunk)]


def test_the_servers_own_task_stands_in_for_blanks(examples) -> None:
    server = server_of(examples, reads_task=True, task="place")
    server.spec("", examples.spec(task=" "), 0)
    assert server.status("").state is PolicyState.READY
    server.request(examples.request(1, task=" "), 0)
    for camera in ("front", "wrist"):
        for effect in server.frame(examples.frame(camera)):
            server.decoded(effect.frame, examples.picture(), 1)
    (job,) = server.take(2)
    assert job is not None and job.task == "place"


def test_a_policy_without_language_needs_no_task(examples) -> None:
    config = examples.config()
    check_spec(examples.spec(task=""), config.served, config.source, examples.description(), config.choice)
    server = server_of(examples, reads_task=False)
    server.spec("", examples.spec(task=""), 0)
    assert server.status("").state is PolicyState.READY
    with pytest.raises(SpecMismatchError, match="task is empty"):
        check_spec(
            examples.spec(task=""), config.served, config.source, examples.description(reads_task=True), config.choice
        )
