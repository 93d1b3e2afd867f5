# SPDX-License-Identifier: Apache-2.0
"""One side of the bench while it runs: its processes, its traces, and the log of what it printed."""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from so101_bench.errors import BenchError
from so101_bench.hosts import Hosts
from so101_bench.trace import Trace, read_trace
from so101_bench.work import Work
from so101_launch_runner import ProcessSpec, Runner

LAST_LINES = 8
# A server that is killed comes back by itself, as from server.launch.xml.
RESPAWN_DELAY_S = 2.0


class Side(ABC):
    """Starts and ends one side. Use: `start`, then `trace` as often as wanted, then `stop`."""

    name: str
    server_label = "policy_server"

    def __init__(self, work: Work, hosts: Hosts, log: TextIO, turn: str) -> None:
        """Prepare a turn; nothing is started yet. `turn` keeps its files apart from other turns'."""
        self._work, self._hosts, self._log = work, hosts, log
        self._folder = work.folder / f"{self.name}_{turn}"
        self._folder.mkdir()
        self._lines: deque[tuple[str, str]] = deque(maxlen=200)
        self._lock = threading.Lock()
        self._runners: list[Runner] = []

    @abstractmethod
    def start(self) -> None:
        """Start what may start now."""

    def proceed(self) -> None:  # noqa: B027 (nothing to wait for is the usual case)
        """Start what had to wait; called again and again until the first action."""

    @abstractmethod
    def trace_files(self) -> Sequence[Path]:
        """Files that the processes write."""

    @abstractmethod
    def robot_labels(self) -> Sequence[str]:
        """Processes on the robot's computer whose CPU time counts."""

    def trace(self) -> Trace:
        """What was seen so far."""
        return read_trace(self.trace_files())

    def pids(self) -> dict[str, int]:
        """Process ids by label."""
        return {label: pid for runner in self._runners for label, pid in runner.pids().items()}

    def check(self) -> None:
        """Raise BenchError when something has ended that should not have."""
        for runner in self._runners:
            if runner.running and not runner.failures:
                continue
            failure = runner.failures[0] if runner.failures else "its processes ended unexpectedly"
            label = failure.split(" ", 1)[0]
            with self._lock:
                last = [line for name, line in self._lines if name == label][-LAST_LINES:]
            raise BenchError(" | ".join([f"{self.name}: {failure}", *last]))

    def stop(self) -> None:
        """End every process of this side; returns when the last one is gone."""
        for runner in reversed(self._runners):
            runner.request_stop()
        for runner in reversed(self._runners):
            runner.stop()

    def _run(self, processes: Sequence[ProcessSpec], environment: Mapping[str, str]) -> None:
        runner = Runner(processes, show=self._show, sigint_grace_s=4.0, sigterm_grace_s=2.0, environment=environment)
        self._runners.append(runner)
        runner.start()

    def printed(self, text: str) -> str | None:
        """Return the first line with this text among the last ones printed, or None."""
        with self._lock:
            return next((line for _, line in self._lines if text in line), None)

    def _show(self, label: str, line: str) -> None:
        with self._lock:
            self._lines.append((label, line))
            self._log.write(f"[{self.name}/{label}] {line}\n")
            self._log.flush()
