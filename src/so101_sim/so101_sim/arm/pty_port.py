# SPDX-License-Identifier: Apache-2.0
"""The serial port that the virtual arm offers: a pty under a fixed name, with the client's baud rate and an unplug."""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import termios
import tty
from pathlib import Path

_TCGETS2 = 0x802C542A  # x86 and ARM; unlike tcgetattr it tells rates such as 250000 as numbers
_TERMIOS2 = struct.Struct("<4I20B2I")
_READ_BYTES = 4096


class PtyPort:
    """A pty whose slave is reachable under `link`. The slave is kept open here, so that clients may come and go."""

    def __init__(self, link: Path) -> None:
        """Does not open anything yet."""
        self.link = link
        self._master = -1
        self._slave = -1

    @property
    def fd(self) -> int | None:
        """File descriptor to wait on, None while unplugged."""
        return self._master if self._master >= 0 else None

    @property
    def baud(self) -> int:
        """The rate that the client set, bit/s; 0 while unplugged."""
        if self._slave < 0:
            return 0
        settings = bytearray(_TERMIOS2.size)
        fcntl.ioctl(self._slave, _TCGETS2, settings)
        rate: int = _TERMIOS2.unpack(settings)[-1]
        return rate

    def plug(self) -> None:
        """Opens a pty and points the link at it, replacing an older link."""
        self._master, self._slave = os.openpty()
        for fd in (self._master, self._slave):
            tty.setraw(fd)
        os.set_blocking(self._master, False)
        with tempfile.TemporaryDirectory(dir=self.link.parent, prefix=".link-") as folder:
            fresh = Path(folder) / self.link.name
            fresh.symlink_to(os.ttyname(self._slave))
            fresh.replace(self.link)

    def unplug(self) -> None:
        """Removes the link and hangs up: a client's next read or write fails. Harmless when unplugged already."""
        self.link.unlink(missing_ok=True)
        for fd in (self._master, self._slave):
            if fd >= 0:
                os.close(fd)
        self._master = self._slave = -1

    def read(self) -> bytes:
        """What the client sent, b"" if nothing."""
        try:
            return os.read(self._master, _READ_BYTES)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        """Sends to the client; what does not fit into its buffer is lost, as on a UART."""
        try:
            os.write(self._master, data)
        except BlockingIOError:
            termios.tcflush(self._slave, termios.TCIFLUSH)
