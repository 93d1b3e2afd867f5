# SPDX-License-Identifier: Apache-2.0
"""A pair of arms as one robot: two virtual arms and drivers, one queue, one policy server; one arm fails, both hold."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_rig.motion import STILL_RAD_S, Bounds, MotionRecorder
from fault_rig.rows import FaultTable
from fault_rig.watcher import Heard, Watcher
from how_to_page import HowToPage, environment_with
from pair_rig import ARMS, PAIR_JOINTS, PairRig, pair_rig
from sensor_msgs.msg import JointState
from so101_action_queue.record.replay import replay
from so101_bag.dataset.joint_streams import read_joints, read_limits
from so101_bag.dataset.mapping import Mapping
from so101_bag.storage.reader import Bag
from so101_msgs.msg import DriverStatus, QueueStatus
from so101_node.topics import qos

pytestmark = pytest.mark.faults

PAGE = HowToPage("pair.md")
WRIST = 4
PATIENCE_S = 30.0
# The other arm's way to HOLD: `arm_silent_s` where that comes first, `command_timeout_s`, and what a busy machine adds.
COMMAND_TIMEOUT_S, SILENT_S, SLACK_S = 0.1, 0.15, 0.25


@dataclass
class PairSystem:
    """What runs, and who watches it."""

    rig: PairRig
    watcher: Watcher
    motion: dict[str, MotionRecorder]
    drivers: dict[str, Heard[DriverStatus]]
    commands: dict[str, Heard[JointState]]

    def wait(self, condition: Callable[[], Any], what: str, limit_s: float = PATIENCE_S) -> Any:
        end_s = time.monotonic() + limit_s
        while not (found := condition()):
            assert time.monotonic() < end_s, f"{what}: not within {limit_s:g} s; {self.watcher.drivers.newest}"
            time.sleep(0.005)
        return found

    def begin(self) -> None:
        """Let both arms swing, whatever happened before."""
        for arm in ARMS:
            self.rig.arms[arm].client.fault("clear")
        up = (DriverStatus.HOLD, DriverStatus.ENGAGED)

        def holds() -> bool:
            newest = self.watcher.drivers.newest
            if newest is not None and newest.state == DriverStatus.LATCHED:
                self.watcher.call("so101_driver/reset")
            return newest is not None and newest.state in up

        self.wait(holds, "both arms hold")
        self.watcher.call("action_queue/stop")
        self.wait(lambda: self.watcher.call("action_queue/start").success, "the queue starts")
        self.wait(lambda: all(one.is_moving() for one in self.motion.values()), "both arms swing")

    def bounds(self) -> dict[str, Bounds]:
        """The limits of each arm, from the pair's joint_limits, in MuJoCo angles."""
        limits = self.watcher.limits.newest
        assert limits is not None and list(limits.joint_names) == PAIR_JOINTS
        parts = {}
        for index, arm in enumerate(ARMS):
            own = slice(6 * index, 6 * index + 6)
            middle = self.motion[arm].newest.joints - np.array(self.watcher.joint_states.newest.position[own])
            lower, upper = (np.array(getattr(limits, field)[own]) for field in ("lower", "upper"))
            parts[arm] = Bounds(lower + middle - 0.05, upper + middle + 0.05, np.array(limits.max_speed[own]))
        return parts

    def rest(self, arm: str, since_ns: int) -> int:
        """When that arm came to rest for good, ns."""

        def found() -> int | None:
            samples = self.motion[arm].since(since_ns)
            moving = [sample.t_ns for sample in samples if np.abs(sample.velocities).max() > 2 * STILL_RAD_S]
            last = moving[-1] if moving else since_ns
            return last if samples and samples[-1].t_ns - last > 500_000_000 else None

        return int(self.wait(found, f"{arm} rests"))


def heard(watcher: Watcher, kind: Any, topic: str, profile: Any) -> Any:
    """All messages of a topic."""
    made: Any = Heard()
    watcher.node.create_subscription(kind, topic, made, profile)
    return made


def written(watcher: Watcher, topic: str) -> dict[tuple[float, ...], int]:
    """When each command of a topic was written, by its writer's clock, ns; by its positions."""
    made: dict[tuple[float, ...], int] = {}

    def hear(message: JointState, info: Any) -> None:
        made.setdefault(tuple(message.position), info["source_timestamp"])

    watcher.node.create_subscription(JointState, topic, hear, qos.JOINT_COMMAND)
    return made


@pytest.fixture(scope="module")
def pair(domain: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PairSystem]:
    """The page's policy on two virtual arms."""
    folder = tmp_path_factory.mktemp("pair")
    modules = PAGE.build(folder, "twins_policy")
    joints = "[" + ", ".join(PAIR_JOINTS) + "]"
    with pair_rig(folder) as rig:
        rig.start("pair", "so101_driver.ros.start_pair")
        rig.start("queue", "so101_action_queue.ros.start", joint_names=joints, connect_timeout_s=60.0)
        with (folder / "server.log").open("w") as output:
            words = ["--ros-args", "-p", "policy_library:=twins", "-p", f"joint_names:={joints}"]
            command = [sys.executable, "-m", "so101_policy_server.ros.start", *words]
            server = subprocess.Popen(command, env=environment_with(modules), stdout=output, stderr=subprocess.STDOUT)
        rig.processes["server"] = server
        watcher = Watcher(domain)
        motion = {arm: MotionRecorder(rig.arms[arm].sim_dir / "state") for arm in ARMS}
        drivers = {arm: heard(watcher, DriverStatus, f"{arm}/driver_status", qos.LATCHED) for arm in ARMS}
        commands = {
            topic: heard(watcher, JointState, topic, qos.JOINT_COMMAND)
            for topic in ("joint_command", *(f"{arm}/joint_command" for arm in ARMS))
        }
        yield PairSystem(rig, watcher, motion, drivers, commands)
        watcher.close()
        for one in motion.values():
            one.close()


def test_both_arms_move_together_and_each_gets_its_own_half_of_every_command(pair: PairSystem) -> None:
    pair.begin()
    since_ns = time.monotonic_ns()
    time.sleep(4.0)
    assert list(pair.watcher.joint_states.newest.name) == PAIR_JOINTS
    times = np.linspace(since_ns, since_ns + 3.5e9, 100)
    ways = []
    for arm in ARMS:
        samples = pair.motion[arm].since(since_ns)
        ways.append(np.interp(times, [one.t_ns for one in samples], [one.joints[WRIST] for one in samples]))
        assert pair.motion[arm].travelled(since_ns)[WRIST] > 0.25
        others = [index for index in range(6) if index != WRIST]
        assert pair.motion[arm].travelled(since_ns)[others].max() < 0.05
    assert np.corrcoef(ways)[0, 1] > 0.98
    halves = {
        arm: {tuple(one.position) for _, one in pair.commands[f"{arm}/joint_command"].since(since_ns)} for arm in ARMS
    }
    time.sleep(0.2)  # a whole command may be heard after its halves, and was heard before those at the beginning
    whole = {tuple(one.position) for _, one in pair.commands["joint_command"].since(since_ns - 10**9)}
    assert len(whole) > 30
    assert halves["left"] <= {row[:6] for row in whole} and len(halves["left"]) > 30
    assert halves["right"] <= {row[6:] for row in whole} and len(halves["right"]) > 30


def test_the_hop_through_the_pair_costs_little(pair: PairSystem) -> None:
    pair.begin()
    sent, passed = written(pair.watcher, "joint_command"), written(pair.watcher, "right/joint_command")
    time.sleep(4.0)
    hops_s = [(passed[row[6:]] - at) / 1e9 for row, at in list(sent.items()) if row[6:] in passed]
    print(f"hop p50 {np.median(hops_s) * 1e3:.2f} ms, p95 {np.quantile(hops_s, 0.95) * 1e3:.2f} ms, n {len(hops_s)}")
    assert len(hops_s) > 50
    assert 0 < np.median(hops_s) < 0.02  # 1 ms on a quiet machine


def test_what_the_queue_decided_about_twelve_joints_replays_and_a_bag_has_lerobots_columns(
    pair: PairSystem, tmp_path: Path
) -> None:
    pair.rig.start("recorder", "so101_bag.record.recorder_node", folder=tmp_path / "bag")
    pair.wait(lambda: (tmp_path / "bag" / "metadata.yaml").exists() or list(tmp_path.glob("bag/*.mcap")), "it records")
    time.sleep(1.0)
    pair.begin()
    time.sleep(3.0)
    session = pair.watcher.queue.newest.session
    pair.watcher.call("action_queue/stop")
    time.sleep(0.5)
    pair.rig.signal("recorder", signal.SIGINT)
    assert pair.rig.processes["recorder"].wait(20.0) == 0, pair.rig.said("recorder")
    decisions = [one for _, one in pair.watcher.decisions.since(0) if one.session == session]
    result = replay(decisions)
    assert result.first_difference == ""
    assert result.decisions > 60
    with Bag(tmp_path / "bag") as bag:
        limits = read_limits(bag, Mapping(), "a test")
        positions = read_joints(bag, Mapping().joint_states, Mapping(), limits, "a test").rows
    assert list(limits.names) == PAIR_JOINTS
    assert positions.shape[1] == 12
    assert np.ptp(positions[:, WRIST]) > 0.2 and np.ptp(positions[:, 6 + WRIST]) > 0.2


def kill_driver(pair: PairSystem) -> None:
    pair.rig.signal("left_driver", signal.SIGKILL)
    pair.rig.processes["left_driver"].wait()


def freeze_driver(pair: PairSystem) -> None:
    pair.rig.signal("left_driver", signal.SIGSTOP)


def silence_bus(pair: PairSystem) -> None:
    pair.rig.arms["left"].client.fault("drop", 100)


def latch(pair: PairSystem) -> None:
    assert pair.watcher.call("left/so101_driver/emergency_stop").success


def mend(pair: PairSystem) -> None:
    """Take back the fault of the left arm's driver."""
    process = pair.rig.processes["left_driver"]
    if process.poll() is None:
        pair.rig.signal("left_driver", signal.SIGCONT)
    else:
        pair.rig.start_driver("left")


@pytest.mark.parametrize(
    ("row", "fault", "inject", "state", "cause", "bound_s"),
    [
        (15, "driver of the left arm kill -9", kill_driver, DriverStatus.NO_BUS, "ARM_SILENT", SILENT_S),
        (16, "driver of the left arm SIGSTOP", freeze_driver, DriverStatus.NO_BUS, "ARM_SILENT", SILENT_S),
        (14, "bus of the left arm silent", silence_bus, DriverStatus.NO_BUS, "SERVOS_SILENT", SILENT_S),
        (12, "left arm latched", latch, DriverStatus.LATCHED, "EMERGENCY_STOP", 0.0),
    ],
)
def test_when_one_arm_fails_both_hold_the_arm_is_named_and_nothing_jumps_until_both_go_on(
    pair: PairSystem,
    table: FaultTable,
    row: int,
    fault: str,
    inject: Callable[[PairSystem], None],
    state: int,
    cause: str,
    bound_s: float,
) -> None:
    with table.case(row, fault) as case:
        pair.begin()
        bounds = pair.bounds()
        began_ns = time.monotonic_ns()
        time.sleep(0.5)
        injected_ns = time.monotonic_ns()
        assert pair.watcher.drivers.first(began_ns, lambda one: one.state != DriverStatus.ENGAGED) is None
        inject(pair)
        held_ns = pair.wait(
            lambda: pair.drivers["right"].first(injected_ns, lambda one: one.state == DriverStatus.HOLD),
            "the right arm holds",
        )
        case.measured(
            "the other arm in HOLD",
            (held_ns - injected_ns) / 1e9,
            bound_s + COMMAND_TIMEOUT_S + SLACK_S,
            "not seen in 0.5 s without the fault",
        )
        pair.wait(lambda: pair.watcher.driver_is(injected_ns, state, cause, "left"), "the pair names arm and cause")
        stopped_ns = pair.wait(
            lambda: pair.watcher.queue.first(injected_ns, lambda one: one.state == QueueStatus.STOPPED),
            "the queue stops",
        )
        assert "left" in pair.watcher.queue.newest.cause
        rested_ns = max(pair.rest(arm, injected_ns) for arm in ARMS)
        assert pair.commands["right/joint_command"].since(stopped_ns + 100_000_000) == []
        mend(pair)
        time.sleep(1.0)
        for arm in ARMS:
            assert pair.motion[arm].travelled(rested_ns + 300_000_000).max() < 0.03, arm  # nobody said start
        pair.begin()
        for arm in ARMS:
            assert pair.motion[arm].violations(bounds[arm], began_ns) == []
