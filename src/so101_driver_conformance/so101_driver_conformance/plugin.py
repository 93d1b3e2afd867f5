# SPDX-License-Identifier: Apache-2.0
"""pytest options, the fixtures of the suite, and one line for each rule at the end."""

from collections.abc import Iterator

import pytest

from so101_driver_conformance.driver_process import DriverProcess
from so101_driver_conformance.peer import DriverPeer
from so101_driver_conformance.rules import RULES, broken
from so101_driver_conformance.subject import Subject


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the suite."""
    group = parser.getgroup("driver contract")
    group.addoption("--driver", metavar="COMMAND", help="command line that starts the driver")
    group.addoption("--driver-name", default="so101_driver", help="name of its node, before its services")
    group.addoption("--driver-namespace", default="", help="namespace of its topics")
    group.addoption("--leap-rad", type=float, default=1.0, help="how far commands leap in NO-JUMP at most, rad")


@pytest.fixture(scope="session")
def peer(pytestconfig: pytest.Config) -> Iterator[DriverPeer]:
    """The other side of the driver's topics and services."""
    made = DriverPeer(pytestconfig.getoption("--driver-namespace"), pytestconfig.getoption("--driver-name"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def subject(pytestconfig: pytest.Config, peer: DriverPeer) -> Iterator[Subject]:
    """The driver, running."""
    command = pytestconfig.getoption("--driver")
    if not command:
        pytest.exit("--driver COMMAND: the command line that starts the driver", returncode=64)
    made = Subject(lambda: DriverProcess(command), peer, pytestconfig.getoption("--leap-rad"))
    yield made
    made.close()


@pytest.fixture
def holding(subject: Subject) -> Subject:
    """The driver in HOLD, with its goals at rest."""
    reason = subject.bring_to_hold()
    if reason:
        broken("COMES-UP-HOLDING", reason)
    return subject


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each rule."""
    said: dict[str, str] = {}
    for outcome in ("passed", "skipped", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            rule = dict(report.user_properties).get("rule", "")
            if rule not in RULES:
                continue
            line = str(report.longrepr).strip().splitlines()[-1] if report.failed else ""
            text = {"passed": f"ok       {rule}", "skipped": f"left out {rule}: no such service"}.get(outcome)
            said[rule] = text or f"BROKEN   {line if line.startswith(tuple(RULES)) else f'{rule}: {line}'}"
    terminalreporter.section("contract of a driver")
    for rule in RULES:
        if rule in said:
            terminalreporter.write_line(said[rule])
