# SPDX-License-Identifier: Apache-2.0
"""Rows about every process: signals in any order, also during start-up, and a computer that has other work."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fault_rig.rows import FaultTable
from fault_rig.system import System

pytestmark = pytest.mark.faults

EXIT_S = 2.0
NODES = ("so101_driver", "action_queue", "top", "policy_server")


def test_each_process_leaves_on_a_signal_in_any_order_while_the_arm_moves(system: System, table: FaultTable) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        order = random.Random(int(number)).sample(NODES, len(NODES))
        with table.case(17, f"{signal.Signals(number).name} to {', '.join(order)}") as case:
            system.recover()
            began_ns = time.monotonic_ns()
            time.sleep(1.0)
            assert all(process.is_running for process in system.processes.values())  # none leaves without a signal
            longest_s = 0.0
            for name in order:
                before = len(system.processes[name].said)
                code, seconds = system.processes[name].end(number)
                said = system.processes[name].said[before:]
                assert code == 0, f"{name}: {said}"
                assert "Traceback" not in said
                longest_s = max(longest_s, seconds)
            case.measured("clean exit of each, the arm holds", longest_s, EXIT_S, "none exits in 1 s without a signal")
            ended_ns = time.monotonic_ns()
            time.sleep(0.5)
            assert system.motion.travelled(ended_ns).max() < 0.02
            assert system.motion.violations(system.bounds(), began_ns) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_start_up_ends_a_process_without_a_traceback(
    system: System, table: FaultTable, number: int
) -> None:
    """At moments all over the first second: imports, rclpy, the node's own start."""
    with table.case(17, f"{signal.Signals(number).name} during start-up") as case:
        server = system.real_server("policy_server_started", "/nonexistent/checkpoint")
        processes = [system.driver, system.queue, system.camera, server]
        longest_s = 0.0
        for index, delay_s in enumerate(np.linspace(0.0, 1.0, 8)):
            process = processes[index % len(processes)]
            if process.is_running:
                process.end()
            before = len(process.said)
            process.start()
            system.wait(process.minds_signals, f"{process.name} executes its own code")
            time.sleep(delay_s)
            assert process.is_running, process.said[before:]
            code, seconds = process.end(number)
            said = process.said[before:]
            assert "Traceback" not in said, f"{process.name} after {delay_s:.1f} s: {said}"
            assert code == 0, f"{process.name} after {delay_s:.1f} s: exit code {code}: {said}"
            longest_s = max(longest_s, seconds)
        case.measured("exit code 0 and no traceback", longest_s, EXIT_S, "each runs on until the signal")


@pytest.fixture
def hog() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def pin(system: System, cores: set[int]) -> None:
    """Let every thread of the system run on these cores only; the virtual arm stands for hardware."""
    for process in (system.driver, system.queue, system.camera, system.server):
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


def test_the_tick_keeps_its_grid_while_one_of_two_cores_is_busy(
    system: System, table: FaultTable, hog: list[subprocess.Popen[bytes]]
) -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    with table.case(22, f"one core of {len(cores)} busy with other work") as case:
        everywhere = os.sched_getaffinity(0)
        pin(system, set(cores))
        began_ns = time.monotonic_ns()
        try:
            hog.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            os.sched_setaffinity(hog[0].pid, cores[:1])
            time.sleep(10.0)
            words = Path(f"/proc/{hog[0].pid}/stat").read_text().rsplit(")", 1)[1].split()
            cpu_s = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
        finally:
            pin(system, everywhere)
        assert cpu_s > 3.0, f"the other work got {cpu_s:.1f} s of 10: the fault was not injected"
        errors = [abs(one.tick_error) for _, one in system.watcher.queue.since(began_ns)]
        assert len(errors) > 250
        control = f"the other work took {cpu_s:.1f} s of processor time; without it there is none to take"
        case.measured("p99 of the tick's error", float(np.percentile(errors, 99)), 0.005, control)
        assert system.motion.violations(system.bounds(), began_ns) == []
