# SPDX-License-Identifier: Apache-2.0
"""What each replica of the policy has in hand: whose requests, since when, and how long such a batch takes."""

from __future__ import annotations

from collections.abc import Sequence

from so101_node.log_lines import LogLevel, LogLine
from so101_node.protocol import ChunkStatus

from so101_policy_server.core.clock import NS_PER_S
from so101_policy_server.core.gathering import Gathering
from so101_policy_server.core.request import RequestKey, ServedChunk, SessionKey
from so101_policy_server.core.server_config import ServerConfig
from so101_policy_server.core.timing import InferenceTimes


class InferenceTurn:
    """One batch at a time for each replica, and one replica at a time for each robot. Not thread-safe.

    A policy that runs in this process is its own only replica, number 0.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self.gathering = Gathering(config.batch_window_s)
        self.times = InferenceTimes(config.inference_latency_s)
        self._remembers = True
        self._in_hand: dict[int, tuple[RequestKey, ...]] = {}
        self._since_ns: dict[int, int] = {}
        self._dismissed: set[int] = set()
        self._replica_of: dict[str, tuple[SessionKey, int]] = {}

    def another_policy(self, remembers: bool) -> None:
        """Times and sessions of the one before are nothing to it; `remembers`: see `PolicyDescription`."""
        self.times = InferenceTimes(self._config.inference_latency_s)
        self._remembers = remembers
        self._replica_of.clear()

    def dismiss(self) -> None:
        """Another policy is to be loaded: there is no replica of it yet, and who has something in hand ends that."""
        self._in_hand = {replica: batch for replica, batch in self._in_hand.items() if batch}
        self._dismissed = set(self._in_hand)

    def join(self, replica: int) -> None:
        """This replica takes requests from now on."""
        self._dismissed.discard(replica)
        self._in_hand.setdefault(replica, ())

    def leave(self, replica: int) -> bool:
        """This replica is gone, with all that it remembered; returns whether others are left."""
        self._in_hand.pop(replica, None)
        self._dismissed.discard(replica)
        self._replica_of = {robot: kept for robot, kept in self._replica_of.items() if kept[1] != replica}
        return bool(self._in_hand)

    @property
    def replicas(self) -> int:
        """How many there are."""
        return len(self._in_hand)

    @property
    def idle(self) -> int:
        """How many of them have nothing in hand."""
        return sum(not batch for batch in self._in_hand.values())

    def may_serve(self, replica: int, session: SessionKey) -> bool:
        """Whether this replica may take a request of that session now.

        Not while another one has a request of the same robot in hand, and not where another one remembers the session.
        """
        others = (batch for number, batch in self._in_hand.items() if number != replica)
        if any(key.session.robot == session.robot for batch in others for key in batch):
            return False
        kept, where = self._replica_of.get(session.robot, (session, replica))
        return not self._remembers or kept != session or where == replica

    def begin(self, batch: Sequence[RequestKey], now_ns: int, replica: int = 0) -> None:
        """This replica has these now."""
        self._in_hand[replica], self._since_ns[replica] = tuple(batch), now_ns
        self._replica_of |= {key.session.robot: (key.session, replica) for key in batch}

    def end(self, replies: Sequence[ServedChunk], now_ns: int, replica: int = 0) -> list[LogLine]:
        """It has made these of them; returns what to tell people."""
        if replica in self._dismissed:
            self.leave(replica)
        elif replica in self._in_hand:
            self._in_hand[replica] = ()
        self.gathering.freed(now_ns)
        took_s = [reply.timing.inference for reply in replies if reply.status is ChunkStatus.OK]
        warning = self.times.add(max(took_s), now_ns) if took_s else None
        return [LogLine(LogLevel.WARNING, warning)] if warning else []

    def busy_for(self, robot: str) -> RequestKey | None:
        """The request under work: this robot's own, else the first of a batch; None when there is none."""
        keys = [key for batch in self._in_hand.values() for key in batch]
        return next((key for key in keys if key.session.robot == robot), next(iter(keys), None))

    def find_stuck(self, now_ns: int) -> str:
        """One line that says so when a batch takes longer than inference_timeout_s for each request, else ""."""
        limit_s = self._config.inference_timeout_s
        if self._config.replicas:
            return ""  # a replica that does not reply in time is given up, and the server stays
        for replica, batch in self._in_hand.items():
            count = len(batch)
            if count and now_ns - self._since_ns[replica] >= count * limit_s * NS_PER_S:
                others, times = (f" and {count - 1} more", f"{count} x ") if count > 1 else ("", "")
                return (
                    f"inference of request {batch[0].request_id}{others} has not returned within {times}"
                    f"inference_timeout_s = {limit_s:g} s"
                )
        return ""
