# SPDX-License-Identifier: Apache-2.0
"""Threads of a node beside the one that spins it: at a fixed rate, or for the newest values; and how they fail.

Free of ROS. A thread never dies in silence: its exception goes into a `FatalSlot`, with which the node ends.
"""

from so101_node.threads.fatal import FatalSlot, NodeError
from so101_node.threads.fixed_rate import DeadlineGrid, FixedRateThread, Tick
from so101_node.threads.newest_value import LOG_DEPTH, NewestValueThread
from so101_node.threads.watched import WatchedThread

__all__ = [
    "LOG_DEPTH",
    "DeadlineGrid",
    "FatalSlot",
    "FixedRateThread",
    "NewestValueThread",
    "NodeError",
    "Tick",
    "WatchedThread",
]
