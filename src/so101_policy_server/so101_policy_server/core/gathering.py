# SPDX-License-Identifier: Apache-2.0
"""When the requests that are complete go to the policy: at once, or a few ms later together with others."""

from __future__ import annotations

from so101_policy_server.core.clock import NS_PER_S


class Gathering:
    """Waits for the requests of other robots only where some are about to be complete, and never longer than a window.

    The window begins with the oldest complete request, or when the policy becomes free for it, whichever is later.
    Were the time that requests waited for a busy policy counted, a robot that once missed the batch of the others would
    be served alone, in turn with them, ever after.

    Args:
        window_s: how long a batch waits at most, s; 0 = never.
    """

    def __init__(self, window_s: float) -> None:
        self._window_ns = round(window_s * NS_PER_S)
        self._free_ns = 0

    @property
    def window_ns(self) -> int:
        """How long a batch waits at most, ns."""
        return self._window_ns

    def freed(self, now_ns: int) -> None:
        """The policy can take the next batch."""
        self._free_ns = now_ns

    def wait_ns(self, ready_since_ns: int, others_expected: bool, now_ns: int) -> int:
        """How long the batch still waits, ns; 0 = it goes now.

        Args:
            ready_since_ns: when the oldest of its requests became complete.
            others_expected: whether a robot that is not in it is about to have a complete request.
            now_ns: the server's monotonic clock.
        """
        if not others_expected:
            return 0
        return max(0, max(ready_since_ns, self._free_ns) + self._window_ns - now_ns)
