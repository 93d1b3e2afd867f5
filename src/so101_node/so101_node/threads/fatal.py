# SPDX-License-Identifier: Apache-2.0
"""Why a node cannot go on, said by any of its threads and raised on the one that spins it."""

import threading

from so101_node.errors import So101NodeError


class NodeError(So101NodeError, RuntimeError):
    """The node cannot go on. The message is one line that names the thing and the remedy."""


class FatalSlot:
    """Holds the first line that any thread put into it; what follows from that is not wanted."""

    def __init__(self, remark: str = "") -> None:
        """`remark`: what people must know then, behind the line; "" for nothing."""
        self._remark = f"; {remark}" if remark else ""
        self._lock = threading.Lock()
        self._line = ""
        self.cause: BaseException | None = None

    @property
    def is_set(self) -> bool:
        """Whether the node cannot go on."""
        return self._line != ""

    def put(self, line: str, cause: BaseException | None = None) -> None:
        """Say why, from any thread; `cause`: the exception behind it. Never blocks for longer than another `put`."""
        with self._lock:
            if not self._line:
                self.cause = cause
                self._line = f"{line}{self._remark}"

    def check(self) -> None:
        """Raise NodeError where a line was put; called regularly on the thread that spins the node."""
        if self._line:
            raise NodeError(self._line) from self.cause
