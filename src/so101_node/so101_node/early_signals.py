"""Starting a node so that a signal ends it quietly from the first moment on.

Importing a node takes a second, and Python answers an interrupt meanwhile with a traceback. Entry points therefore lie
in modules that import nothing but this one.
"""

import importlib
import os
import signal
from types import FrameType


def start(module: str) -> None:
    """Import `module` and call its `main`. SIGINT or SIGTERM before `main` has taken over ends the process with 0."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    importlib.import_module(module).main()


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)  # nothing has been opened or started yet
