"""Processes that tell when this machine ran nothing, not even its most urgent work: whoever was late then is excused.

One per core, since a virtual machine may lose a single one; above the priority of everything under test, so that no
process under test can hold them up. Run as a script, the module is such a process: it prints when it was held up.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time

TURN_S = 0.002
LATE_S = 0.001  # waking up takes up to this long on a machine that is well
PRIORITY = 50  # the control thread has 10


class Witnesses:
    """Ears for one witness on each core."""

    def __init__(self) -> None:
        self._stalls: list[tuple[int, int]] = []
        self._processes = [
            subprocess.Popen([sys.executable, __file__, str(core)], stdout=subprocess.PIPE, text=True)
            for core in sorted(os.sched_getaffinity(0))
        ]
        self._threads = [
            threading.Thread(target=self._listen, args=(process,), name="witness", daemon=True)
            for process in self._processes
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
        for thread in self._threads:
            thread.join()
        for process in self._processes:
            process.wait()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                began, ended = map(int, line.split())
                self._stalls.append((began, ended))

    def stalled_s(self, since_ns: int, until_ns: int) -> float:
        """The longest time within that span for which a core did not run its witness, s."""
        stalls = [(max(begin, since_ns), min(end, until_ns)) for begin, end in self._stalls[:]]
        return max(((end - begin) / 1e9 for begin, end in stalls if end > begin), default=0.0)


def _watch(core: int) -> None:
    """Print `from to` (monotonic clock, ns) for every turn that came late."""
    os.sched_setaffinity(0, {core})
    with contextlib.suppress(OSError):  # without the right to it, it tells how ordinary processes fare
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    while True:
        due_ns = time.monotonic_ns() + round(TURN_S * 1e9)
        time.sleep(TURN_S)
        now_ns = time.monotonic_ns()
        if now_ns - due_ns > LATE_S * 1e9:
            print(due_ns, now_ns, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        _watch(int(sys.argv[1]))
