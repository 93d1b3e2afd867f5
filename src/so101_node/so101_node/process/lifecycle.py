# SPDX-License-Identifier: Apache-2.0
"""Lifecycle nodes that can bring themselves up."""

from typing import Any

from lifecycle_msgs.msg import State
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from so101_node.parameters import Rule
from so101_node.parameters.declaring import declare_one
from so101_node.threads import NodeError
from so101_node.timing.timers import create_timer


class AutostartNode(LifecycleNode):
    """A lifecycle node that configures and activates itself once it spins, unless `autostart` is false.

    A transition that fails at autostart ends the process with one line and a non-zero exit; set `self.failure` to that
    line before returning FAILURE.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.failure = ""
        autostart = declare_one(
            self,
            "autostart",
            bool,
            True,
            Rule("configure and activate automatically at start; motion still needs its own start"),
        )
        # The timer stays when autostart is off: a node without any timer can hang on SIGTERM (2 of 60 did).
        self._autostart_timer = create_timer(self, 0.01 if autostart else 3600.0, self._autostart)
        self._autostart_wanted = autostart

    def may_autostart(self) -> bool:
        """Whether what the node needs is there; asked every 10 ms until it is. A node that must wait overrides this."""
        return True

    def _autostart(self) -> None:
        if self._autostart_wanted and not self.may_autostart():
            return
        self._autostart_timer.timer_period_ns = 3_600_000_000_000
        if not self._autostart_wanted:
            return
        self._autostart_wanted = False
        for verb, transition in (("configure", self.trigger_configure), ("activate", self.trigger_activate)):
            if transition() != TransitionCallbackReturn.SUCCESS:
                raise NodeError(self.failure or f"{self.get_name()} could not {verb}")

    def what_to_do(self) -> str:
        """Return what to type so that a node that is not active becomes so."""
        state, name = self._state_machine.current_state[0], self.get_fully_qualified_name()
        if state == State.PRIMARY_STATE_INACTIVE:
            return f"activate it: ros2 lifecycle set {name} activate"
        if state == State.PRIMARY_STATE_UNCONFIGURED:
            return f"ros2 lifecycle set {name} configure, then activate"
        return "it was shut down and stays so: end its process and start it again"

    @property
    def is_active(self) -> bool:
        """Whether the node is in the primary state ACTIVE."""
        return bool(self._state_machine.current_state[0] == State.PRIMARY_STATE_ACTIVE)
