# SPDX-License-Identifier: Apache-2.0
"""A Unix socket that takes commands: one line of text each, one line of reply, `ok...` or `error: ...`."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from so101_sim.errors import SimulationError

_LONGEST_LINE = 4096
_LONGEST_PATH = 107  # bytes in the name of a Unix socket


class ControlSocketError(SimulationError):
    """The socket cannot be made, or the other side is gone."""


def checked_socket_path(path: Path) -> str:
    """`path` as text. ControlSocketError if it is too long for a socket."""
    text = str(path)
    if len(text.encode()) > _LONGEST_PATH:
        raise ControlSocketError(f"{text}: longer than the {_LONGEST_PATH} bytes a socket can have; shorten it")
    return text


class ControlSocket:
    """Server side, to be driven by somebody's select loop."""

    def __init__(self, path: Path, reply: Callable[[str], str]) -> None:
        """Listens at `path`, replacing what is there. reply: turns a line into its reply, both without newline."""
        self._path = path
        self._reply = reply
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}
        name = checked_socket_path(path)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(name)
        self._listener.listen()
        self._listener.setblocking(False)

    @property
    def fds(self) -> list[int]:
        """What to wait on."""
        return [self._listener.fileno(), *self._clients]

    def serve(self, fd: int) -> None:
        """Handles `fd`, one of `fds`, which is readable."""
        if fd == self._listener.fileno():
            self._accept()
            return
        client, buffer = self._clients[fd]
        try:
            data = client.recv(_LONGEST_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        buffer += data
        if not data or len(buffer) > _LONGEST_LINE:
            self._drop(fd)
            return
        while (end := buffer.find(b"\n")) >= 0:
            line = buffer[:end].decode(errors="replace").strip()
            del buffer[: end + 1]
            try:
                client.sendall(self._reply(line).encode() + b"\n")
            except OSError:
                self._drop(fd)
                return

    def close(self) -> None:
        """Hangs up on everybody and removes the socket."""
        for fd in list(self._clients):
            self._drop(fd)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # gone again, or none left to give
            return
        client.setblocking(False)
        self._clients[client.fileno()] = (client, bytearray())

    def _drop(self, fd: int) -> None:
        client, _ = self._clients.pop(fd)
        client.close()
