# SPDX-License-Identifier: Apache-2.0
"""Starting a node so that a signal ends it quietly from the first moment on.

Importing a node takes a second, and Python answers an interrupt meanwhile with a traceback. Entry points therefore lie
in modules that import nothing but this one.
"""

import importlib
import os
import signal
from types import FrameType


def start(module: str) -> int:
    """Import `module`, call its `main`, and return its exit code; None is 0.

    SIGINT or SIGTERM before `main` has taken over ends the process with 0.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    return int(importlib.import_module(module).main() or 0)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)  # nothing has been opened or started yet
