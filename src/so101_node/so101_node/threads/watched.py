# SPDX-License-Identifier: Apache-2.0
"""A thread that never dies in silence."""

import threading
from collections.abc import Callable

from so101_node.threads.fatal import FatalSlot


class WatchedThread:
    """Runs `run` once on a daemon thread; an exception ends it and goes into `fatal`."""

    def __init__(self, name: str, run: Callable[[], None], fatal: FatalSlot) -> None:
        self.name = name
        self._run = run
        self._fatal = fatal
        self._thread = threading.Thread(target=self._watch, name=name, daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether it runs; false before `start` and after its end."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end, `timeout_s` at most; harmless before `start` and on the thread itself. Whether it ended."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _watch(self) -> None:
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - the node ends with a line instead of going quiet
            text = " ".join(f"{type(error).__name__}: {error}".split())
            self._fatal.put(f"internal error in thread {self.name}: {text}", error)
