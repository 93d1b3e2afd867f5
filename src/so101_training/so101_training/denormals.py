# SPDX-License-Identifier: Apache-2.0
"""Numbers next to 0, with which a processor is many times slower: torch flushes them to 0, in the whole process."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Flush them while this lasts, and not after it: others compare bit for bit. Also a decorator."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
