# SPDX-License-Identifier: Apache-2.0
"""Messages of several arms put together: each is used once, and only beside others that are about as new."""

from collections.abc import Sequence
from typing import Any, cast


class PairedMessages[Message]:
    """Returns one message of each arm, in the order of the arms, whenever each has a new one.

    Args:
        arms: names.
        max_skew_s: one that came longer than this before the last of them is not used, s.
    """

    def __init__(self, arms: Sequence[str], max_skew_s: float) -> None:
        self._newest: dict[str, tuple[int, Message] | None] = dict.fromkeys(arms)
        self._max_skew_ns = round(max_skew_s * 1e9)
        self.left_out = 0
        """Messages that were too old when the other arm's came."""

    def hear(self, arm: str, now_ns: int, message: Message) -> list[Message] | None:
        """Take in a message that came now; return one of each arm, or None while one has nothing new."""
        self._newest[arm] = (now_ns, message)
        for name, heard in self._newest.items():
            if heard is not None and now_ns - heard[0] > self._max_skew_ns:
                self._newest[name] = None
                self.left_out += 1
        if any(heard is None for heard in self._newest.values()):
            return None
        found = [cast("tuple[int, Any]", heard)[1] for heard in self._newest.values()]
        self._newest = dict.fromkeys(self._newest)
        return found
