# SPDX-License-Identifier: Apache-2.0
"""The first seconds of a node, in which what it waits for has not come yet: that is no error, later it is one."""

from typing import Final

GRACE_S: Final = 5.0
"""A USB camera opens in 1 to 3 s, an arm that was plugged in together with the computer appears within 2 s."""


class StartGrace:
    """Whether a lack is still the start's, from `now_ns` on for `GRACE_S` or until `over`."""

    def __init__(self, now_ns: int) -> None:
        self._end_ns = now_ns + round(GRACE_S * 1e9)

    def over(self) -> None:
        """What was waited for is here: whatever is lacking from now on has gone."""
        self._end_ns = 0

    def covers(self, now_ns: int) -> bool:
        """Whether a lack at `now_ns` is still the start's."""
        return now_ns < self._end_ns
