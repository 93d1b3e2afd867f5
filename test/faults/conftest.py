# SPDX-License-Identifier: Apache-2.0
"""The fault suite's system, which several rows share, and its table."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_rig.rows import CASES_FILE, FaultTable
from fault_rig.system import System

REPEATS = 2
STARVED_S = 0.03  # two periods of the driver: the tightest row, of 0.1 s, has 0.04 s to spare
TABLE = pytest.StashKey[FaultTable]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = FaultTable()


@pytest.fixture
def table(request: pytest.FixtureRequest) -> FaultTable:
    """Where rows are noted."""
    return request.config.stash[TABLE]


@pytest.fixture(scope="package")
def only_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The system of this folder's tests; it ends with them, since it takes a third of a core."""
    with System(tmp_path_factory.mktemp("faults")).running() as system:
        yield system


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Repeat a case of a shared system that failed while the machine did not run its processes in time.

    A thread that wants to run every 4 ms tells. A starved machine proves nothing about the system either way.
    """
    for left in range(REPEATS, -1, -1):
        system = next((one for one in pyfuncitem.funcargs.values() if isinstance(one, System)), None)
        began_ns = time.monotonic_ns()
        if system is not None:
            system.motion.longest_gap_s = 0.0
        cases = len(pyfuncitem.config.stash[TABLE].cases)
        try:
            if left == REPEATS:
                return (yield)
            return pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames})
        except Exception as error:
            if system is None:
                raise
            print(system.story(began_ns))
            gap_s = system.motion.longest_gap_s
            if gap_s < STARVED_S or not left:
                raise
            print(f"repeated: the machine did not run this test for {gap_s:.3f} s; {type(error).__name__}: {error}")
            del pyfuncitem.config.stash[TABLE].cases[cases:]
            system.recover()


@pytest.fixture
def system(only_system: System) -> System:
    """The system with the arm waving, whatever the last row did to it."""
    only_system.recover()
    return only_system


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, and write it where --report says."""
    faults = config.stash[TABLE]
    if CASES_FILE in os.environ:
        faults.write_cases(Path(os.environ[CASES_FILE]))
    if not faults.cases:
        return
    terminalreporter.section("faults")
    for line in faults.lines():
        terminalreporter.write_line(line)
    report = config.getoption("--report", None)
    if report:
        faults.write(Path(report))
        terminalreporter.write_line(f"written to {report}")
