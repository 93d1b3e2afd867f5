# SPDX-License-Identifier: Apache-2.0
"""What the inference thread has in hand: whose requests, since when, and how long such a batch takes."""

from __future__ import annotations

from collections.abc import Sequence

from so101_node.log_lines import LogLevel, LogLine
from so101_node.protocol import ChunkStatus

from so101_policy_server.core.clock import NS_PER_S
from so101_policy_server.core.gathering import Gathering
from so101_policy_server.core.request import RequestKey, ServedChunk
from so101_policy_server.core.server_config import ServerConfig
from so101_policy_server.core.timing import InferenceTimes


class InferenceTurn:
    """One batch at a time. Not thread-safe."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self.gathering = Gathering(config.batch_window_s)
        self.times = InferenceTimes(config.inference_latency_s)
        self._batch: tuple[RequestKey, ...] = ()
        self._since_ns = 0

    def another_policy(self) -> None:
        """Times of the one before are nothing to it."""
        self.times = InferenceTimes(self._config.inference_latency_s)

    def begin(self, batch: Sequence[RequestKey], now_ns: int) -> None:
        """The inference thread has these now."""
        self._batch, self._since_ns = tuple(batch), now_ns

    def end(self, replies: Sequence[ServedChunk], now_ns: int) -> list[LogLine]:
        """It has made these of them; returns what to tell people."""
        self._batch = ()
        self.gathering.freed(now_ns)
        took_s = [reply.timing.inference for reply in replies if reply.status is ChunkStatus.OK]
        warning = self.times.add(max(took_s), now_ns) if took_s else None
        return [LogLine(LogLevel.WARNING, warning)] if warning else []

    def busy_for(self, robot: str) -> RequestKey | None:
        """The request under work: this robot's own, else the first of the batch; None when there is none."""
        return next((key for key in self._batch if key.session.robot == robot), next(iter(self._batch), None))

    def find_stuck(self, now_ns: int) -> str:
        """One line that says so when a batch takes longer than inference_timeout_s for each request, else ""."""
        limit_s, count = self._config.inference_timeout_s, len(self._batch)
        if not count or now_ns - self._since_ns < count * limit_s * NS_PER_S:
            return ""
        others, times = (f" and {count - 1} more", f"{count} x ") if count > 1 else ("", "")
        return (
            f"inference of request {self._batch[0].request_id}{others} has not returned within {times}"
            f"inference_timeout_s = {limit_s:g} s"
        )
