# SPDX-License-Identifier: Apache-2.0
"""Timers that run on the steady clock, whatever /clock says.

rclpy's own run on ROS time: with `use_sim_time` and no /clock, or a paused one, a node would neither start nor send its
heartbeat, look for faults or end a wait. Only stamps follow /clock. Nodes make their timers here; a test keeps it so.
"""

from collections.abc import Callable

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.timer import Timer

_STEADY = Clock(clock_type=ClockType.STEADY_TIME)


def create_timer(node: Node, period_s: float, callback: Callable[[], object], *, autostart: bool = True) -> Timer:
    """Call `callback` every `period_s` from the node's executor, for the first time after one period."""
    return node.create_timer(period_s, callback, clock=_STEADY, autostart=autostart)
