# SPDX-License-Identifier: Apache-2.0
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial
from so101_sim.arm.pty_port import PtyPort


@pytest.fixture
def port(tmp_path: Path) -> Iterator[PtyPort]:
    port = PtyPort(tmp_path / "ttySO101")
    port.plug()
    yield port
    port.unplug()


def test_bytes_pass_both_ways_unchanged(port: PtyPort) -> None:
    everything = bytes(range(256))
    with serial.Serial(str(port.link), 1_000_000, timeout=2) as client:
        client.write(everything)
        assert wait_for(port, 256) == everything
        port.write(everything)
        assert client.read(256) == everything


def wait_for(port: PtyPort, count: int) -> bytes:
    assert port.fd is not None
    os.set_blocking(port.fd, True)
    data = b""
    while len(data) < count:
        data += port.read()
    os.set_blocking(port.fd, False)
    return data


@pytest.mark.parametrize("baud", [1_000_000, 500_000, 250_000, 115_200, 38_400])
def test_the_client_s_baud_rate_is_known(port: PtyPort, baud: int) -> None:
    with serial.Serial(str(port.link), baud):
        assert port.baud == baud


def test_reading_without_data_does_not_wait(port: PtyPort) -> None:
    assert port.read() == b""


def test_writing_to_a_client_that_does_not_read_never_blocks(port: PtyPort) -> None:
    with serial.Serial(str(port.link), 1_000_000):
        for _ in range(200):
            port.write(b"x" * 1000)


def test_clients_may_come_and_go(port: PtyPort) -> None:
    for _ in range(3):
        with serial.Serial(str(port.link), 1_000_000, timeout=2) as client:
            client.write(b"hello")
            assert wait_for(port, 5) == b"hello"


def test_unplugging_removes_the_name_and_fails_the_client(port: PtyPort) -> None:
    with serial.Serial(str(port.link), 1_000_000, timeout=1) as client:
        port.unplug()
        assert not os.path.lexists(port.link)
        assert (port.fd, port.baud) == (None, 0)
        with pytest.raises(OSError):
            client.write(b"x")
            client.read(1)


def test_it_comes_back_under_the_same_name(port: PtyPort) -> None:
    port.unplug()
    port.unplug()
    port.plug()
    with serial.Serial(str(port.link), 1_000_000, timeout=2) as client:
        port.write(b"back")
        assert client.read(4) == b"back"


def test_a_link_left_by_a_killed_process_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "tty").symlink_to("/dev/pts/does-not-exist")
    port = PtyPort(tmp_path / "tty")
    port.plug()
    assert (tmp_path / "tty").resolve().is_char_device()
    assert [path.name for path in tmp_path.iterdir()] == ["tty"]
    port.unplug()
