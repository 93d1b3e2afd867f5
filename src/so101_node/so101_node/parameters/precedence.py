# SPDX-License-Identifier: Apache-2.0
"""The parameters about a node's priority, the same for each node that has them."""

from typing import Any

from so101_node.parameters.fields import parameter


def tick_priority() -> Any:
    """Parameter `tick_priority` of a node with a control thread."""
    return parameter(
        10, "SCHED_FIFO priority of the control thread where the system permits it; 0 = none", lower=0, upper=99
    )


def thread_priority() -> Any:
    """Parameter `thread_priority`; 5 lies below the control threads and above everything ordinary."""
    return parameter(
        5,
        "SCHED_RR priority of the other threads, DDS too, where the system permits it; at most tick_priority; 0 = none",
        lower=0,
        upper=99,
    )


def niceness(default: int) -> Any:
    """Parameter `niceness`."""
    if default < 0:
        return parameter(
            default,
            "niceness of the process where the system permits it and it has no real-time priority; 0 = as started",
            lower=-20,
            upper=19,
        )
    return parameter(default, "niceness of the process; 0 = as started", lower=-20, upper=19)
