# SPDX-License-Identifier: Apache-2.0
"""Options about the process rather than the policy: its memory and its threads."""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Final

import torch

from so101_policy_server.lerobot.optimize.trials import OptionUnavailableError, Undo

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, see mallopt(3)."""

_LARGE_BYTES: Final = 1 << 30
_DEFAULT_BYTES: Final = 128 * 1024


class KeptMemory:
    """Freed memory stays with the process. Else each large tensor is new memory, which the kernel fills with zeros."""

    name = "freed memory kept"

    def apply(self, policy: Any) -> Undo:
        """Tell glibc.

        Raises:
            OptionUnavailableError: the policy is not on the CPU, or the C library is not glibc.
        """
        if next(policy.parameters()).device.type != "cpu":
            raise OptionUnavailableError("for the CPU")
        if not sys.platform.startswith("linux"):
            raise OptionUnavailableError("for glibc")
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is None:
            raise OptionUnavailableError("for glibc")

        def set_both(size: int) -> bool:
            return bool(mallopt(_MMAP_THRESHOLD, size)) and bool(mallopt(_TRIM_THRESHOLD, size))

        if not set_both(_LARGE_BYTES):
            set_both(_DEFAULT_BYTES)
            raise OptionUnavailableError("this C library does not take it")

        def undo() -> None:
            set_both(_DEFAULT_BYTES)

        return undo


class Threads:
    """Another number of CPU threads than torch's own choice, which counts cores that others use, too."""

    def __init__(self, count: int) -> None:
        """Take how many."""
        self.name = "1 thread" if count == 1 else f"{count} threads"
        self._count = count

    def apply(self, policy: Any) -> Undo:
        """Set it.

        Raises:
            OptionUnavailableError: the policy is not on the CPU.
        """
        if next(policy.parameters()).device.type != "cpu":
            raise OptionUnavailableError("for the CPU")
        before = torch.get_num_threads()
        torch.set_num_threads(self._count)

        def undo() -> None:
            torch.set_num_threads(before)

        return undo


def thread_counts() -> list[int]:
    """Numbers worth a trial beside the present one: its halves down to one."""
    counts = []
    count = torch.get_num_threads() // 2
    while count >= 1:
        counts.append(count)
        count //= 2
    return counts
