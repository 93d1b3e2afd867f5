# SPDX-License-Identifier: Apache-2.0
"""What happened in a virtual session, and what characterises it."""

from dataclasses import dataclass, field

import numpy as np
from so101_node.log_lines import LogLine
from so101_node.protocol import QueueState

from so101_action_queue.core.decisions import ChunkDecision, ChunkRequest, QueueCounters


@dataclass(slots=True)
class SessionTrace:
    """What happened, tick by tick, and the chunks' fates."""

    states: list[QueueState] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    setpoints: list[tuple[float, ...]] = field(default_factory=list)  # rad; only ticks that command
    action_ages_s: list[float] = field(default_factory=list)  # NaN where no row was executed
    requests: list[ChunkRequest] = field(default_factory=list)
    request_ticks: list[int] = field(default_factory=list)
    chunks: list[ChunkDecision] = field(default_factory=list)
    lines: list[LogLine] = field(default_factory=list)
    counters: QueueCounters = field(default_factory=QueueCounters)

    def starved_ratio(self) -> float:
        """Return the ratio of ticks with an empty queue after the first chunk."""
        moving = sum(state in (QueueState.RUNNING, QueueState.STARVED, QueueState.HOLDING) for state in self.states)
        return self.counters.starved_ticks / moving if moving else 0.0

    def jerk_rms(self, period_s: float) -> float:
        """Return the root mean square of the commands' third difference over all joints, rad/s^3."""
        if len(self.setpoints) < 4:
            return 0.0
        third = np.diff(np.array(self.setpoints), n=3, axis=0) / period_s**3
        return float(np.sqrt(np.mean(third**2)))
