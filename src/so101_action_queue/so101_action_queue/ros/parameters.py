# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: the core's settings, and what only the node needs."""

from dataclasses import dataclass
from typing import Final

from so101_node.parameters import parameter, pick, precedence

from so101_action_queue.core.settings import QueueSettings

NO_CORRECTION: Final = "none"
"""What correction_argument says where a correction of the configuration is not wanted."""


@dataclass(frozen=True, slots=True)
class QueueParameters(QueueSettings):
    """Parameters of the action_queue node. Those that are not read-only may change while the arm moves."""

    start_on_activate: bool = parameter(False, "start automatically, once, as soon as server and driver allow it")
    fresh_frames_within_s: float = parameter(
        0.034,
        "a request lets the cameras wait up to so long, s, for the moment at which the oldest of their newest frames "
        "is youngest; 0 = each sends its newest at once. Nothing waits while a camera is missing, frozen or irregular, "
        "or the queue is empty",
        lower=0.0,
        upper=0.1,
    )
    correction_file: str = parameter(
        "", "correction.npz whose network corrects each setpoint by the newest camera frames; empty = none"
    )
    correction_argument: str = parameter(
        "", "launch argument correction: a file instead of correction_file, none = no correction, empty = as that says"
    )
    correction_largest_delta_rad: float = parameter(
        0.0,
        "a correction adds at most this to the setpoint of a joint, rad; 0 = as its file says",
        lower=0.0,
        upper=3.1,
    )
    correction_largest_change_rad: float = parameter(
        0.0, "a correction changes by at most this in a tick, rad; 0 = as its file says", lower=0.0, upper=3.2
    )
    correction_frozen_s: float = parameter(
        0.25,
        "a camera whose frames are equal for longer than this stops a correction, s; 0 = never, as rendered ones are",
        lower=0.0,
        upper=10.0,
    )
    tick_priority: int = precedence.tick_priority()
    thread_priority: int = precedence.thread_priority()
    niceness: int = precedence.niceness(-10)

    @property
    def chosen_correction(self) -> str:
        """The correction's file; "" = none is wanted."""
        chosen = self.correction_argument or self.correction_file
        return "" if chosen == NO_CORRECTION else chosen

    def settings(self) -> QueueSettings:
        """Return the part that the core works with."""
        return pick(QueueSettings, self)
