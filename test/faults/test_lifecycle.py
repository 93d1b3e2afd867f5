# SPDX-License-Identifier: Apache-2.0
"""The lifecycle of driver, queue and server: any order, again and again, without a jump, a leak or a traceback."""

import random
import signal
import time
from pathlib import Path

import pytest
from fault_rig.processes import SystemProcess
from fault_rig.system import System
from lifecycle_msgs.msg import Transition

pytestmark = pytest.mark.faults

TIMES = 10
NODES = ("so101_driver", "action_queue", "policy_server")
# state -> the transitions that lead on from it
WAYS = {
    "unconfigured": {Transition.TRANSITION_CONFIGURE: "inactive"},
    "inactive": {Transition.TRANSITION_ACTIVATE: "active", Transition.TRANSITION_CLEANUP: "unconfigured"},
    "active": {Transition.TRANSITION_DEACTIVATE: "inactive"},
}
SHUTDOWN = {
    "unconfigured": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    "inactive": Transition.TRANSITION_INACTIVE_SHUTDOWN,
    "active": Transition.TRANSITION_ACTIVE_SHUTDOWN,
}


def held(process: SystemProcess) -> tuple[int, int]:
    """Open files and threads."""
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir())), len(list(Path(f"/proc/{process.pid}/task").iterdir()))


def go_round(system: System, name: str, choice: random.Random, state: str) -> str:
    """Ten rounds or more by ways chosen at random; ends in `active`. Returns the state."""
    transitions = 0
    while transitions < 4 * TIMES or state != "active":
        transition, following = choice.choice(sorted(WAYS[state].items()))
        assert system.watcher.change_state(name, transition), f"{name}: transition {transition} in {state} failed"
        state = following
        transitions += 1
    return state


@pytest.mark.parametrize("name", NODES)
def test_a_node_goes_round_its_lifecycle_without_a_jump_a_leak_or_a_traceback(system: System, name: str) -> None:
    process = system.processes[name]
    began_ns = time.monotonic_ns()
    before = len(process.said)
    go_round(system, name, random.Random(1), "active")
    files, threads = held(process)
    go_round(system, name, random.Random(2), "active")
    time.sleep(0.5)
    more_files, more_threads = held(process)
    assert more_files <= files + 3, f"{files} files, later {more_files}"
    assert more_threads <= threads + 1, f"{threads} threads, later {more_threads}"
    assert "Traceback" not in process.said[before:]
    assert system.motion.violations(system.bounds(), began_ns) == []
    system.recover()  # and it works as before


@pytest.mark.parametrize("state", list(SHUTDOWN))
def test_a_node_that_was_shut_down_in_any_state_leaves_cleanly(system: System, state: str) -> None:
    for name in NODES:
        process = system.processes[name]
        before = len(process.said)
        if state != "active":
            assert system.watcher.change_state(name, Transition.TRANSITION_DEACTIVATE)
        if state == "unconfigured":
            assert system.watcher.change_state(name, Transition.TRANSITION_CLEANUP)
        assert system.watcher.change_state(name, SHUTDOWN[state])
        code, seconds = process.end(signal.SIGTERM)
        assert code == 0, process.said[before:]
        assert seconds < 2.0
        assert "Traceback" not in process.said[before:]
    assert not system.motion.is_moving()


def test_a_driver_that_cannot_be_configured_says_why_and_can_be_later(system: System) -> None:
    assert system.watcher.change_state("so101_driver", Transition.TRANSITION_DEACTIVATE)
    assert system.watcher.change_state("so101_driver", Transition.TRANSITION_CLEANUP)
    system.fault("unplug", 2)
    assert not system.watcher.change_state("so101_driver", Transition.TRANSITION_CONFIGURE)
    time.sleep(2.5)
    assert system.watcher.change_state("so101_driver", Transition.TRANSITION_CONFIGURE)
    assert system.watcher.change_state("so101_driver", Transition.TRANSITION_ACTIVATE)
    assert "Traceback" not in system.driver.said
    system.recover()
