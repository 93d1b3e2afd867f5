# SPDX-License-Identifier: Apache-2.0
"""One `./so101` at a time changes the workspace."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from .terminal import say


@contextlib.contextmanager
def workspace_lock(folder: Path) -> Iterator[None]:
    """Hold the workspace's lock; the kernel releases it if this process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another ./so101 that is setting up this workspace")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
