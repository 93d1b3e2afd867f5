# SPDX-License-Identifier: Apache-2.0
"""The clock of control threads: monotonic, and it goes on while the computer is suspended.

A laptop whose lid was closed stops CLOCK_MONOTONIC: ten minutes later a plan would be as young as before and the arm
would move on as if nothing had happened. CLOCK_BOOTTIME shows the gap.
"""

import time

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def _suspended_ns() -> int:
    """For how long the computer has been suspended since it was booted, ns; 0 where that cannot be told."""
    return 0 if _BOOTTIME is None else time.clock_gettime_ns(_BOOTTIME) - time.monotonic_ns()


_BEFORE_NS = _suspended_ns()


def now_ns() -> int:
    """`time.monotonic_ns()`, plus the time for which the computer was suspended since this process began."""
    if _BOOTTIME is None:
        return time.monotonic_ns()
    return time.clock_gettime_ns(_BOOTTIME) - _BEFORE_NS
