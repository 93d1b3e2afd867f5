# SPDX-License-Identifier: Apache-2.0
"""Lines for the person at the keyboard, and programs whose output they see."""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .failure import Failure

_TAIL_BYTES = 65536
_STARTED = time.monotonic()
_running: set[subprocess.Popen[bytes]] = set()


class Outcome(NamedTuple):
    """How a program ended: exit code, and the last part of what it printed."""

    code: int
    tail: str

    @property
    def last_line(self) -> str:
        """What it printed last, for a message of one line."""
        return (self.tail.strip().splitlines() or ["no output"])[-1]


def say(text: str) -> None:
    """Print one line of progress on stderr, with the time since this command started."""
    print(f"so101: [{time.monotonic() - _STARTED:5.1f} s] {text}", file=sys.stderr, flush=True)


def complain(text: str, verb: str = "") -> None:
    """Print one line about something that went wrong, with `verb` as each verb begins its own."""
    print(f"so101 {verb}: {text}" if verb else f"so101: {text}", file=sys.stderr, flush=True)


def run_shown(
    command: list[str], env: dict[str, str], cwd: Path | None = None, hide: re.Pattern[bytes] | None = None
) -> Outcome:
    """Run `command`, pass its output on as it comes (progress bars too), and keep the end of it.

    Lines that begin with `hide` are kept from the screen, not from the outcome. A terminal on stderr is offered to the
    program as a terminal, since progress bars are drawn for those only.
    """
    if sys.stderr.isatty():
        reader, writer = pty.openpty()
        size = fcntl.ioctl(sys.stderr.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(writer, termios.TIOCSWINSZ, size)
    else:
        reader, writer = os.pipe()
    tail: collections.deque[bytes] = collections.deque(maxlen=_TAIL_BYTES // 1024)
    pending = b""
    with _started(command, env, cwd, writer) as process:
        os.close(writer)
        try:
            for data in _chunks(reader):
                pending = _show(pending + data, hide)
                tail.append(data)
        finally:
            os.close(reader)
        _show(pending + b"\n" if pending else b"", hide)
        return Outcome(process.wait(), b"".join(tail).decode("utf-8", "replace"))


def run_quiet(
    command: list[str], env: dict[str, str] | None = None, cwd: Path | None = None, timeout_s: float = 3600.0
) -> Outcome:
    """Run `command` without showing anything; its whole output is in the outcome. A missing program ends with 127."""
    try:
        with _started(command, env, cwd, subprocess.PIPE) as process:
            output, _none = process.communicate(timeout=timeout_s)
            return Outcome(process.returncode, output.decode("utf-8", "replace"))
    except (Failure, subprocess.TimeoutExpired) as error:
        return Outcome(127, str(error))


class _Start:
    """A program that is being started: it runs already, and nobody knows it yet who would end it."""

    under_way = False
    interrupted = False


def interrupt() -> None:
    """Raise KeyboardInterrupt in the main thread: at once, or when the program that it is starting is known."""
    if not _Start.under_way:
        raise KeyboardInterrupt
    _Start.interrupted = True


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Start.under_way = True
    try:
        yield
    finally:
        _Start.under_way = False
        interrupted, _Start.interrupted = _Start.interrupted, False
        if interrupted:  # also where the start has failed
            raise KeyboardInterrupt


def end_programs() -> None:
    """End whatever `run_shown` and `run_quiet` still run, in any thread: as Ctrl-C would, then by force."""
    for number, patience_s in ((signal.SIGINT, 5.0), (signal.SIGKILL, 5.0)):
        for process in list(_running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        deadline = time.monotonic() + patience_s
        while any(process.poll() is None for process in list(_running)) and time.monotonic() < deadline:
            time.sleep(0.05)


@contextlib.contextmanager
def _started(
    command: list[str], env: dict[str, str] | None, cwd: Path | None, output: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process group of its own, so that all it starts ends with it."""
    with _uninterrupted():
        try:
            process = subprocess.Popen(
                command,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise Failure(f"{command[0]} cannot be run: {error.strerror}") from error
        _running.add(process)
    try:
        yield process
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        if process.poll() is not None:
            _running.discard(process)


def _chunks(reader: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(reader, 1024)
        except OSError:  # a pty answers EIO once the program has gone
            return
        if not data:
            return
        yield data


def _show(data: bytes, hide: re.Pattern[bytes] | None) -> bytes:
    """Write output on, without hidden lines; return what cannot be judged yet."""
    *lines, rest = data.split(b"\n")
    shown = b"".join(line + b"\n" for line in lines if hide is None or not hide.match(line))
    if hide is None or b"\r" in rest or len(rest) > 200:  # a progress bar does not end its lines
        shown, rest = shown + rest, b""
    sys.stderr.buffer.write(shown)
    sys.stderr.buffer.flush()
    return rest
