# SPDX-License-Identifier: Apache-2.0
"""Waking a thread that waits for its socket."""

from __future__ import annotations

import contextlib
import os


class Wake:
    """A file that becomes readable by `set`, from any thread, as often as it likes."""

    def __init__(self) -> None:
        self._file = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """What to wait for."""
        return self._file

    def set(self) -> None:
        """Wake who waits. Never blocks; harmless after `close`."""
        with contextlib.suppress(OSError):  # closed, or set 2^64 times
            os.eventfd_write(self._file, 1)

    def clear(self) -> None:
        """Sleep again."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._file)

    def close(self) -> None:
        """Release it."""
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)
