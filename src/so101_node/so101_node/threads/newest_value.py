# SPDX-License-Identifier: Apache-2.0
"""Publishing off the control thread: a slow link may block a publish for 50 ms, and a tick must not notice."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from so101_node.threads.fatal import FatalSlot
from so101_node.threads.watched import WatchedThread

LOG_DEPTH: Final = 512
"""Entries of a log that wait at most; of the action queue's decisions about 8 s of ticks and inputs."""

_JOIN_TIMEOUT_S: Final = 1.0


class NewestValueThread:
    """A thread with one slot per kind of value, of which only the newest counts, and a bounded log.

    Args:
        name: of the thread.
        outlets: what to do with a value of each slot, in order of urgency.
        fatal: where an exception of an outlet goes; it ends the thread.
        log: what to do with each entry of the log; called after the slots are empty.
    """

    def __init__(
        self,
        name: str,
        outlets: Mapping[str, Callable[[Any], None]],
        fatal: FatalSlot,
        log: Callable[[Any], None] = lambda entry: None,
    ) -> None:
        self._outlets = dict(outlets)
        self._slots: dict[str, Any] = {}
        self._log = log
        self._entries: deque[Any] = deque(maxlen=LOG_DEPTH)
        self._wake = threading.Event()
        self._stop = False
        self._thread = WatchedThread(name, self._run, fatal)

    def start(self) -> None:
        """Begin taking values."""
        self._thread.start()

    def stop(self) -> None:
        """Take what is waiting and end. Returns within a second."""
        self._stop = True
        self._wake.set()
        self._thread.join(_JOIN_TIMEOUT_S)

    def offer(self, slot: str, value: Any) -> None:
        """Hand over a value; one that is still waiting in the slot is replaced. Never blocks."""
        self._slots[slot] = value
        self._wake.set()

    def append(self, entry: Any) -> None:
        """Hand over a log entry, taken at the next wake; when `LOG_DEPTH` wait the oldest is lost. Never blocks."""
        self._entries.append(entry)

    def _run(self) -> None:
        while not self._stop:
            self._wake.wait()
            self._wake.clear()
            self._take_waiting()
        self._take_waiting()

    def _take_waiting(self) -> None:
        for slot, take in self._outlets.items():
            if slot in self._slots:
                take(self._slots.pop(slot))
        while self._entries and not self._slots:
            self._log(self._entries.popleft())
