# SPDX-License-Identifier: Apache-2.0
"""The servos' shared wire: bytes in, answers out when the wire would have carried them, and faults on demand.

Knows nothing of ttys and clocks: `now_ns` and the sender's baud rate come in as arguments.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from so101_sim.core import servo_registers as reg
from so101_sim.core.servo_packets import BROADCAST_ID, Instruction, PacketParser, Request, status_packet
from so101_sim.core.virtual_servo import VirtualServo

WIRE_BYTE_NS = 10_000
"""Ten bits at 1 Mbaud."""


@dataclass(slots=True)
class BusFaults:
    """What is wrong with the wire. corrupt_pct: of the bytes of answers; late_ns: added to every answer."""

    corrupt_pct: float = 0.0
    drop_pct: float = 0.0
    late_ns: int = 0


class VirtualBus:
    """Half-duplex bus with some servos on it."""

    def __init__(self, servos: Sequence[VirtualServo], *, byte_ns: int = WIRE_BYTE_NS, seed: int = 0) -> None:
        """byte_ns: time of one byte at 1 Mbaud, 0 for an infinitely fast wire; seed: of the noise."""
        self.servos = tuple(servos)
        self.faults = BusFaults()
        self.packets = 0
        self.wrong_baud_bytes = 0
        self._byte_ns = byte_ns
        self._noise = random.Random(seed)
        self._parsers: dict[int, PacketParser] = {}
        self._answers: deque[tuple[int, bytes]] = deque()
        self._wire_free_ns = 0

    @property
    def bad_checksums(self) -> int:
        """Requests that arrived damaged."""
        return sum(parser.bad_checksums for parser in self._parsers.values())

    @property
    def next_due_ns(self) -> int | None:
        """When `due` has something to give, or None."""
        return self._answers[0][0] if self._answers else None

    def due(self, now_ns: int) -> bytes:
        """The answers that the host has received by now and has not been given yet."""
        out = b""
        while self._answers and self._answers[0][0] <= now_ns:
            out += self._answers.popleft()[1]
        return out

    def reset(self) -> None:
        """Drops all that is on its way, as pulling the plug does."""
        self._answers.clear()
        for parser in self._parsers.values():
            parser.clear()
        self._wire_free_ns = 0

    def receive(self, data: bytes, baud: int, now_ns: int) -> None:
        """Takes what the host sent with its port at `baud`. Servos set to another rate understand nothing of it."""
        if not any(self._listens(servo, baud) for servo in self.servos):
            self.wrong_baud_bytes += len(data)
            return
        parser = self._parsers.setdefault(baud, PacketParser())
        for request in parser.feed(data, now_ns):
            self.packets += 1
            listeners = [servo for servo in self.servos if self._listens(servo, baud)]
            self._schedule(request, execute(request, listeners), listeners, baud, now_ns)

    def _listens(self, servo: VirtualServo, baud: int) -> bool:
        index = servo.registers[reg.BAUD_RATE]
        return servo.powered and index < len(reg.BAUD_RATES) and reg.BAUD_RATES[index] == baud

    def _schedule(
        self, request: Request, answers: list[bytes], listeners: list[VirtualServo], baud: int, now_ns: int
    ) -> None:
        """Hands the answers over together, when the last byte has passed: a USB adapter collects them as well."""
        delays = {servo.id: servo.registers[reg.RETURN_DELAY_TIME] * 2_000 for servo in listeners}
        byte_ns = self._byte_ns * 1_000_000 // baud
        wire_ns = (request.wire_bytes + sum(map(len, answers))) * byte_ns
        if self._byte_ns:
            wire_ns += sum(delays[answer[2]] for answer in answers)
        self._wire_free_ns = max(now_ns, self._wire_free_ns) + wire_ns
        received = b"".join(self._damage(answer) for answer in answers if not self._chance(self.faults.drop_pct))
        if received:
            due_ns = self._wire_free_ns + self.faults.late_ns
            if self._answers:  # a wire keeps the order
                due_ns = max(due_ns, self._answers[-1][0])
            self._answers.append((due_ns, received))

    def _chance(self, percent: float) -> bool:
        return percent > 0 and self._noise.random() * 100 < percent

    def _damage(self, packet: bytes) -> bytes:
        if not self.faults.corrupt_pct:
            return packet
        return bytes(
            byte ^ self._noise.randrange(1, 256) if self._chance(self.faults.corrupt_pct) else byte for byte in packet
        )


def execute(request: Request, servos: Sequence[VirtualServo]) -> list[bytes]:
    """Does what an intact request says and returns the answers in the order in which they are sent.

    Only a PING is answered when it is broadcast. Unknown instructions and malformed parameters are ignored.
    """
    parameters = request.parameters
    if request.instruction == Instruction.SYNC_READ:
        return _sync_read(parameters, servos)
    if request.instruction == Instruction.SYNC_WRITE:
        _sync_write(parameters, servos)
        return []
    broadcast = request.servo_id == BROADCAST_ID
    answers = []
    for servo in servos:
        if servo.id != request.servo_id and not broadcast:
            continue
        answer = _execute_one(request, servo)
        if answer is not None and (not broadcast or request.instruction == Instruction.PING):
            answers.append(answer)
    return answers


def _execute_one(request: Request, servo: VirtualServo) -> bytes | None:
    parameters = request.parameters
    match request.instruction:
        case Instruction.PING:
            return status_packet(servo.id, servo.status)
        case Instruction.READ if len(parameters) == 2:
            return status_packet(servo.id, servo.status, servo.read(parameters[0], parameters[1]))
        case Instruction.WRITE if len(parameters) >= 2:
            servo.write(parameters[0], parameters[1:])
        case Instruction.REG_WRITE if len(parameters) >= 2:
            servo.store(parameters[0], parameters[1:])
        case Instruction.ACTION:
            servo.act()
        case _:
            return None
    return status_packet(servo.id, servo.status) if servo.registers[reg.RESPONSE_STATUS_LEVEL] else None


def _sync_read(parameters: bytes, servos: Sequence[VirtualServo]) -> list[bytes]:
    if len(parameters) < 3:
        return []
    address, count, ids = parameters[0], parameters[1], parameters[2:]
    by_id = {servo.id: servo for servo in servos}
    asked = [by_id[servo_id] for servo_id in ids if servo_id in by_id]
    return [status_packet(servo.id, servo.status, servo.read(address, count)) for servo in asked]


def _sync_write(parameters: bytes, servos: Sequence[VirtualServo]) -> None:
    if len(parameters) < 2 or parameters[1] == 0 or (len(parameters) - 2) % (parameters[1] + 1):
        return
    address, count, rest = parameters[0], parameters[1], parameters[2:]
    by_id = {servo.id: servo for servo in servos}
    for at in range(0, len(rest), count + 1):
        if (servo := by_id.get(rest[at])) is not None:
            servo.write(address, rest[at + 1 : at + 1 + count])
