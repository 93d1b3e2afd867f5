# SPDX-License-Identifier: Apache-2.0
"""The STS3215 bus on Feetech's own `scservo_sdk`, unmodified.

The SDK builds and sends the packets; the replies are read here. Its own reader keeps a core busy while it waits
(34 ms for a silent servo), fails a whole sync_read for one dead servo, and returns a late reply as that to the next
packet with COMM_SUCCESS. This one blocks in the kernel for `reply_timeout_s` at most, returns who replied,
drops the input before each transmission, and takes a reply only if id, length and checksum fit.
"""

import contextlib
import fcntl
import os
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import scservo_sdk
import serial

from so101_driver.core.errors import NoReplyError, PortError
from so101_driver.core.registers import BAUD_RATE, GOAL_POSITION, STATE_BLOCK, Register, ServoState
from so101_driver.core.servo_bus import StatesRead
from so101_driver.servos.serial_ports import described_ports

_OVERHEAD: Final = 6  # bytes of a status packet around its data: FF FF id length error ... checksum
# A port that takes no bytes is gone. pyserial looks at the clock only after the write, and calls a write that the
# scheduler interrupted late although every byte went out: 0.05 s lost the port on a busy machine.
_WRITE_TIMEOUT_S: Final = 0.5
# Late replies of the whole bus may come before the one awaited, 6 x 46 bytes; more than this is noise without an end.
_LONGEST_INPUT: Final = 512


@dataclass(frozen=True, slots=True)
class _Reply:
    servo_id: int
    error: int
    data: bytes


class FeetechBus:
    """ServoBus on a serial port. Not thread-safe; keeps no thread."""

    def __init__(self, port: str, *, baud_rate: int = BAUD_RATE, reply_timeout_s: float = 0.005) -> None:
        """`reply_timeout_s`: longest silence before a servo counts as silent.

        Six replies take 1.7 ms on the wire and USB adds 1-2 ms, so 5 ms suffices.
        """
        self._port_name = port
        self._baud_rate = baud_rate
        self._reply_timeout_s = reply_timeout_s
        self._port: Any = None  # scservo_sdk has no types
        self._silent: set[int] = set()  # servos that the last read_states had no reply from
        self._packets: Any = scservo_sdk.PacketHandler(0)

    @property
    def port_name(self) -> str:
        """Device file as given."""
        return self._port_name

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""
        return self._port is not None

    def open(self) -> None:
        """Open the port for this process alone. Raises PortError with the remedy."""
        if self._port is not None:
            return
        port = scservo_sdk.PortHandler(self._port_name)
        port.baudrate = self._baud_rate
        try:
            opened = port.openPort()
        except (serial.SerialException, OSError, termios.error) as error:
            raise PortError(_open_failure(self._port_name, error)) from error
        if not opened:
            raise PortError(f"port {self._port_name}: {self._baud_rate} baud is not a rate of STS3215 servos")
        try:
            _claim(self._port_name, port.ser.fileno())
            port.ser.timeout = self._reply_timeout_s
            port.ser.write_timeout = _WRITE_TIMEOUT_S
            with contextlib.suppress(OSError, ValueError, NotImplementedError):
                port.ser.set_low_latency_mode(True)  # FTDI adapters otherwise wait 16 ms; others do not know it
        except (OSError, termios.error) as error:
            port.closePort()
            raise PortError(_open_failure(self._port_name, error)) from error
        except PortError:
            port.closePort()
            raise
        self._port = port
        self._silent = set()

    def close(self) -> None:
        """Close the port; closing twice is fine."""
        if self._port is None:
            return
        port, self._port = self._port, None
        with contextlib.suppress(OSError, termios.error, serial.SerialException):
            port.closePort()

    def ping(self, servo_id: int) -> bool:
        """Whether the servo replies to a ping, which is sent twice at most."""
        packet = [0, 0, servo_id, 2, scservo_sdk.INST_PING, 0]
        return self._exchange(servo_id, 0, lambda port: self._packets.txPacket(port, packet)) is not None

    def read_states(self, servo_ids: Sequence[int]) -> StatesRead:
        """State block of all named servos; those that stay silent are read a second time.

        Not so a servo that was silent at the last read already: waiting for it twice would only hold up the others.
        """
        states: dict[int, ServoState] = {}
        garbled = False
        missing = list(servo_ids)
        retried = 0
        for attempt in range(2):
            retried += len(missing) if attempt else 0
            replies, noise = self._sync_read(missing)
            garbled = garbled or noise
            for reply in replies:
                states[reply.servo_id] = ServoState.decode(reply.data, reply.error)
            missing = [servo_id for servo_id in servo_ids if servo_id not in states]
            if self._silent.issuperset(missing) and not garbled:
                break
        self._silent = set(missing)
        return StatesRead(states=states, retried=retried, garbled=garbled)

    def read_block(self, servo_id: int, address: int, length: int) -> bytes:
        """Registers of one servo. Raises NoReplyError."""
        reply = self._exchange(servo_id, length, lambda port: self._packets.readTx(port, servo_id, address, length))
        if reply is None:
            raise NoReplyError(f"servo {servo_id} on {self._port_name} does not answer a read of register {address}")
        return reply.data

    def write_register(self, servo_id: int, register: Register, value: int) -> None:
        """Write one register and wait for the acknowledgement. Raises NoReplyError."""
        data = list(register.encode(value))
        reply = self._exchange(
            servo_id,
            0,
            lambda port: self._packets.writeTxOnly(port, servo_id, register.address, len(data), data),
        )
        if reply is None:
            raise NoReplyError(f"servo {servo_id} on {self._port_name} does not acknowledge {register.name} = {value}")

    def write_goals(self, goals: Mapping[int, int]) -> None:
        """Goal_Position of several servos, encoder steps by servo id."""
        parameters: list[int] = []
        for servo_id, goal in goals.items():
            parameters += [servo_id, *GOAL_POSITION.encode(goal)]
        self._transmit(
            lambda port: self._packets.syncWriteTxOnly(
                port, GOAL_POSITION.address, GOAL_POSITION.length, parameters, len(parameters)
            )
        )

    def _sync_read(self, servo_ids: Sequence[int]) -> tuple[list[_Reply], bool]:
        address, length = STATE_BLOCK
        ids = list(servo_ids)
        self._transmit(lambda port: self._packets.syncReadTx(port, address, length, ids, len(ids)))
        return self._receive(ids, length)

    def _exchange(self, servo_id: int, length: int, transmit: Any) -> _Reply | None:
        """Send a packet to one servo and return its reply of `length` data bytes; None when it stays silent twice."""
        for attempt in range(2):
            sent_twice = self._transmit(transmit)
            replies, _ = self._receive([servo_id], length)
            if replies:
                if attempt or sent_twice:
                    self._drop_second_reply()
                return replies[-1]
        return None

    def _drop_second_reply(self) -> None:
        """The servo may reply to both packets: what comes late must not pass for the reply to the next one."""
        with self._port_errors():
            self._port.ser.read(_LONGEST_INPUT)

    def _transmit(self, transmit: Any) -> bool:
        """Send one packet; tell whether it was sent twice. Raises PortError."""
        if self._port is None:
            raise PortError(f"port {self._port_name} is closed")
        with self._port_errors():
            self._port.ser.reset_input_buffer()
            self._port.is_using = False  # the SDK clears it only after a reply that it read itself
            sent_twice = False
            try:
                result = transmit(self._port)
            except serial.SerialTimeoutException:
                # pyserial looks at the clock after writing: a process that was held up there (SIGSTOP, a busy computer)
                # has a healthy port. What a packet reads or sets is the same the second time.
                sent_twice, self._port.is_using = True, False
                self._port.ser.reset_input_buffer()
                result = transmit(self._port)
            self._port.is_using = False
        if result != scservo_sdk.COMM_SUCCESS:
            raise PortError(f"port {self._port_name}: {self._packets.getTxRxResult(result)}")
        return sent_twice

    def _receive(self, servo_ids: Sequence[int], length: int) -> tuple[list[_Reply], bool]:
        """Valid replies of the servos named, and whether other bytes came along. Waits for the timeout at most twice.

        A wire that never falls silent must not hold the caller, whose thread also brakes: bytes and time are bounded.
        The newest reply of a servo wins: an older one can only be a late one.
        """
        packet = length + _OVERHEAD
        buffer = bytearray()
        replies: dict[int, _Reply] = {}
        used = 0
        deadline = time.monotonic() + 2 * self._reply_timeout_s
        while len(replies) < len(servo_ids):
            wanted = packet * (len(servo_ids) - len(replies))
            with self._port_errors():
                chunk = self._port.ser.read(wanted)
            buffer += chunk
            replies = {reply.servo_id: reply for reply in _parse(buffer, servo_ids, length)}
            used = packet * len(replies)
            if len(chunk) < wanted:  # the port fell silent for reply_timeout_s
                break
            if len(servo_ids) > 1 and len(buffer) >= packet * len(servo_ids):  # all has come, some of it damaged
                break
            if len(buffer) >= _LONGEST_INPUT or time.monotonic() >= deadline:
                break
        return list(replies.values()), len(buffer) > used

    @contextlib.contextmanager
    def _port_errors(self) -> Iterator[None]:
        """Turn what pyserial raises for a vanished port into PortError."""
        try:
            yield
        except (serial.SerialException, OSError, termios.error) as error:
            raise PortError(f"port {self._port_name} is gone ({error}); plug the arm in again") from error


def _parse(buffer: bytes | bytearray, servo_ids: Sequence[int], length: int) -> Iterator[_Reply]:
    """Every valid status packet in `buffer` from one of `servo_ids` with `length` data bytes."""
    position = 0
    packet = length + _OVERHEAD
    while (position := buffer.find(b"\xff\xff", position)) >= 0 and position + packet <= len(buffer):
        end = position + packet
        servo_id, announced, error = buffer[position + 2 : position + 5]
        sound = ~sum(buffer[position + 2 : end - 1]) & 0xFF == buffer[end - 1]
        if servo_id in servo_ids and announced == length + 2 and sound:
            yield _Reply(servo_id, error, bytes(buffer[position + 5 : end - 1]))
            position = end
        else:
            position += 1


def _claim(name: str, descriptor: int) -> None:
    """Refuse to share the port. Raises PortError when another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise PortError(_in_use(name)) from error
    if not os.path.realpath(name).startswith("/dev/pts/"):
        # Keeps programs out that lock nothing, LeRobot among them. A pseudo terminal would stay locked after a kill,
        # since its other side keeps it alive.
        fcntl.ioctl(descriptor, termios.TIOCEXCL)


def _in_use(name: str) -> str:
    return f"port {name} is in use by another program ({_holders(name)}); stop that program first"


def _holders(name: str) -> str:
    """Processes of this user that have the device open, for the error message."""
    target = os.path.realpath(name)
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if any(os.path.realpath(link) == target for link in (entry / "fd").iterdir()):
                found.append(f"pid {entry.name} {(entry / 'comm').read_text().strip()}")
    return ", ".join(found) or "not visible to this user"


def _open_failure(name: str, error: Exception) -> str:
    """One line for a port that does not open: what is wrong and what to do."""
    path = Path(name)
    if not path.exists():
        return f"port {name} does not exist ({described_ports()}); plug the arm in or set `port`"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"no permission for port {name}; run `sudo usermod -aG dialout $USER`, then log out and in"
    number = getattr(error, "errno", None)
    if number in (11, 16):  # EAGAIN, EBUSY
        return _in_use(name)
    if not path.is_char_device():
        return f"port {name} is not a serial port; set `port` to the device of the arm, such as /dev/ttyACM0"
    return f"port {name} cannot be opened: {error}; set `port` to the device of the arm, such as /dev/ttyACM0"
