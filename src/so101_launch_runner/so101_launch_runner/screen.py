# SPDX-License-Identifier: Apache-2.0
"""Lines of several processes on one terminal, each behind the name of its process."""

import os
import sys
import threading
from typing import TextIO

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # ANSI foregrounds readable on dark and light


class Screen:
    """Callable that prints `[name] line`, the name in a colour of its own where the stream is a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._colourful = self._stream.isatty() and not os.environ.get("NO_COLOR")
        self._colours: dict[str, int] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        """Print one line of a process; from any thread."""
        with self._lock:
            try:
                self._stream.write(f"{self._tag(name)} {line}\n")
                self._stream.flush()
            except (BrokenPipeError, ValueError):  # the reader (`| head`) has gone; the processes go on
                return

    def _tag(self, name: str) -> str:
        if not self._colourful:
            return f"[{name}]"
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        return f"\x1b[{colour}m[{name}]\x1b[0m"
