# SPDX-License-Identifier: Apache-2.0
"""Other programs beside the robot on the same small computer, such as rviz with software rendering.

The whole simulation runs as users launch it; what is counted is how often the driver did not hear its commands in time.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_rig.watcher import Watcher
from so101_driver.core.causes import COMMAND_TIMEOUT
from so101_launch_runner.domain import DomainLease, environment
from so101_msgs.msg import DriverStatus, QueueStatus

PATIENCE_S = 90.0
PERIOD_S = 0.02

OTHER_PROGRAM = f"""
import os, sys, time
shares = [float(word) for word in sys.argv[1:]]
while len(shares) > 1 and os.fork():
    shares.pop()
share = shares[-1] * {PERIOD_S}
while True:
    end = time.monotonic() + share
    while time.monotonic() < end:
        pass
    time.sleep({PERIOD_S} - share)
"""


@contextlib.contextmanager
def simulation(folder: Path) -> Iterator[Watcher]:
    """`./so101 launch sim.launch.xml policy:=expert`, started, in a domain of its own; ended with all it started."""
    with contextlib.closing(DomainLease()) as lease, (folder / "log").open("wb") as log:
        words = ["so101_launch_runner", "sim.launch.xml", "policy:=expert", f"sim_dir:={folder / 'sim'}"]
        launch = subprocess.Popen(
            [sys.executable, "-m", *words], stdout=log, stderr=log, env={**os.environ, **environment(lease.id)}
        )
        watcher = Watcher(lease.id)
        try:
            wait(lambda: holds(watcher), "the arm holds")
            began = time.monotonic_ns()
            wait(lambda: watcher.call("action_queue/start").success, "the queue starts")
            wait(lambda: runs(watcher, began), "the queue runs")
            yield watcher
        finally:
            watcher.close()
            launch.send_signal(signal.SIGINT)
            launch.wait(30)


def wait(condition: object, what: str) -> None:
    """Until it is true."""
    assert callable(condition)
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)


def holds(watcher: Watcher) -> bool:
    """Whether the arm holds; a driver that latched while everything started is reset."""
    newest = watcher.drivers.newest
    if newest is not None and newest.state == DriverStatus.LATCHED:
        watcher.call("so101_driver/reset")
    return newest is not None and newest.state == DriverStatus.HOLD


def runs(watcher: Watcher, since_ns: int) -> bool:
    """Whether the queue has executed rows since then."""
    return any(one.state == QueueStatus.RUNNING for _, one in watcher.queue.since(since_ns))


@contextlib.contextmanager
def other_program(*shares: float) -> Iterator[None]:
    """One process per number, in the session of the simulation and at nice 0, which takes this share of a core."""
    words = [str(share) for share in shares]
    program = subprocess.Popen([sys.executable, "-c", OTHER_PROGRAM, *words], process_group=0)
    try:
        yield
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()


def late_commands(watcher: Watcher, seconds: float) -> tuple[int, int]:
    """How often the driver missed its commands within that time, and how many ticks the queue made."""
    began_ns = time.monotonic_ns()
    time.sleep(seconds)
    causes = [one.cause for _, one in watcher.drivers.since(began_ns)]
    late = sum(now == COMMAND_TIMEOUT != before for before, now in zip(["", *causes], causes, strict=False))
    return late, len(watcher.ticks(began_ns))


@pytest.fixture(autouse=True)
def _permitted() -> None:
    def ask() -> None:
        try:
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_RR, os.sched_param(1))
        except OSError:
            refused.append(True)

    refused: list[bool] = []
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    if refused:
        pytest.skip("real-time priority is not permitted here")


@pytest.mark.long
def test_a_dozen_busy_processes_beside_the_simulation_hold_up_no_command(tmp_path: Path) -> None:
    with simulation(tmp_path) as watcher, other_program(*[1.0] * 12):
        late, ticks = late_commands(watcher, 25.0)
    assert late == 0
    assert ticks > 700  # of 750: it commanded all the time, so there was something to hear


@pytest.mark.soak
def test_a_core_and_a_half_of_other_work_for_ten_minutes_holds_up_no_command(tmp_path: Path) -> None:
    with simulation(tmp_path) as watcher, other_program(1.0, 0.5):
        late, ticks = late_commands(watcher, 600.0)
    assert late == 0
    assert ticks > 17_000  # of 18,000
