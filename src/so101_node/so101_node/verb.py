# SPDX-License-Identifier: Apache-2.0
"""One verb of `./so101` as one process: `python -m so101_node.verb MODULE ARGUMENT...`.

Ctrl-C ends it without a traceback from the first moment on, also while its modules are imported; so does a reader of
its output that has left (`./so101 call | head -1`). It imports nothing but the standard library before that holds.
"""

import importlib
import importlib.util
import os
import select
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

INTERRUPTED: Final = 128 + signal.SIGINT
NO_READER: Final = 128 + signal.SIGPIPE
"""What a shell says of a program that a closed pipe ended."""


def main() -> int:
    """Run the module that the command line names, with the words behind it; return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    del sys.argv[0]
    verb = main_of(sys.argv[0])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return run(verb)


def run(verb: Callable[[], int | None]) -> int:
    """Call a verb's `main` and return its exit code: 130 where Ctrl-C ended it, 141 where its output has no reader."""
    try:
        code = _code_of(verb)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        if _has_reader(sys.stdout.fileno()):
            raise  # another pipe or socket broke
        # Python writes what is left once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    return code


def _has_reader(descriptor: int) -> bool:
    """Whether the other end of a pipe is open; anything that is no pipe has one."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return not any(event & select.POLLERR for _, event in poll.poll(0))


def _code_of(verb: Callable[[], int | None]) -> int:
    try:
        return int(verb() or 0)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0


def main_of(name: str) -> Callable[[], int | None]:
    """Return `main` of a module, of a package that of its `__main__`."""
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        name = f"{name}.__main__"
    found: Callable[[], int | None] = importlib.import_module(name).main
    return found


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)  # nothing has been opened or started yet


if __name__ == "__main__":
    sys.exit(main())
