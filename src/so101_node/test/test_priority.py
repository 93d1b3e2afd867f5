# SPDX-License-Identifier: Apache-2.0
"""Precedence where the system grants it, and no error where it does not."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from so101_node.threads.priority import raise_process, use_niceness, use_realtime, use_realtime_everywhere

NOBODY = 65534
CAP_SYS_RESOURCE = 24


def in_a_process_of_its_own(code: str, as_nobody: bool = False) -> str:
    """What `code` prints: priorities cannot be taken back by an ordinary user, nor rights that were dropped."""
    if as_nobody and os.getuid() == 0:
        drop = f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    else:
        drop = ""
    imports = "import os, resource, threading\nfrom so101_node.threads import priority\n"
    done = subprocess.run([sys.executable, "-c", imports + drop + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nought_leaves_everything_as_it_is() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert not use_realtime(0)
    assert not use_niceness(0)
    assert not use_realtime_everywhere(0)
    assert raise_process(0, 0) == ""
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_process_that_was_started_far_back_stays_there_without_a_warning() -> None:
    code = "os.nice(15)\nprint(repr(priority.raise_process(10)), os.getpriority(os.PRIO_PROCESS, 0))"
    assert in_a_process_of_its_own(code, as_nobody=True).split() == ["''", str(os.nice(0) + 15)]


def test_real_time_is_for_the_calling_thread_alone_and_its_lack_is_no_error() -> None:
    found: list[tuple[bool, int]] = []
    thread = threading.Thread(target=lambda: found.append((use_realtime(1), os.sched_getscheduler(0))))
    thread.start()
    thread.join()
    done, policy = found[0]
    assert (policy == os.SCHED_FIFO) == done
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_niceness_reaches_threads_that_run_already() -> None:
    in_a_process_of_its_own(
        """
go, seen = threading.Event(), []
thread = threading.Thread(target=lambda: (go.wait(), seen.append(os.getpriority(os.PRIO_PROCESS, 0))))
thread.start()
wanted = os.getpriority(os.PRIO_PROCESS, 0) + 1
assert priority.use_niceness(wanted)
go.set()
thread.join()
assert seen == [wanted] == [os.getpriority(os.PRIO_PROCESS, 0)], seen
"""
    )


def test_real_time_reaches_threads_that_run_and_that_start_later_and_spares_a_control_thread() -> None:
    said = in_a_process_of_its_own(
        """
go, seen = threading.Event(), []
def look():
    seen.append((os.sched_getscheduler(0), os.sched_getparam(0).sched_priority))
ready = threading.Event()
def control():
    permitted.append(priority.use_realtime(10))
    ready.set()
    go.wait()
    look()
permitted = []
threads = [threading.Thread(target=control), threading.Thread(target=lambda: (go.wait(), look()))]
for thread in threads: thread.start()
ready.wait()
done = priority.use_realtime_everywhere(5)
threads.append(threading.Thread(target=look))
threads[-1].start()
go.set()
for thread in threads: thread.join()
look()
if permitted[0]:
    assert done and sorted(seen) == [(os.SCHED_FIFO, 10)] + 3 * [(os.SCHED_RR, 5)], seen
else:
    assert not done and seen == 4 * [(os.SCHED_OTHER, 0)], seen
print("permitted" if permitted[0] else "refused")
"""
    )
    assert said.strip() in ("permitted", "refused")


def test_a_user_without_the_right_reads_what_to_type_and_runs_on() -> None:
    said = in_a_process_of_its_own(
        "resource.setrlimit(resource.RLIMIT_NICE, (0, 0)); resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))\n"
        "print(priority.raise_process(-10, 5)); print(priority.raise_process(-10)); print(priority.raise_process(1))",
        as_nobody=True,
    ).splitlines()
    assert said[0].startswith("runs without precedence: real-time priority 5 and niceness -10 not permitted")
    assert "| sudo tee /etc/security/limits.d/so101.conf and log out" in said[0]
    assert "--cap-add SYS_NICE" in said[0]
    assert "precedence: niceness -10 not permitted" in said[1]
    assert said[2] == ""  # to step back needs no right


def test_the_limits_that_the_advice_writes_are_enough() -> None:
    """`rtprio 20` and `nice -20` of limits.d are these two limits."""
    rights = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:"))
    if not int(rights.split()[1], 16) >> CAP_SYS_RESOURCE & 1:
        pytest.skip("limits can be raised only with CAP_SYS_RESOURCE")
    said = in_a_process_of_its_own(
        "resource.setrlimit(resource.RLIMIT_NICE, (40, 40)); resource.setrlimit(resource.RLIMIT_RTPRIO, (20, 20))\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "assert priority.use_niceness(-10)\n"
        "assert priority.raise_process(-10, 5) == ''\n"
        "print(os.sched_getscheduler(0) == os.SCHED_RR, priority.use_realtime(10))",
    )
    assert said.strip() == "True True"
