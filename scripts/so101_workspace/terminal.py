"""Lines for the person at the keyboard, and programs whose output they see."""

from __future__ import annotations

import collections
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from .failure import Failure

_TAIL_BYTES = 65536
_PACKAGE_LINE = re.compile(rb" (\x1b\[[0-9;]*m)?[+~-](\x1b\[[0-9;]*m)? ")
_STARTED = time.monotonic()


class Outcome(NamedTuple):
    """How a program ended: exit code, and the last part of what it printed."""

    code: int
    tail: str


def say(text: str) -> None:
    """Print one line of progress on stderr, with the time since this command started."""
    print(f"so101: [{time.monotonic() - _STARTED:5.1f} s] {text}", file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """Print one line about something that went wrong."""
    print("so101: " + text, file=sys.stderr, flush=True)


def run_shown(command: list[str], env: dict[str, str], cwd: Path | None = None) -> Outcome:
    """Run `command`, pass its output on as it comes (progress bars too), and keep the end of it.

    A terminal on stderr is offered to the program as a terminal, since progress bars are drawn for those only.
    """
    on_terminal = sys.stderr.isatty()
    if on_terminal:
        reader, writer = pty.openpty()
        _copy_window_size(writer)
    else:
        reader, writer = os.pipe()
    try:
        process = subprocess.Popen(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
    except OSError as error:
        os.close(reader)
        raise Failure(f"{command[0]} cannot be run: {error.strerror}") from error
    finally:
        os.close(writer)
    tail: collections.deque[bytes] = collections.deque()
    size = 0
    pending = b""
    try:
        while True:
            try:
                data = os.read(reader, 8192)
            except OSError:  # a pty answers EIO once the program has gone
                data = b""
            if not data:
                break
            pending = _show(pending + data)
            tail.append(data)
            size += len(data)
            while size > _TAIL_BYTES and len(tail) > 1:
                size -= len(tail.popleft())
        _show(pending + b"\n" if pending else b"")
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        os.close(reader)
    return Outcome(code, b"".join(tail).decode("utf-8", "replace"))


def _show(data: bytes) -> bytes:
    """Write output on, without uv's list of every single package; return what cannot be judged yet."""
    *lines, rest = data.split(b"\n")
    shown = b"".join(line + b"\n" for line in lines if not _PACKAGE_LINE.match(line))
    if not rest.startswith(b" "):
        shown, rest = shown + rest, b""
    sys.stderr.buffer.write(shown)
    sys.stderr.buffer.flush()
    return rest


def run_quiet(command: list[str], env: dict[str, str] | None = None, timeout_s: float = 600.0) -> Outcome:
    """Run `command` without showing anything; its whole output is in the outcome. A missing program ends with 127."""
    try:
        done = subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Outcome(127, str(error))
    return Outcome(done.returncode, done.stdout.decode("utf-8", "replace"))


def _copy_window_size(writer: int) -> None:
    import fcntl
    import termios

    size = fcntl.ioctl(sys.stderr.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
    fcntl.ioctl(writer, termios.TIOCSWINSZ, size)
