"""Lines for the log, each kind at most once a second: a flood of bad chunks must not become a flood of text."""

from so101_action_queue.decisions import Level, Notice

INTERVAL_NS = 1_000_000_000
MAX_WAITING = 64


class Notices:
    """Collects notices until the node takes them."""

    def __init__(self) -> None:
        self._waiting: list[Notice] = []
        self._last_ns: dict[str, int] = {}

    def add(self, now_ns: int, kind: str, level: Level, text: str) -> None:
        """Keep the line unless one of the same `kind` was kept less than a second ago."""
        last_ns = self._last_ns.get(kind)
        if last_ns is not None and now_ns - last_ns < INTERVAL_NS:
            return
        self._last_ns[kind] = now_ns
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(Notice(level, text))

    def take(self) -> list[Notice]:
        """Return the collected lines, oldest first, and forget them."""
        if not self._waiting:
            return []
        taken, self._waiting = self._waiting, []
        return taken
