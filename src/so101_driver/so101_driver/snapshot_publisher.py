"""Publishes what the bus thread found, on a thread of its own: a slow subscriber must not delay the servos."""

import threading
from collections.abc import Callable
from typing import Final

from so101_driver.control_cycle import Snapshot

_JOIN_TIMEOUT_S: Final = 1.0


class SnapshotPublisher:
    """One-slot handoff: `offer` keeps the newest snapshot only, `publish` is called with each one taken."""

    def __init__(self, publish: Callable[[Snapshot], None]) -> None:
        self._publish = publish
        self._newest: Snapshot | None = None
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)
        self.failure: Exception | None = None

    def start(self) -> None:
        """Begin taking snapshots."""
        self._thread.start()

    def offer(self, snapshot: Snapshot) -> None:
        """Hand over a snapshot; one not yet taken is replaced."""
        with self._changed:
            self._newest = snapshot
            self._changed.notify()

    def stop(self) -> None:
        """Publish what is left and end the thread."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(_JOIN_TIMEOUT_S)

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._newest is not None or self._ended)
                    snapshot, self._newest = self._newest, None
                if snapshot is None:
                    return
                self._publish(snapshot)
        except Exception as error:  # noqa: BLE001 - the node ends with a line instead of going quiet
            self.failure = error
