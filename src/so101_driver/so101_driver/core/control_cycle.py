# SPDX-License-Identifier: Apache-2.0
"""One tick of the driver: read the servos, ask the gate, write what it says; and finding the port again.

No thread and no clock: `run` is called once per period with the time.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from so101_node.protocol import BoolArray

from so101_driver.core import causes
from so101_driver.core.arm import JOINTS, Arm, ArmReading
from so101_driver.core.errors import DriverError, NoReplyError, PortError, ServoRefusedError
from so101_driver.core.gate_values import GateOutput, GateStatus, ServoOrder
from so101_driver.core.safety_gate import SafetyGate

_FIRST_RETRY_NS: Final = 100_000_000
_LONGEST_RETRY_NS: Final = 1_000_000_000  # so that the arm is back within 2 s of its port
_TORQUE_CHECK_TICKS: Final = 6  # one servo each: a dip of the whole supply shows within 0.1 s, of one servo in 0.6 s
_LATCHED_TORQUE_RATIO: Final = 0.5  # of the EEPROM limit, for a joint that overloaded or overheated: enough to hold


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one tick found and did."""

    now_ns: int
    tick: int
    reading: ArmReading | None  # None: the port is closed
    status: GateStatus
    bus_reads: int
    bus_errors: int
    bus_retries: int


class ControlCycle:
    """Arm and gate together. Not thread-safe."""

    def __init__(self, arm: Arm, gate: SafetyGate) -> None:
        self._arm = arm
        self._gate = gate
        self._tick = 0
        self._checked = 0
        self._retry_at_ns = 0
        self._retry_delay_ns = _FIRST_RETRY_NS
        self._reads = self._errors = self._retries = 0
        self._connected = False

    @property
    def gate(self) -> SafetyGate:
        """The gate, for requests between ticks."""
        return self._gate

    def run(self, now_ns: int) -> Snapshot:
        """Do one tick. Raises nothing for faults of the bus or the servos: they are states."""
        self._tick += 1
        reading: ArmReading | None = None
        try:
            if self._connected or self._connect(now_ns):
                reading = self._read()
                self._carry_out(self._gate.tick(reading, now_ns), now_ns)
        except PortError as error:
            self._lose(error.cause, str(error), now_ns)
            reading = None
        return Snapshot(
            now_ns=now_ns,
            tick=self._tick,
            reading=reading,
            status=self._gate.status,
            bus_reads=self._reads,
            bus_errors=self._errors,
            bus_retries=self._retries,
        )

    def _connect(self, now_ns: int) -> bool:
        """Open the port when it is time to, and show the gate the arm. Returns whether it is there."""
        if now_ns < self._retry_at_ns:
            return False
        try:
            self._arm.open()
            self._arm.identify()
            reading = self._arm.read()
            if not reading.complete:
                raise NoReplyError("not all servos answer: check their cables")
            torque = self._arm.torque()
        except NoReplyError as error:
            self._lose(causes.SERVOS_SILENT, str(error), now_ns)
            return False
        except ServoRefusedError as error:
            self._lose(error.cause, str(error), now_ns)
            return False
        self._connected = True
        self._retry_delay_ns = _FIRST_RETRY_NS
        self._gate.opened(reading, torque)
        return True

    def _lose(self, cause: str, message: str, now_ns: int) -> None:
        self._close(now_ns)
        self._gate.bus_lost(cause, message)

    def _close(self, now_ns: int) -> None:
        self._arm.close()
        self._connected = False
        self._retry_at_ns = now_ns + self._retry_delay_ns
        self._retry_delay_ns = min(2 * self._retry_delay_ns, _LONGEST_RETRY_NS)

    def _read(self) -> ArmReading:
        reading = self._arm.read()
        self._reads += 1
        self._errors += not reading.complete
        self._retries += reading.retried
        return reading

    def _carry_out(self, output: GateOutput, now_ns: int) -> None:
        """Write the goals and do what is ordered; how that went is reported to the gate once, in this tick."""
        if output.goal is not None:
            self._arm.write_goals(output.goal)
            self._check_torque()
        for order in output.orders:
            if order is ServoOrder.PREPARE:
                self._prepare()
            elif order is ServoOrder.TORQUE_OFF:
                self._switch_off()
            elif order is ServoOrder.LOWER_TORQUE:
                self._arm.limit_torque(output.joints, _LATCHED_TORQUE_RATIO)
            elif order is ServoOrder.HOLD_HERE:
                if limp := self._arm.hold_here(output.jumped):
                    self._gate.let_go(limp)
            elif order is ServoOrder.CLOSE_PORT:
                self._close(now_ns)

    def _check_torque(self) -> None:
        """Look at one servo now and then: after a dip of its supply it comes back limp and with its own goal."""
        if self._tick % _TORQUE_CHECK_TICKS or self._arm.shadow:
            return
        self._checked = (self._checked + 1) % JOINTS
        try:
            if not self._arm.torque_of(self._checked):
                self._gate.torque_lost(self._known_torque())
        except NoReplyError:
            return  # the monitor counts silent servos

    def _prepare(self) -> None:
        try:
            self._arm.verify_settings()
            goal = self._arm.torque_on()
        except ServoRefusedError as error:
            self._gate.refused(error.cause, str(error), self._known_torque())
        except NoReplyError as error:
            self._gate.refused(error.cause, f"{error}; then reset", self._known_torque())
        else:
            self._gate.prepared(goal, self._known_torque())

    def _switch_off(self) -> None:
        try:
            self._arm.torque_off()
        except NoReplyError as error:
            self._gate.refused(error.cause, str(error), self._known_torque())
        else:
            self._gate.released()

    def _known_torque(self) -> BoolArray:
        """Torque per joint; a servo that cannot be asked counts as holding, the cautious reading for people."""
        torque = np.ones(JOINTS, dtype=np.bool_)
        for index in range(JOINTS):
            try:
                torque[index] = self._arm.torque_of(index)
            except PortError:
                raise
            except DriverError:
                continue
        return torque
