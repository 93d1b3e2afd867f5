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

from so101_node.threads import NodeError

_STEADY = Clock(clock_type=ClockType.STEADY_TIME)
_REPORT = "report_node_error"


def create_timer(node: Node, period_s: float, callback: Callable[[], object], *, autostart: bool = True) -> Timer:
    """Call `callback` every `period_s` from the node's executor, for the first time after one period.

    A NodeError that it raises ends the node with its line; see `report_errors`.
    """

    def call() -> None:
        try:
            callback()
        except NodeError as error:
            report = getattr(node, _REPORT, None)
            if report is None:
                raise
            report(error)

    return node.create_timer(period_s, call, clock=_STEADY, autostart=autostart)


def report_errors(node: Node, report: Callable[[NodeError], object]) -> None:
    """Give each NodeError that a timer's callback raises to `report`.

    Left to an executor of events it would be logged with its stack before it came out.
    """
    setattr(node, _REPORT, report)
