# SPDX-License-Identifier: Apache-2.0
"""Precedence over other work on a busy computer, where the system permits it; ordinary scheduling is the fallback.

A control thread alone under SCHED_FIFO is not enough. While another thread of the process holds the interpreter lock
and waits for a core, the control thread waits with it (a tick 200 ms late at a load of 19 on 2 cores), and a command
that no thread takes from its socket is as late as one that was not sent. So every thread of the process gets
precedence, those of DDS too.

Niceness counts only among the processes of one terminal or service: between them Linux shares the processor out evenly
(autogroups, control groups), whatever their niceness. Only real-time priority goes before a viewer in another terminal.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

_TASKS = Path("/proc/self/task")
_ROUNDS = 5  # a thread that is not raised yet may start another meanwhile

LIMITS_FILE = "/etc/security/limits.d/so101.conf"
PERMIT = (
    f'printf \'%s\\n\' "$USER - rtprio 20" "$USER - nice -20" | sudo tee {LIMITS_FILE}'
    " and log out and in again; in a container: --cap-add SYS_NICE"
)
"""What to type so that this user may raise priorities."""


def use_realtime(priority: int) -> bool:
    """Put the calling thread under SCHED_FIFO, 1 to 99; 0 leaves it alone. Return whether it was done."""
    if priority <= 0 or not hasattr(os, "sched_setscheduler"):
        return False
    try:
        os.sched_setscheduler(threading.get_native_id(), os.SCHED_FIFO, os.sched_param(priority))
    except OSError:
        return False
    return True


def use_thread_niceness(niceness: int) -> None:
    """Give the calling thread alone, and threads that it starts, a niceness of 0 or more: it only steps back."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)  # of a thread, on Linux


def may_use_realtime(priority: int) -> bool:
    """Whether this user may; tried by a thread that ends at once."""
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(use_realtime(priority)))
    thread.start()
    thread.join()
    return found[0]


def use_niceness(niceness: int) -> bool:
    """Give every thread of this process, and those they start, this niceness. Return whether all have it.

    A positive one only steps back: a process that was started behind that keeps its place.
    """
    if niceness > 0:
        niceness = max(niceness, os.getpriority(os.PRIO_PROCESS, 0))
    return niceness != 0 and _for_all_threads(lambda thread: os.setpriority(os.PRIO_PROCESS, thread, niceness))


def use_realtime_everywhere(priority: int) -> bool:
    """Put every thread of this process, and those they start, under SCHED_RR. Return whether all are.

    Threads that have a real-time priority already keep it. Round robin, so that threads of equal priority share.
    """
    if priority <= 0 or not hasattr(os, "sched_setscheduler"):
        return False

    def raise_one(thread: int) -> None:
        if os.sched_getscheduler(thread) == os.SCHED_OTHER:
            os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(priority))

    return _for_all_threads(raise_one)


@contextlib.contextmanager
def unraised() -> Iterator[None]:
    """What runs inside may give no thread of this process another scheduling policy: it is put back.

    The video encoder SVT-AV1, where it may, puts its caller and its own threads under SCHED_FIFO at 99. Beside a
    robot's control loop they would take every core, and all that this process does afterwards would.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return

    def scheduling(thread: int) -> None:
        before[thread] = os.sched_getscheduler(thread), os.sched_getparam(thread)

    def put_back(thread: int) -> None:
        os.sched_setscheduler(thread, *before.get(thread, own))

    before: dict[int, tuple[int, os.sched_param]] = {}
    own = os.sched_getscheduler(0), os.sched_getparam(0)
    _for_all_threads(scheduling)
    try:
        yield
    finally:
        _for_all_threads(put_back)


def raise_process(niceness: int, thread_priority: int = 0) -> str:
    """Give all threads of this process `niceness`, and real-time priority `thread_priority` unless that is 0.

    Returns:
        "", or one line that says what the system refused and what to type.
    """
    nicer = niceness == 0 or use_niceness(niceness)
    if use_realtime_everywhere(thread_priority):
        return ""  # niceness counts nothing beside it
    refused = [] if nicer else [f"niceness {niceness}"]
    if thread_priority > 0:
        refused.insert(0, f"real-time priority {thread_priority}")
    if not refused:
        return ""
    return (
        f"runs without precedence: {' and '.join(refused)} not permitted to this user, so other programs on this"
        f" computer can hold it up. To permit it: {PERMIT}"
    )


def _for_all_threads(change: Callable[[int], None]) -> bool:
    done: set[int] = set()
    try:
        for _ in range(_ROUNDS):
            fresh = {int(task.name) for task in _TASKS.iterdir()} - done
            if not fresh:
                return True
            for thread in fresh:
                with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                    change(thread)
            done |= fresh
    except OSError:
        return False
    return True
