"""A thread that calls a function at a steady rate, whatever the other threads do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

PERIOD_S: Final = 0.2
"""5 Hz: a robot misses four beats before it calls the server lost."""


class Heartbeat:
    """Calls `beat` every `PERIOD_S` on its own thread, at absolute times."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin with a beat at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; no beat is under way when this returns."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            self._beat()
            now = time.monotonic()
            due = max(due + PERIOD_S, now)  # beats that were missed are not made up for
            if self._stop.wait(due - now):
                return
