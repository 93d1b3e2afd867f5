# SPDX-License-Identifier: Apache-2.0
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from so101_sim.arm.control_socket import ControlSocket, ControlSocketError


@pytest.fixture
def control(tmp_path: Path) -> Iterator[ControlSocket]:
    control = ControlSocket(tmp_path / "control", lambda line: f"ok {line.upper()}")
    yield control
    control.close()


def connect(tmp_path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(2)
    client.connect(str(tmp_path / "control"))
    return client


def serve(control: ControlSocket, quiet_s: float = 0.05) -> None:
    while readable := select.select(control.fds, [], [], quiet_s)[0]:
        for fd in readable:
            control.serve(fd)


def test_a_line_is_answered_by_a_line(tmp_path: Path, control: ControlSocket) -> None:
    with connect(tmp_path) as client:
        client.sendall(b"ping\n")
        serve(control)
        assert client.recv(100) == b"ok PING\n"


def test_lines_may_come_in_parts_and_several_at_once(tmp_path: Path, control: ControlSocket) -> None:
    with connect(tmp_path) as client:
        client.sendall(b"on")
        serve(control)
        client.sendall(b"e\r\ntwo\nthr")
        serve(control)
        assert client.recv(100) == b"ok ONE\nok TWO\n"


def test_several_clients_are_served_and_one_that_hangs_up_is_forgotten(tmp_path: Path, control: ControlSocket) -> None:
    with connect(tmp_path) as first, connect(tmp_path) as second:
        first.sendall(b"a\n")
        second.sendall(b"b\n")
        serve(control)
        assert (first.recv(100), second.recv(100)) == (b"ok A\n", b"ok B\n")
        first.close()
        serve(control)
        assert len(control.fds) == 2
        second.sendall(b"c\n")
        serve(control)
        assert second.recv(100) == b"ok C\n"


def test_a_client_that_never_ends_its_line_is_dropped(tmp_path: Path, control: ControlSocket) -> None:
    with connect(tmp_path) as client:
        client.sendall(b"x" * 20_000)
        serve(control)
        assert len(control.fds) == 1


def test_a_client_that_leaves_before_its_answer_does_no_harm(tmp_path: Path, control: ControlSocket) -> None:
    client = connect(tmp_path)
    client.sendall(b"ping\n" * 100)
    client.close()
    serve(control)
    assert len(control.fds) == 1


def test_bytes_that_are_no_text_are_answered_too(tmp_path: Path, control: ControlSocket) -> None:
    with connect(tmp_path) as client:
        client.sendall(b"\xff\xfe\n")
        serve(control)
        assert client.recv(100).startswith(b"ok ")


def test_closing_removes_the_socket(tmp_path: Path) -> None:
    control = ControlSocket(tmp_path / "control", lambda line: line)
    control.close()
    assert not (tmp_path / "control").exists()


def test_a_socket_left_by_a_killed_process_is_replaced(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "control"))
    left.close()
    ControlSocket(tmp_path / "control", lambda line: line).close()


def test_a_folder_too_deep_for_a_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(ControlSocketError, match="107 bytes"):
        ControlSocket(tmp_path / ("d" * 100) / "control", lambda line: line)
