# SPDX-License-Identifier: Apache-2.0
"""How far a run has come: a bar on a terminal, one line per stretch elsewhere."""

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class BenchProgress(Protocol):
    """Shows what a run does now."""

    def begin(self, what: str, seconds: float) -> None:
        """A stretch of about so many seconds begins."""

    def tick(self) -> None:
        """Some time has passed."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Lines:
    """One line for each stretch."""

    def begin(self, what: str, seconds: float) -> None:
        """Print the line."""
        print(f"{what} (about {seconds:.0f} s)", file=sys.stderr, flush=True)

    def tick(self) -> None:
        """Nothing moves."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Bar:
    """A bar for the stretch under way."""

    def __init__(self, console: Console) -> None:
        # Drawn by `tick` on the caller's thread; a thread of its own would take time from what is measured.
        columns = (TextColumn("{task.description:28}"), BarColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, auto_refresh=False, transient=True)
        self._task = self._progress.add_task("", total=1.0)
        self._began_s = time.monotonic()
        self._seconds = 1.0

    def begin(self, what: str, seconds: float) -> None:
        """Start again from zero."""
        self._began_s, self._seconds = time.monotonic(), max(seconds, 0.1)
        self._progress.reset(self._task, description=what, total=self._seconds)
        self.tick()

    def tick(self) -> None:
        """Draw."""
        done_s = min(time.monotonic() - self._began_s, self._seconds)
        self._progress.update(self._task, completed=done_s, refresh=True)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def make_progress(console: Console) -> BenchProgress:
    """Return what fits the terminal."""
    return Bar(console) if console.is_terminal else Lines()
