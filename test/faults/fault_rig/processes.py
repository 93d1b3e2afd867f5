# SPDX-License-Identifier: Apache-2.0
"""Processes of the system: started, killed, paused and ended with the time it took."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE_S = 10.0


class SystemProcess:
    """One process with everything that it printed in a file."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name, self.log = name, log
        self._command, self._environment = list(command), dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False

    @property
    def pid(self) -> int:
        """Process id; the process must have been started."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative after a signal that it did not handle; None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def said(self) -> str:
        """Everything that it printed, over all its starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self, *more: str) -> None:
        """Start it, or start it again, with `more` arguments."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, *more], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )
        self._paused = False

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """SIGSTOP."""
        self._paused = True
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT, if it was paused."""
        if self._paused and self.is_running:
            os.kill(self.pid, signal.SIGCONT)
        self._paused = False

    def end(self, number: int = signal.SIGINT) -> tuple[int, float]:
        """Ask it to end; exit code and how long that took, s. After ten seconds it is killed (exit code -9)."""
        assert self._process is not None
        began = time.monotonic()
        self.resume()
        if self.is_running:
            os.kill(self.pid, number)
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        return self._process.returncode, time.monotonic() - began

    def minds_signals(self) -> bool:
        """Whether it has handlers of its own for SIGINT and SIGTERM by now (Python itself has one for SIGINT)."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
        return all(caught >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGTERM))

    def memory_bytes(self) -> int:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
