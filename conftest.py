# SPDX-License-Identifier: Apache-2.0
"""What all tests of the workspace share: the option --all, and a ROS domain that no other run hears."""

import gc
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["node_fixtures"]

# Every run has the same examples: what fails is the change's. `--hypothesis-profile explore` looks for others.
settings.register_profile(
    "same", derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("same"), derandomize=False, max_examples=1000)
settings.load_profile("same")

_LEFT_OUT = ("long", "faults", "soak")
_LEFT_OUT_OF_ALL = ("soak",)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the tests marked long and faults too")
    parser.addoption("--report", metavar="FILE", help="write the table of injected faults as JSON (with -m faults)")


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment that this process and everything it starts runs in."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SYSTEM_DEFAULT"  # the profile names 127.0.0.1 alone
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(Path(__file__).parent / "config" / "fastdds_udp.xml")
    leases = ExitStack()
    config.add_cleanup(leases.close)
    os.environ["ROS_DOMAIN_ID"] = str(leases.enter_context(_leased_domain()))
    os.environ.setdefault("MUJOCO_GL", "egl")
    os.environ["HF_HUB_OFFLINE"] = "1"  # no test may depend on the network


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long unless it is asked for: by --all, which still leaves soak, or an expression (-m)."""
    if config.getoption("-m"):
        return
    names = _LEFT_OUT_OF_ALL if config.getoption("--all") else _LEFT_OUT
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in names)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def pytest_collection_finish() -> None:
    """Keep what the imports made out of later garbage collections, each of which took half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _same_process() -> Iterator[None]:
    """A test leaves this process as it was.

    With other variables of ROS later ones would not hear the processes that they start; with a real-time priority they
    would starve them.
    """
    before, scheduler = _middleware(), os.sched_getscheduler(0)
    yield
    after, scheduler_after = _middleware(), os.sched_getscheduler(0)
    if scheduler_after != scheduler:
        os.sched_setscheduler(0, scheduler, os.sched_param(0))
    for name in after.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
    assert after == before, "this test left other variables of the middleware behind"
    assert scheduler_after == scheduler, "this test left this process under another scheduling policy"


def _middleware() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("ROS_", "RMW_", "FASTRTPS_"))}


@pytest.fixture(scope="session")
def lease_domain() -> Callable[[], AbstractContextManager[int]]:
    """Lends further domains, for nodes that must not even hear the others of this run."""
    return _leased_domain


@contextmanager
def _leased_domain() -> Iterator[int]:
    """A domain that no other run has; a guess by process id where so101_launch_runner is not at hand (colcon test)."""
    if importlib.util.find_spec("so101_launch_runner") is None:
        yield 1 + os.getpid() % 100
        return
    lease = importlib.import_module("so101_launch_runner.domain").DomainLease()
    try:
        yield int(lease.id)
    finally:
        lease.close()
