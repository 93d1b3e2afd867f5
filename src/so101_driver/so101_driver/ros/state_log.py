# SPDX-License-Identifier: Apache-2.0
"""What the log says about the gate's state: each change once, and a lack at the start only once it is an error."""

from so101_node.diagnostics import Level
from so101_node.log_lines import LogLevel, LogLine
from so101_node.protocol import DriverState
from so101_node.timing.start_grace import StartGrace

from so101_driver.core import causes
from so101_driver.core.gate_values import GateStatus
from so101_driver.ros.diagnosis import diagnose


class StateLog:
    """Sees every snapshot's status. Until the bus has answered once, NO_BUS is waiting for the arm for a while."""

    def __init__(self, now_ns: int) -> None:
        self._grace = StartGrace(now_ns)
        self._said: tuple[DriverState, str, bool, str] | None = None
        self.is_starting = True

    def see(self, status: GateStatus, now_ns: int) -> LogLine | None:
        """Return the line to log now, if any."""
        if status.state is not DriverState.NO_BUS:
            self._grace.over()
        self.is_starting = status.cause == causes.STARTING or self._grace.covers(now_ns)
        outcome = status.message if status.cause == causes.HOLD_LIMIT else ""  # parking, then what came of it
        said, self._said = self._said, (status.state, status.cause, self.is_starting, outcome)
        if said == self._said:
            return None
        text = " ".join(part for part in (status.state.name, status.cause, status.message) if part)
        if self.is_starting:
            return LogLine(LogLevel.INFO, f"starting: {text}")
        is_fault = status.state in (DriverState.NO_BUS, DriverState.LATCHED) or diagnose(status).level is Level.ERROR
        return LogLine(LogLevel.ERROR if is_fault else LogLevel.INFO, text)
