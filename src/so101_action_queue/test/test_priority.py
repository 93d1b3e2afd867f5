"""Precedence where the system grants it, and no error where it does not."""

import os
import subprocess
import sys
import threading

from so101_action_queue.priority import use_niceness, use_realtime


def test_nought_leaves_everything_as_it_is() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert not use_realtime(0)
    assert not use_niceness(0)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_real_time_is_for_the_calling_thread_alone_and_its_lack_is_no_error() -> None:
    found: list[tuple[bool, int]] = []
    thread = threading.Thread(target=lambda: found.append((use_realtime(1), os.sched_getscheduler(0))))
    thread.start()
    thread.join()
    done, policy = found[0]
    assert (policy == os.SCHED_FIFO) == done
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_niceness_reaches_threads_that_run_already() -> None:
    # In a process of its own: an ordinary user may be nicer but not go back.
    code = """
import os, threading
from so101_action_queue.priority import use_niceness
go, seen = threading.Event(), []
thread = threading.Thread(target=lambda: (go.wait(), seen.append(os.getpriority(os.PRIO_PROCESS, 0))))
thread.start()
wanted = os.getpriority(os.PRIO_PROCESS, 0) + 1
assert use_niceness(wanted)
go.set()
thread.join()
assert seen == [wanted] == [os.getpriority(os.PRIO_PROCESS, 0)], seen
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
