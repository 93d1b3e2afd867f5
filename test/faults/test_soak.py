# SPDX-License-Identifier: Apache-2.0
"""Rows about running for long: a million ticks of the queue's core, half an hour of faults, a hundred restarts."""

import os
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fault_rig.restart import measure_restart
from fault_rig.rows import FaultTable
from fault_rig.system import System
from so101_action_queue.core.decisions import ChunkRequest, QueueCounters
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.virtual_session import VirtualLink, VirtualSession
from so101_node.protocol import JOINT_NAMES as JOINTS
from so101_node.protocol import QueueState

TICKS = 1_000_000
TICKS_IN_FLIGHT = 200_000  # with several requests under way
PART_S = 100.0  # of virtual time; what is remembered is thrown away after each, as a log that is written is
GROWTH = 1.05
UPPER_RAD = 2.0
WAVE_RAD, SEAM_RAD = 0.2 / 20, 0.05


def wave(request: ChunkRequest) -> np.ndarray:
    """A slow wave, a function of the step alone, so that it is seamless whoever chunks when."""
    steps = request.step + np.arange(50)
    return np.repeat((0.2 * np.sin(steps / 20))[:, np.newaxis], len(JOINTS), axis=1)


class RoughNetwork:
    """Arrival at random, 5 % lost, 10 % twice, some so late that newer ones overtake them."""

    def __init__(self, session: VirtualSession, seed: int) -> None:
        self._random = random.Random(seed)
        self._session = session

    def link(self) -> VirtualLink:
        return VirtualLink(uplink_s=self.delay, inference_s=self.inference, downlink_s=self.delay)

    def delay(self, _request_id: int) -> float | None:
        draw = self._random.random()
        if draw < 0.05:
            return None
        return self._random.uniform(0.5, 3.0) if draw < 0.08 else self._random.uniform(0.001, 0.2)

    def inference(self, _request_id: int) -> float:
        return self._random.uniform(0.02, 0.3)

    def again(self, chunk: object) -> None:
        """Deliver some chunks once more, later."""
        if self._random.random() < 0.1:
            self._session.after(self._random.uniform(0.0, 2.0), lambda: self._session.deliver(chunk))


def run(ticks: int, rough: bool, in_flight: int = 1) -> tuple[QueueCounters, list[float], float]:
    """Counters, resident memory after each tenth (bytes), and the largest step of the setpoint, rad."""
    settings = QueueSettings(request_timeout_s=0.5, max_requests_in_flight=in_flight)
    session = VirtualSession(settings, wave)
    network = RoughNetwork(session, 1)
    if rough:
        session.link = network.link()
        reply = session._reply

        def reply_and_again(chunk: object) -> None:
            reply(chunk)
            network.again(chunk)

        session._reply = reply_and_again
    session.start()
    memory: list[float] = []
    largest, held, step, count = 0.0, np.zeros(len(JOINTS)), 0, 0
    while count < ticks:
        trace = session.run(PART_S)
        setpoints = np.array([held, *trace.setpoints])
        largest = max(largest, float(np.abs(np.diff(setpoints, axis=0)).max()))
        assert np.abs(setpoints).max() <= UPPER_RAD
        assert np.isfinite(setpoints).all()
        assert trace.steps == sorted(trace.steps)  # steps only rise
        assert trace.steps[0] >= step
        assert QueueState.RUNNING in trace.states  # it never falls asleep for good
        held, step = setpoints[-1], trace.steps[-1]
        count += len(trace.states)
        counters = trace.counters
        session.trace = type(trace)()
        session.entries.clear()
        if count >= (len(memory) + 1) * ticks / 10:
            memory.append(float(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize())
    return counters, memory, largest


@pytest.mark.faults
def test_a_million_ticks_over_a_bad_network_leave_no_trace_in_memory_and_no_invariant_broken(
    table: FaultTable,
) -> None:
    with table.case(24, f"{TICKS} ticks of random arrival, loss, duplication, reordering") as case:
        calm, _, _ = run(20_000, rough=False)
        assert (calm.timeouts, calm.stale, calm.starved_ticks) == (0, 0, 0)
        began = time.process_time()
        rough, memory, largest = run(TICKS, rough=True)
        assert min(rough.timeouts, rough.stale, rough.duplicate, rough.starved_ticks) > 100
        assert rough.accepted > TICKS / 100
        assert largest <= WAVE_RAD + SEAM_RAD + 1e-6
        several, more_memory, largest_of_several = run(TICKS_IN_FLIGHT, rough=True, in_flight=6)
        assert min(several.stale, several.duplicate, several.errors) > 100  # of those lost a newer one makes good
        assert several.accepted / TICKS_IN_FLIGHT > 2 * rough.accepted / TICKS
        assert largest_of_several <= WAVE_RAD + SEAM_RAD + 1e-6
        for grown in (memory, more_memory):
            growth = max(grown[1:]) / grown[1]
            assert growth < GROWTH, f"memory grew by {growth:.3f}: {grown}"
        control = "on a calm network nothing is stale, timed out or starved"
        case.measured(f"memory within {GROWTH:g}, invariants hold", time.process_time() - began, 300.0, control)


SOAK_S = float(os.environ.get("SO101_SOAK_S", "1800"))
FAULT_EVERY_S = 20.0
WARM_UP_FAULTS = 6  # what is allocated once has been by then


def held(system: System) -> dict[str, tuple[float, int, int]]:
    """Memory (bytes), open files and threads of the processes that live through the whole run."""
    found = {}
    for process in (system.driver, system.queue):
        files, threads = (len(list(Path(f"/proc/{process.pid}/{kind}").iterdir())) for kind in ("fd", "task"))
        found[process.name] = (float(process.memory_bytes()), files, threads)
    return found


@pytest.mark.soak
@pytest.mark.timeout(SOAK_S + 900)
def test_half_an_hour_of_random_faults_leaves_nothing_behind(system: System) -> None:
    """Faults from which driver and queue recover; these two are never restarted."""
    faults: dict[str, Callable[[], object]] = {
        "server killed": lambda: system.server.kill(),
        "server hangs": lambda: system.server.pause(),
        "slow inference": lambda: system.mood(delay_s=2.0),
        "policy raises": lambda: system.mood(raises="error"),
        "camera killed": lambda: system.camera.kill(),
        "camera gives garbage": lambda: system.show_pictures(os.urandom(20_000)),
        "bus noise": lambda: system.fault("corrupt", 5),
        "port gone": lambda: system.fault("unplug", 1.0),
        "overload": lambda: system.fault("status", 3, 32),
        "servo silent": lambda: system.fault("servo_off", 5),
    }
    chance = random.Random(0)
    end = time.monotonic() + SOAK_S
    count = 0
    before: dict[str, tuple[float, int, int]] = {}
    while time.monotonic() < end:
        name = chance.choice(sorted(faults))
        began_ns = time.monotonic_ns()
        faults[name]()
        time.sleep(4.0)
        system.recover()
        limp = (4,) if name == "servo silent" else ()
        assert system.motion.violations(system.bounds(), began_ns, without=limp) == [], name
        system.forget(began_ns)
        count += 1
        if count == WARM_UP_FAULTS:
            before = held(system)
        time.sleep(max(0.0, FAULT_EVERY_S - (time.monotonic_ns() - began_ns) / 1e9))
    after = held(system)
    assert before, "too short to tell"
    for name, (memory, files, threads) in before.items():
        assert after[name][0] < GROWTH * memory, f"{name}: {memory / 1e6:.0f} MB became {after[name][0] / 1e6:.0f} MB"
        assert after[name][1] <= files + 3, f"{name}: {files} files became {after[name][1]}"
        assert after[name][2] <= threads + 1, f"{name}: {threads} threads became {after[name][2]}"


RESTARTS = 100


@pytest.mark.soak
@pytest.mark.timeout(RESTARTS * 30)
def test_a_server_that_is_restarted_a_hundred_times_is_served_again_each_time(
    system: System, table: FaultTable
) -> None:
    began_ns = time.monotonic_ns()
    for number in range(1, RESTARTS + 1):
        with table.case(3, f"server restarted, {number} of {RESTARTS}") as case:
            measure_restart(system, case)
    assert system.motion.violations(system.bounds(), began_ns) == []
