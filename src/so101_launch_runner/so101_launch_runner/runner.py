# SPDX-License-Identifier: Apache-2.0
"""Starts the processes of a launch file, shows their output, and leaves none of them behind.

One thread does all of it, and lives exactly as long as the processes: the kernel's parent-death signal, which ends
them should this program be killed outright, is tied to the thread that started them. One module because that thread
alone owns what is known of a process, from its start to the last signal.
"""

import atexit
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Self

from so101_launch_runner.process_spec import ProcessSpec
from so101_launch_runner.screen import Screen
from so101_node import exit_codes

_POLL_S = 0.1  # how late the end of a process may be noticed
_ESCALATION = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
_STARTING_S = 2.0  # Python and rclpy are imported within this time, on an idle machine
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class _Child:
    """A started process, or one that waits to be started again."""

    spec: ProcessSpec
    label: str  # by which people tell it from the others
    process: subprocess.Popen[bytes] | None = None
    unfinished_line: bytes = b""
    start_at: float = 0.0
    started_at: float = 0.0
    last_failure: str = ""  # how it ended last, as long as the run has not failed for it
    starts: int = 0
    ended: bool = False


@dataclass(slots=True)
class _Stopping:
    """How far the stop has gone: index into _ESCALATION, and when the next step is due."""

    step: int = -1
    next_at: float = 0.0
    hurry: int = 0


@dataclass(slots=True)
class Runner:
    """Runs `processes`; `show(name, line)` receives every line they print, from the runner's thread.

    Stopping sends SIGINT to each process's own group (SIGTERM to one that has only just started), SIGTERM after
    `sigint_grace_s`, SIGKILL after `sigterm_grace_s` more. Use as a context manager, or call `stop`.

    A node that refuses its parameters (exit code 78) is not started again: everything stops. Not so later, when a file
    was edited under a running robot: then it is started again like after any other failure.

    A process that failed and was started again makes the run fail, unless it was up again for `recovered_after_s` when
    the stop began.
    """

    processes: Sequence[ProcessSpec]
    show: Callable[[str, str], None] = field(default_factory=Screen)
    sigint_grace_s: float = 5.0
    sigterm_grace_s: float = 5.0
    recovered_after_s: float = 5.0
    environment: Mapping[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list, init=False)
    _children: list[_Child] = field(default_factory=list, init=False)
    _stopping: _Stopping = field(default_factory=_Stopping, init=False)
    _stop_wanted: threading.Event = field(default_factory=threading.Event, init=False)
    _done: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> None:
        """Start all processes, in order, and return at once."""
        if self._thread is not None:
            raise RuntimeError("a Runner starts once")
        atexit.register(self.stop)
        self._thread = threading.Thread(target=self._supervise, name="launch", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether any process is alive or waits to be started again."""
        return self._thread is not None and not self._done.is_set()

    def pids(self) -> dict[str, int]:
        """Process ids of what runs now, by label; the process has the id of its prefix (nice), which it replaces."""
        running = [(child.label, child.process) for child in self._children]
        return {label: process.pid for label, process in running if process is not None}

    def request_stop(self) -> None:
        """Begin to stop and return at once; each further call takes the next, harsher step without waiting."""
        self._stopping.hurry += 1
        self._stop_wanted.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the last process to end; False if `timeout_s` passed first."""
        return self._done.wait(timeout_s)

    def stop(self) -> int:
        """Stop everything, wait for it, and return the exit code: 1 if a process failed, else 0."""
        if self._thread is not None:
            if self.running and not self._stop_wanted.is_set():
                self.request_stop()
            self._done.wait()
            self._thread.join()
            atexit.unregister(self.stop)
        return self.exit_code

    @property
    def exit_code(self) -> int:
        """0 if every process ended as it was meant to, else 1."""
        return 1 if self.failures else 0

    def run(self) -> int:
        """Start, wait until the last process has ended or a signal stops it, and return the exit code.

        Call from the main thread: SIGINT, SIGTERM and SIGHUP stop the processes, a second one harder.
        """

        def stop(signal_number: int, frame: FrameType | None) -> None:
            del signal_number, frame
            self.request_stop()

        before = {number: signal.signal(number, stop) for number in _STOP_SIGNALS}
        try:
            self.start()
            while not self.wait(0.5):
                pass
            return self.stop()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # The runner's thread.

    def _supervise(self) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="so101_launch_") as folder, selectors.DefaultSelector() as selector:
                self._children = list(map(_Child, self.processes, _labels(self.processes)))
                try:
                    while any(not child.ended for child in self._children):
                        self._start_due(Path(folder), selector)
                        self._read(selector)
                        self._notice_ends(selector)
                        if self._stop_wanted.is_set():
                            self._stop_step()
                finally:
                    self._kill_all()
        except OSError as error:  # no folder for the parameters of nodes: a full disk
            self._fail_whole(f"{error.strerror}: {error.filename}")
        except Exception as error:  # a defect; its traceback follows, and the run is no success
            self._fail_whole(f"{type(error).__name__}: {error}")
            raise
        finally:
            self._done.set()

    def _fail_whole(self, message: str) -> None:
        self.failures.append(f"launch cannot go on: {message}")
        self.show("launch", f"cannot go on: {message}")

    def _start_due(self, folder: Path, selector: selectors.BaseSelector) -> None:
        for child in self._children:
            if child.ended or child.process is not None:
                continue
            if self._stop_wanted.is_set():
                child.ended = True
                continue
            if time.monotonic() < child.start_at:
                continue
            environment = {**os.environ, "PYTHONUNBUFFERED": "1", **self.environment, **child.spec.environment}
            try:
                child.process = subprocess.Popen(
                    [*_death_bound(), *child.spec.command(folder)],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    # A group, not a session: the kernel shares the CPU out between sessions first (autogroups), and
                    # within one the nice values of launch-prefix count.
                    process_group=0,
                )
                child.started_at = time.monotonic()
                child.starts += 1
            except OSError as error:
                child.ended = True
                self._fail(child, f"cannot be started: {error.strerror}: {error.filename}")
                continue
            if child.process.stdout is not None:
                os.set_blocking(child.process.stdout.fileno(), False)
                selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _read(self, selector: selectors.BaseSelector) -> None:
        for key, _events in selector.select(_POLL_S):
            self._read_child(key.data, selector)

    def _read_child(self, child: _Child, selector: selectors.BaseSelector) -> bool:
        """Show what the child has printed; False once there is nothing (more) to read now."""
        process = child.process
        if process is None or process.stdout is None or process.stdout.closed:
            return False
        try:
            data = os.read(process.stdout.fileno(), 65536)
        except BlockingIOError:
            return False
        if not data:
            selector.unregister(process.stdout)
            process.stdout.close()
            return False
        *lines, child.unfinished_line = (child.unfinished_line + data).split(b"\n")
        for line in lines:
            self._show_line(child, line)
        return True

    def _show_line(self, child: _Child, data: bytes) -> None:
        """Show one line under the child's label; a node that names itself first is not named twice."""
        line = data.decode("utf-8", "replace").rstrip("\r")
        self.show(child.label, line.removeprefix(f"[{child.spec.label}] "))

    def _notice_ends(self, selector: selectors.BaseSelector) -> None:
        for child in self._children:
            process = child.process
            if process is None or process.poll() is None:
                continue
            _signal_group(process, signal.SIGKILL)  # what it started itself and left behind
            while self._read_child(child, selector):
                pass
            if child.unfinished_line:
                self._show_line(child, child.unfinished_line)
                child.unfinished_line = b""
            if process.stdout is not None and not process.stdout.closed:
                selector.unregister(process.stdout)
                process.stdout.close()
            child.process = None
            self._after_end(child, process.returncode)

    def _after_end(self, child: _Child, code: int) -> None:
        stopping = self._stop_wanted.is_set()
        asked_to = stopping and code in (-signal.SIGINT, -signal.SIGTERM)
        child.last_failure = "" if code == 0 or asked_to else f"ended with {_describe(code)}"
        misconfigured = code == exit_codes.CONFIGURATION and child.starts == 1 and not stopping
        if child.spec.respawn and not stopping and not misconfigured:
            child.start_at = time.monotonic() + child.spec.respawn_delay_s
            delay = f"{child.spec.respawn_delay_s:g} s"
            self.show(child.label, f"ended with {_describe(code)}; starting again in {delay}")
            return
        child.ended = True
        if child.last_failure:
            self._fail(child, child.last_failure)
        elif not stopping:
            self.show(child.label, "ended")
        if misconfigured:
            self.show(child.label, "was started with wrong parameters (the line above): stopping everything")
            self._stop_wanted.set()
        elif child.spec.shutdown_on_exit and not stopping:
            self.show(child.label, "was required: stopping everything")
            self._stop_wanted.set()

    def _fail(self, child: _Child, message: str) -> None:
        child.last_failure = ""
        self.failures.append(f"{child.label} {message}")
        self.show(child.label, message)
        if child.spec.shutdown_on_exit:
            self._stop_wanted.set()

    def _stop_step(self) -> None:
        """Send the next signal of the escalation when its time has come or somebody is in a hurry."""
        state = self._stopping
        now = time.monotonic()
        if state.step >= 0 and now < state.next_at and state.hurry <= state.step + 1:
            return
        if state.step < 0:
            self._judge_respawned(now)
        state.step = min(state.step + 1, len(_ESCALATION) - 1)
        state.next_at = now + (self.sigint_grace_s, self.sigterm_grace_s, 1.0)[state.step]
        number = _ESCALATION[state.step]
        for child in self._children:
            if child.process is None:
                continue
            if number != signal.SIGINT:
                self.show(child.label, f"has not ended yet: sending {number.name}")
            # Before a node has its handlers, SIGINT ends Python with a traceback, SIGTERM without a word.
            starts = number == signal.SIGINT and now - child.started_at < _STARTING_S
            _signal_group(child.process, signal.SIGTERM if starts else number)

    def _judge_respawned(self, now: float) -> None:
        """Without this a driver that failed every two seconds would be a success as soon as somebody stops it."""
        for child in self._children:
            recovered = child.process is not None and now - child.started_at >= self.recovered_after_s
            if child.last_failure and not recovered:
                self._fail(child, f"{child.last_failure}, and was not up again for {self.recovered_after_s:g} s")

    def _kill_all(self) -> None:
        for child in self._children:
            if child.process is not None:
                _signal_group(child.process, signal.SIGKILL)
                child.process.wait()


def _labels(processes: Sequence[ProcessSpec]) -> list[str]:
    """The label of each process, with its namespace where several would have the same."""
    short = [spec.label for spec in processes]
    return [
        spec.full_name.lstrip("/") if spec.full_name is not None and short.count(spec.label) > 1 else spec.label
        for spec in processes
    ]


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _death_bound() -> list[str]:
    """Prefix that makes the kernel end a process when the runner is killed outright (util-linux; absent: no prefix).

    A runner that dies before setpriv has asked for that signal sends none: the shell looks whose child it is.
    """
    setpriv = shutil.which("setpriv")
    if not setpriv:
        return []
    bound = [setpriv, "--pdeathsig", "TERM", "--"]
    return [*bound, "/bin/sh", "-c", 'if [ "$PPID" = "$0" ]; then exec "$@"; fi', str(os.getpid())]


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
