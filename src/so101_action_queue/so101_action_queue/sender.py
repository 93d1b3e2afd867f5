"""Publishing off the control thread: a slow link may block a publish for 50 ms, and a tick must not notice."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

LOG_DEPTH = 512  # entries of the decision log: about 8 s of ticks and inputs


class Sender:
    """A thread with one slot per kind of message, of which only the newest counts, and a bounded log.

    Args:
        outlets: what to do with a value of each slot, in order of urgency.
        log: what to do with each entry of the log; called after the slots are empty.
    """

    def __init__(self, outlets: Mapping[str, Callable[[Any], None]], log: Callable[[Any], None]) -> None:
        self._outlets = dict(outlets)
        self._slots: dict[str, Any] = {}
        self._log = log
        self._entries: deque[Any] = deque(maxlen=LOG_DEPTH)
        self._wake = threading.Event()
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self.name = self._thread.name
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin sending."""
        self._thread.start()

    def stop(self) -> None:
        """Send what is waiting and end. Returns within a second."""
        self._stop = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def offer(self, slot: str, value: Any) -> None:
        """Hand over a value; one that is still waiting in the slot is replaced. Never blocks."""
        self._slots[slot] = value
        self._wake.set()

    def append(self, entry: Any) -> None:
        """Hand over a log entry, sent at the next wake; when `LOG_DEPTH` wait the oldest is lost. Never blocks."""
        self._entries.append(entry)

    def _run(self) -> None:
        try:
            while not self._stop:
                self._wake.wait()
                self._wake.clear()
                self._send_waiting()
            self._send_waiting()
        except Exception as error:  # noqa: BLE001 - handed to the node, which ends with it
            self.error = error

    def _send_waiting(self) -> None:
        for slot, send in self._outlets.items():
            if slot in self._slots:
                send(self._slots.pop(slot))
        while self._entries and not self._slots:
            self._log(self._entries.popleft())
