# SPDX-License-Identifier: Apache-2.0
"""What the driver needs of a servo bus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from so101_driver.core.registers import Register, ServoState


@dataclass(frozen=True, slots=True)
class StatesRead:
    """Answer to one read of all servos. A servo that did not answer is absent from `states`."""

    states: Mapping[int, ServoState]  # by servo id
    retried: int  # servos that had to be asked twice
    garbled: bool  # bytes arrived that belong to no valid reply: noise or a late reply, not an unplugged servo


class ServoBus(Protocol):
    """A bus of STS3215 servos.

    Every method raises PortError when the port is closed or went away. Single transfers raise NoReplyError when the
    servo stays silent after one retry; reading all servos never does, it returns who answered.
    """

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""

    def open(self) -> None:
        """Open the port. Raises PortError with the remedy."""

    def close(self) -> None:
        """Close the port; closing twice is fine. Servos keep their torque and their last goal."""

    def ping(self, servo_id: int) -> bool:
        """Whether the servo answers."""

    def read_states(self, servo_ids: Sequence[int]) -> StatesRead:
        """State block of all named servos in one transaction."""

    def read_block(self, servo_id: int, address: int, length: int) -> bytes:
        """Registers `address` to `address + length - 1` of one servo."""

    def write_register(self, servo_id: int, register: Register, value: int) -> None:
        """Write one register of one servo and wait for its acknowledgement."""

    def write_goals(self, goals: Mapping[int, int]) -> None:
        """Goal_Position of several servos, encoder steps by servo id, in one unacknowledged transaction."""
