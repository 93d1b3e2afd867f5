"""The fault suite's system, which several rows share, and its table."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_rig.rows import FaultTable
from fault_rig.system import System

TABLE = pytest.StashKey[FaultTable]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = FaultTable()


@pytest.fixture
def table(request: pytest.FixtureRequest) -> FaultTable:
    """Where rows are noted."""
    return request.config.stash[TABLE]


@pytest.fixture(scope="session")
def only_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("faults"))
    try:
        system.start()
        yield system
    finally:
        system.close()


@pytest.fixture
def system(only_system: System) -> System:
    """The system with the arm waving, whatever the last row did to it."""
    only_system.recover()
    return only_system


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, and write it where --report says."""
    faults = config.stash[TABLE]
    if not faults.cases:
        return
    terminalreporter.section("faults")
    for line in faults.lines():
        terminalreporter.write_line(line)
    report = config.getoption("--report", None)
    if report:
        faults.write(Path(report))
        terminalreporter.write_line(f"written to {report}")
