"""Scheduling on a busy computer, where the system permits it; ordinary scheduling is the fallback, never an error.

The control thread alone under SCHED_FIFO is not enough: while another thread of the process holds the interpreter lock
and waits for a core, the control thread waits with it (a tick 200 ms late at a load of 19 on 2 cores). So the whole
process, a tenth of a core in all, is given precedence over ordinary work.
"""

import os
import threading
from pathlib import Path


def use_realtime(priority: int) -> bool:
    """Put the calling thread under SCHED_FIFO, 1 to 99; 0 leaves it alone. Return whether it was done."""
    if priority <= 0 or not hasattr(os, "sched_setscheduler"):
        return False
    try:
        os.sched_setscheduler(threading.get_native_id(), os.SCHED_FIFO, os.sched_param(priority))
    except OSError:
        return False
    return True


def use_niceness(niceness: int) -> bool:
    """Give every thread of this process, and those they start, this niceness. Return whether all have it."""
    tasks = Path("/proc/self/task")
    if niceness == 0 or not tasks.is_dir():
        return False
    try:
        for task in tasks.iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), niceness)
    except OSError:
        return False
    return True
