# SPDX-License-Identifier: Apache-2.0
"""One replica of the policy in the hands of its thread: which sessions it has seen, and how a batch becomes chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from so101_node.log_lines import LogLevel, LogLine

from so101_policy_server.core.prepared_request import PreparedRequest
from so101_policy_server.core.request import ServedChunk, SessionKey
from so101_policy_server.core.served_sessions import ServedSessions
from so101_policy_server.errors import one_line
from so101_policy_server.inference.infer_chunk import failed_chunk, infer_batch, infer_chunk
from so101_policy_server.inference.rehearsal import prepare_blank
from so101_policy_server.policy import (
    BatchingPolicy,
    Policy,
    PolicyNotReadyError,
    ReplicaLostError,
    close_policy,
)


class ReplicaWorker:
    """A policy and the sessions that it has served. Called from one thread only.

    Args:
        policy: as its loader returned it.
        log: writes a line.
    """

    def __init__(self, policy: Policy, log: Callable[[LogLine], None]) -> None:
        self._policy = policy
        self._log = log
        self._session: SessionKey | None = None
        self._sessions = ServedSessions()
        self._can_rehearse = True

    def infer(self, batch: list[PreparedRequest]) -> list[ServedChunk]:
        """Return a chunk for each request, or a failure where the policy raises.

        Raises:
            ReplicaLostError: the policy's process is gone; no request is answered.
        """
        return self._alone(batch[0]) if len(batch) == 1 else self._together(batch)

    def rehearse(self) -> None:
        """Let the policy prepare an observation that it throws away; one that cannot does so no more."""
        if not self._can_rehearse:
            return
        try:
            prepare_blank(self._policy)
        except Exception as error:  # noqa: BLE001 - as below; nobody waits for this
            self._can_rehearse = False
            text = f"no more rehearsals before requests: {type(error).__name__}: {one_line(error)}"
            self._log(LogLine(LogLevel.WARNING, text))

    def close(self) -> None:
        """Let go of the policy, and of the memory that it holds beyond its own object."""
        close_policy(self._policy)

    def _alone(self, prepared: PreparedRequest) -> list[ServedChunk]:
        try:
            self._begin_sessions([prepared])
            return [infer_chunk(self._policy, prepared)]
        except ReplicaLostError:
            raise
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a policy's code raises
            text = f"{type(error).__name__}: {one_line(error)}"
            self._log(LogLine(LogLevel.ERROR, text))
            return [failed_chunk(prepared, text)]

    def _together(self, batch: list[PreparedRequest]) -> list[ServedChunk]:
        """Infer in one pass; where that fails each alone: what the policy cannot bear fails only its own robot."""
        try:
            self._begin_sessions(batch)
            return infer_batch(cast(BatchingPolicy, self._policy), batch)
        except ReplicaLostError:
            raise
        except PolicyNotReadyError:
            pass
        except Exception as error:  # noqa: BLE001 - as above
            text = f"a pass for {len(batch)} robots failed, each is served alone: {type(error).__name__}"
            self._log(LogLine(LogLevel.WARNING, f"{text}: {one_line(error)}"))
        return [reply for prepared in batch for reply in self._alone(prepared)]

    def _begin_sessions(self, batch: list[PreparedRequest]) -> None:
        """What a policy remembers of one session is nothing to another."""
        sessions = [prepared.complete.request.key.session for prepared in batch]
        if self._policy.description.batches:
            for over in self._sessions.serve(sessions):
                cast(BatchingPolicy, self._policy).forget(over.label)
        elif sessions[-1] != self._session:
            self._policy.reset()
            self._session = sessions[-1]
