# SPDX-License-Identifier: Apache-2.0
"""Which commands may be followed, and when their silence is one. No clock: the time comes in."""

from typing import Final

import numpy as np
from so101_node.protocol import JOINT_NAMES, FloatArray

from so101_driver.core import causes
from so101_driver.core.gate_machine import GateMachine
from so101_driver.core.gate_table import GateEvent, GateMode
from so101_driver.core.gate_values import GateConfig

# A silent commander is told from a slow one, down to 10 Hz, by the period its commands had so far.
_SILENT_PERIODS: Final = 2.5
_LONGEST_SILENCE_S: Final = 0.3
_AGAIN: Final = "a command near the arm's position engages it again"
_STALE_NS: Final = 100_000_000  # commands from before a standstill are delivered within this time after it


class CommandWatch:
    """Judges commands and their silence, the driver's own standstill among them, for one gate machine."""

    def __init__(self, config: GateConfig, machine: GateMachine) -> None:
        self._config = config
        self._machine = machine
        self._last_command_ns = 0
        self._alive_ns: int | None = None  # when the gate was last called
        self._deaf_until_ns = 0

    @property
    def timeout_s(self) -> float:
        """command_timeout_s, or 2.5 periods of the commands where these are slow: at 10 Hz one comes every 0.1 s."""
        slow_s = min(_SILENT_PERIODS * self._machine.path.command_period_s, _LONGEST_SILENCE_S)
        return max(self._config.command_timeout_s, slow_s)

    def watch_silence(self, now_ns: int) -> None:
        """End ENGAGED where commands have stopped coming."""
        if self._machine.mode is GateMode.ENGAGED and now_ns - self._last_command_ns > self.timeout_s * 1e9:
            self._machine.take(GateEvent.SILENCE, f"no command for {self.timeout_s:.2g} s; {_AGAIN}")

    def heard(self, now_ns: int) -> None:
        """A command is followed."""
        self._last_command_ns = now_ns

    def alive(self, now_ns: int) -> None:
        """The gate was called, while the port was closed."""
        self._alive_ns = now_ns

    def watch_own_time(self, now_ns: int) -> None:
        """Notice that the driver itself stood still: what goes by the clock has run on.

        Parking begins again from the goal, ENGAGED ends, and commands that were on their way are not heard.
        """
        stood_ns = 0 if self._alive_ns is None else now_ns - self._alive_ns
        self._alive_ns = max(now_ns, self._alive_ns or 0)
        if stood_ns > _LONGEST_SILENCE_S * 1e9:
            self._deaf_until_ns = now_ns + _STALE_NS
        if self._machine.path.is_parking and stood_ns > _STALE_NS:
            self._machine.path.park_again(now_ns)
        elif self._machine.mode is GateMode.ENGAGED and stood_ns > self.timeout_s * 1e9:
            self._machine.take(GateEvent.SILENCE, f"the driver itself stood still; {_AGAIN}")

    def admits(self, wanted: FloatArray, now_ns: int) -> bool:
        """Whether a finite command, (6,), rad, may be followed now."""
        machine, limits = self._machine, self._config.limits
        if now_ns < self._deaf_until_ns or not machine.allows(GateEvent.COMMAND):
            return False
        excess = np.maximum(limits.lower - wanted, wanted - limits.upper)
        if np.any(excess > self._config.implausible_rad):
            return False
        if machine.mode is GateMode.ENGAGED:
            return True
        if machine.shown.cause == causes.ANSWERS_LATE and not (machine.reading and machine.reading.complete):
            return False  # where the arm is will be known again soon
        # Near where it stands, or near the goal in force: a gripper that holds an object has its goal beyond that.
        distance = np.fmin(np.abs(wanted - machine.measured), np.abs(wanted - machine.path.goal))
        far = int(np.argmax(distance))
        if distance[far] <= self._config.engage_tolerance_rad:
            return True
        machine.say(
            f"command ignored: {JOINT_NAMES[far]} is commanded {distance[far]:.2f} rad away from where it stands, more "
            f"than {self._config.engage_tolerance_rad:g}; start the commands where the arm stands"
        )
        return False
