# SPDX-License-Identifier: Apache-2.0
"""FeetechBus on a real tty: what can go wrong on a wire, and one line for every port that does not open."""

import contextlib
import os
import pty
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import scservo_sdk
import serial
from so101_driver.core import registers as reg
from so101_driver.core.errors import NoReplyError, PortError
from so101_driver.servos import feetech_bus
from so101_driver.servos.feetech_bus import FeetechBus, _parse
from so101_sim.virtual_arm_client import RunningVirtualArm

IDS = (1, 2, 3, 4, 5, 6)


def packet(servo_id: int, data: bytes, error: int = 0) -> bytes:
    body = bytes((servo_id, len(data) + 2, error)) + data
    return b"\xff\xff" + body + bytes((~sum(body) & 0xFF,))


# --- taking replies apart ---------------------------------------------------------------------------------------------


def test_replies_are_found_between_noise_and_with_header_bytes_in_their_data() -> None:
    data = b"\xff\xff\x01\x02"
    stream = b"\x00\xff" + packet(1, data) + b"\xff\xff\x02" + packet(2, data, 4) + b"\xff"
    replies = list(_parse(stream, IDS, 4))
    assert [(reply.servo_id, reply.error, reply.data) for reply in replies] == [(1, 0, data), (2, 4, data)]


@pytest.mark.parametrize("position", range(2, 10))
def test_one_damaged_byte_anywhere_drops_the_reply(position: int) -> None:
    for flip in (1, 0x80, 0xFF):
        stream = bytearray(packet(3, b"\x10\x20\x30\x40"))
        stream[position] ^= flip
        assert list(_parse(stream, IDS, 4)) == []


def test_a_reply_of_another_servo_or_another_length_is_not_taken() -> None:
    assert list(_parse(packet(9, bytes(4)), IDS, 4)) == []
    assert list(_parse(packet(1, bytes(5)), IDS, 4)) == []
    assert list(_parse(packet(1, bytes(4))[:-1], IDS, 4)) == []


# --- ports that do not open -------------------------------------------------------------------------------------------


def error_of(port: Path | str) -> str:
    with pytest.raises(PortError) as caught:
        FeetechBus(str(port)).open()
    assert "\n" not in str(caught.value)
    assert str(port) in str(caught.value)
    return str(caught.value)


def test_a_port_that_does_not_exist(tmp_path: Path) -> None:
    assert "does not exist" in error_of(tmp_path / "ttyACM9")


def test_a_file_that_is_no_serial_port(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert "is not a serial port" in error_of(tmp_path / "notes.txt")
    assert "is not a serial port" in error_of(tmp_path)
    assert "/dev/null" in error_of("/dev/null")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_port_without_permission_names_the_group(tmp_path: Path) -> None:
    (tmp_path / "ttyACM9").touch(mode=0)
    assert "dialout" in error_of(tmp_path / "ttyACM9")


def test_no_permission_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ttyACM9").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "usermod -aG dialout" in error_of(tmp_path / "ttyACM9")


@pytest.fixture
def silent_tty() -> Iterator[tuple[str, int]]:
    """Slave name and master descriptor of a tty behind which nobody answers."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave), master
    os.close(master)
    os.close(slave)


def test_a_port_in_use_is_refused_and_free_again_after_close(silent_tty: tuple[str, int]) -> None:
    name, _ = silent_tty
    first = FeetechBus(name)
    first.open()
    assert "in use" in error_of(name)
    first.close()
    second = FeetechBus(name)
    second.open()
    second.close()


def test_a_rate_that_no_servo_knows(silent_tty: tuple[str, int]) -> None:
    with pytest.raises(PortError, match="123 baud"):
        FeetechBus(silent_tty[0], baud_rate=123).open()


# --- a wire with faults -----------------------------------------------------------------------------------------------


def test_silence_costs_two_timeouts_and_hardly_any_processor(silent_tty: tuple[str, int]) -> None:
    bus = FeetechBus(silent_tty[0], reply_timeout_s=0.25)
    bus.open()
    began, used = time.monotonic(), time.thread_time()
    assert bus.read_states(IDS).states == {}
    assert 0.5 <= time.monotonic() - began < 2.0
    assert time.thread_time() - used < 0.1  # the SDK's own reader would have spun for the whole time
    bus.close()


def test_a_servo_that_was_silent_before_is_not_waited_for_twice(silent_tty: tuple[str, int]) -> None:
    bus = FeetechBus(silent_tty[0], reply_timeout_s=0.25)
    bus.open()
    assert bus.read_states([1, 2]).retried == 2
    begin = time.monotonic()
    assert bus.read_states([1, 2]).retried == 0
    assert time.monotonic() - begin < 0.45
    bus.close()


def test_a_late_reply_is_not_the_answer_to_the_next_question(silent_tty: tuple[str, int]) -> None:
    """The stock SDK returns it with COMM_SUCCESS."""
    name, master = silent_tty
    bus = FeetechBus(name, reply_timeout_s=0.05)
    bus.open()
    with pytest.raises(NoReplyError):
        bus.read_block(1, *reg.CONTROL_BLOCK)
    os.write(master, packet(1, bytes(16)))  # now it comes
    time.sleep(0.02)
    with pytest.raises(NoReplyError):
        bus.read_block(1, *reg.CONTROL_BLOCK)
    with pytest.raises(NoReplyError):
        bus.write_register(1, reg.TORQUE_ENABLE, 1)
    bus.close()


def test_the_hazard_is_real_the_stock_sdk_takes_a_late_reply(silent_tty: tuple[str, int]) -> None:
    name, master = silent_tty
    port = scservo_sdk.PortHandler(name)
    port.openPort()
    os.write(master, packet(1, b"\x34\x12"))
    time.sleep(0.02)
    value, result, _ = scservo_sdk.PacketHandler(0).read2ByteTxRx(port, 1, 60)
    port.closePort()
    assert (value, result) == (0x1234, scservo_sdk.COMM_SUCCESS)


class EndlessNoise:
    """A wire that never falls silent."""

    def __init__(self, on_read: Callable[[], None] = lambda: None) -> None:
        self.reads = self.given = 0
        self._on_read = on_read

    def reset_input_buffer(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def write(self, data: bytes) -> int:
        return len(data)

    def read(self, count: int) -> bytes:
        self._on_read()
        self.reads += 1
        assert self.reads < 1000, "it reads forever"
        self.given += count
        return bytes(count)


def heard_on(wire: EndlessNoise, silent_tty: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether servo 3 answers a ping on that wire, within 5 ms each time it is asked."""
    bus = FeetechBus(silent_tty[0])
    bus.open()
    with monkeypatch.context() as patch:
        patch.setattr(bus._port, "ser", wire)
        heard = bus.ping(3)
    bus.close()
    return heard


def test_noise_without_an_end_is_read_for_a_bounded_number_of_bytes(
    silent_tty: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that reads is the one that brakes."""
    monkeypatch.setattr(feetech_bus.time, "monotonic", lambda: 0.0)
    wire = EndlessNoise()
    assert not heard_on(wire, silent_tty, monkeypatch)
    assert wire.given < 2 * 600


def test_noise_that_trickles_is_read_for_two_timeouts(
    silent_tty: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def pass_time() -> None:
        nonlocal now
        now += 0.004

    monkeypatch.setattr(feetech_bus.time, "monotonic", lambda: now)
    wire = EndlessNoise(pass_time)
    assert not heard_on(wire, silent_tty, monkeypatch)
    assert wire.reads == 2 * 3  # asked twice, 2 x 5 ms each


@contextlib.contextmanager
def opened(
    arm: RunningVirtualArm, *, fault: str = "clear", timeout_s: float = 0.1, baud: int = 0
) -> Iterator[FeetechBus]:
    """The bus of the emulator, with a fault that ends with it."""
    bus = FeetechBus(str(arm.port), reply_timeout_s=timeout_s, baud_rate=baud or reg.BAUD_RATE)
    bus.open()
    arm.client.fault(*fault.split())
    try:
        yield bus
    finally:
        bus.close()
        arm.client.fault("clear")


def test_damaged_bytes_never_become_a_value(virtual_arm: RunningVirtualArm) -> None:
    with opened(virtual_arm) as bus:
        truth = bus.read_states(IDS).states
    answered = damaged = 0
    with opened(virtual_arm, fault="corrupt 2", timeout_s=0.02) as noisy:
        for _ in range(60):
            read = noisy.read_states(IDS)
            damaged += read.garbled
            for servo_id, state in read.states.items():
                answered += 1
                assert state.position == truth[servo_id].position
    assert damaged > 10
    assert answered > 60


def test_late_replies_of_the_whole_bus_never_mix_up_servos_or_questions(virtual_arm: RunningVirtualArm) -> None:
    """A reply that came too late may be taken by the same question asked again, never by another."""
    with opened(virtual_arm) as bus:
        positions = {servo_id: state.position for servo_id, state in bus.read_states(IDS).states.items()}
        eeprom = {servo_id: bus.read_block(servo_id, *reg.EEPROM_BLOCK) for servo_id in IDS}
        control = {servo_id: bus.read_block(servo_id, *reg.CONTROL_BLOCK) for servo_id in IDS}
    taken = 0
    with opened(virtual_arm, fault="late_ms 30", timeout_s=0.02) as hasty:
        for turn in range(12):
            servo_id = IDS[turn % 6]
            for other, state in hasty.read_states(IDS).states.items():
                assert state.position == positions[other]
                taken += 1
            for block, truth in ((reg.EEPROM_BLOCK, eeprom), (reg.CONTROL_BLOCK, control)):
                with contextlib.suppress(NoReplyError):
                    assert hasty.read_block(servo_id, *block) == truth[servo_id]
    assert taken > 0


def test_at_a_wrong_rate_no_servo_answers(virtual_arm: RunningVirtualArm) -> None:
    with opened(virtual_arm, baud=115_200) as bus:
        assert bus.read_states(IDS).states == {}
        assert not bus.ping(1)


def test_status_bits_of_a_servo_are_read(virtual_arm: RunningVirtualArm) -> None:
    with opened(virtual_arm, fault="status 4 32") as bus:
        states = bus.read_states(IDS).states
    assert states[4].status == 32
    assert states[3].status == 0


@pytest.mark.parametrize("times", [1, 2])
def test_a_process_that_was_held_up_while_it_wrote_has_not_lost_its_port(
    virtual_arm: RunningVirtualArm, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """pyserial looks at the clock after writing; twice in a row, nothing goes out and the port counts as gone."""
    with opened(virtual_arm, timeout_s=0.1) as bus:
        write, left = bus._port.ser.write, [times]

        def held_up(data: bytes) -> int:
            written = write(data)
            if left[0]:
                left[0] -= 1
                raise serial.SerialTimeoutException("Write timeout")
            return int(written)

        monkeypatch.setattr(bus._port.ser, "write", held_up)
        if times == 1:
            assert bus.read_states(IDS).states.keys() == set(IDS)
            left[0] = 1
            assert reg.MODEL_NUMBER.decode(bus.read_block(3, *reg.EEPROM_BLOCK)) == reg.MODEL_STS3215
            assert bus.read_states(IDS).states.keys() == set(IDS)
        else:
            with pytest.raises(PortError, match="Write timeout"):
                bus.read_states(IDS)
