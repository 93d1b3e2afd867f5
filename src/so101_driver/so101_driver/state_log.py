"""What the log says about the gate's state: each change once, and a lack at the start only once it is an error."""

from dataclasses import dataclass

from so101_node.diagnostics import Level
from so101_node.start_grace import StartGrace

from so101_driver import causes
from so101_driver.diagnosis import diagnose
from so101_driver.gate_values import GateStatus, State


@dataclass(frozen=True, slots=True)
class Line:
    """One line for the log."""

    level: Level
    text: str


class StateLog:
    """Sees every snapshot's status. Until the bus has answered once, NO_BUS is waiting for the arm for a while."""

    def __init__(self, now_ns: int) -> None:
        self._grace = StartGrace(now_ns)
        self._said: tuple[State, str, bool, str] | None = None
        self.is_starting = True

    def see(self, status: GateStatus, now_ns: int) -> Line | None:
        """Return the line to log now, if any."""
        if status.state is not State.NO_BUS:
            self._grace.over()
        self.is_starting = status.cause == causes.STARTING or self._grace.covers(now_ns)
        outcome = status.message if status.cause == causes.HOLD_LIMIT else ""  # parking, then what came of it
        said, self._said = self._said, (status.state, status.cause, self.is_starting, outcome)
        if said == self._said:
            return None
        text = " ".join(part for part in (status.state.name, status.cause, status.message) if part)
        if self.is_starting:
            return Line(Level.OK, f"starting: {text}")
        is_fault = status.state in (State.NO_BUS, State.LATCHED) or diagnose(status).level is Level.ERROR
        return Line(Level.ERROR if is_fault else Level.OK, text)
