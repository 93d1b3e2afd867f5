# SPDX-License-Identifier: Apache-2.0
"""The driver under test as a process, started by a command line."""

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from typing import Final

_END_S: Final = 10.0


class DriverProcess:
    """One start of the driver. It and everything it starts form a process group."""

    def __init__(self, command: str) -> None:
        """`command`: as typed in a shell, without its features."""
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the driver
        self._process = subprocess.Popen(
            shlex.split(command), stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True
        )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    @property
    def said(self) -> str:
        """Everything it wrote to stdout and stderr."""
        self._output.seek(0)
        return self._output.read()

    @property
    def last_line(self) -> str:
        """The last line of that."""
        return next((line for line in reversed(self.said.splitlines()) if line.strip()), "it said nothing")

    def interrupt(self) -> int | None:
        """Send SIGINT; the exit code, or None where it had to be killed after 10 s."""
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def kill(self) -> None:
        """End the whole group at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
