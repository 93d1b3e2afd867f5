# SPDX-License-Identifier: Apache-2.0
"""The driver as a process, over DDS, on the virtual arm behind its tty."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from so101_driver.core import causes
from so101_driver.core import registers as reg
from so101_driver.core.calibration import load_calibration
from so101_driver.servos.feetech_bus import FeetechBus
from so101_msgs.msg import DriverStatus, JointLimits, ServoTelemetry
from so101_node.protocol import JOINT_NAMES
from so101_node.topics.qos import JOINT_COMMAND, JOINT_STATES_READER, LATCHED, TELEMETRY
from so101_sim.virtual_arm_client import RunningVirtualArm, running_virtual_arm
from std_srvs.srv import Trigger

DOMAIN = int(os.environ["ROS_DOMAIN_ID"])  # conftest.py has leased it
PATIENCE_S = 60.0
WITHOUT_SYS_NICE = (
    sys.executable,
    "-c",
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 23, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])",
)
"""Starts a command that may not raise priorities, whoever runs the test: PR_CAPBSET_DROP of CAP_SYS_NICE."""


class Peer:
    """A node of the test: what the driver publishes, and a joint_command publisher."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(args=[], context=self.context, domain_id=DOMAIN)
        self.node = rclpy.create_node("peer", context=self.context, enable_rosout=False)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.statuses: list[DriverStatus] = []
        self.states: list[JointState] = []
        self.limits: list[JointLimits] = []
        self.telemetry: list[ServoTelemetry] = []
        for kind, topic, qos, kept in (
            (DriverStatus, "driver_status", LATCHED, self.statuses),
            (JointState, "joint_states", JOINT_STATES_READER, self.states),
            (JointLimits, "joint_limits", LATCHED, self.limits),
            (ServoTelemetry, "servo_telemetry", TELEMETRY, self.telemetry),
        ):
            self.node.create_subscription(kind, topic, kept.append, qos)
        self.commands = self.node.create_publisher(JointState, "joint_command", JOINT_COMMAND)

    @property
    def status(self) -> DriverStatus:
        return self.statuses[-1]

    @property
    def pose(self) -> np.ndarray:
        return np.array(self.states[-1].position)

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.005)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            said = f"; last status: {self.status.cause} {self.status.message}" if self.statuses else ""
            assert time.monotonic() < end, f"never happened: {what}{said}"
            self.executor.spin_once(timeout_sec=0.02)

    def wait_for(self, state: int, cause: str | None = None) -> None:
        self.wait(
            lambda: bool(self.statuses) and self.status.state == state and cause in (None, self.status.cause),
            f"state {state} {cause}",
        )

    def send(self, positions: Sequence[float], names: Sequence[str] = JOINT_NAMES) -> None:
        self.commands.publish(JointState(name=list(names), position=[float(value) for value in positions]))

    def send_all(self, poses: np.ndarray) -> None:
        """Send the poses at 30 Hz."""
        deadline = time.monotonic()
        for pose in poses:
            self.send(pose)
            deadline += 1 / 30
            self.spin(max(0.0, deadline - time.monotonic()))

    def call(self, name: str) -> Trigger.Response:
        client = self.node.create_client(Trigger, f"so101_driver/{name}")
        assert client.wait_for_service(PATIENCE_S)
        future = client.call_async(Trigger.Request())
        self.wait(future.done, f"answer of {name}")
        return future.result()

    def forget(self) -> None:
        """Drop what an earlier driver said."""
        self.spin(0.2)
        for kept in (self.statuses, self.states, self.limits, self.telemetry):
            kept.clear()

    def close(self) -> None:
        self.executor.remove_node(self.node)
        self.node.destroy_node()
        self.executor.shutdown(timeout_sec=0.5)
        rclpy.shutdown(context=self.context)


class Driver:
    """A driver process."""

    def __init__(self, *parameters: str, through: Sequence[str] = ()) -> None:
        """`parameters` as NAME:=VALUE; a remapping as -r FROM:=TO."""
        command = [*through, sys.executable, "-m", "so101_driver.ros.so101_driver_node", "--ros-args"]
        for parameter in parameters:
            command += parameter.split(" ", 1) if parameter.startswith("-r ") else ["-p", parameter]
        environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)

    def end(self, how: int = signal.SIGINT) -> tuple[int, str]:
        """Exit code and everything on stderr."""
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def parameters_for(arm: RunningVirtualArm, *more: str) -> list[str]:
    """What every driver here gets. Emulator and test are processes on a machine that may be busy: some patience."""
    return [
        f"port:={arm.port}",
        "robot_id:=virtual",
        f"calibration_dir:={arm.calibration.parent}",
        "reply_timeout_s:=0.02",
        "command_timeout_s:=0.5",
        *more,
    ]


class Bench:
    """The virtual arm, the peer, and one driver at a time; tests with the same parameters share it."""

    def __init__(self, arm: RunningVirtualArm, peer: Peer) -> None:
        self.arm, self.peer = arm, peer
        self.current: Driver | None = None
        self.parameters: tuple[str, ...] = ()

    def drive(self, *more: str, until: int = DriverStatus.HOLD) -> Peer:
        """A driver with these parameters, in the state `until`."""
        self.arm.client.fault("clear")
        peer = self.peer
        if self.current is None or self.current.process.poll() is not None or self.parameters != more:
            self.end(signal.SIGINT)
            peer.forget()
            self.current, self.parameters = Driver(*parameters_for(self.arm, *more)), more
        elif peer.status.state != DriverStatus.HOLD:
            peer.wait(lambda: peer.call("reset").success, "reset accepted")
        peer.wait(lambda: bool(peer.statuses) and peer.status.state == until, f"state {until}")
        peer.wait(lambda: len(peer.states) > 2 and bool(peer.limits), "joint_states and joint_limits")
        return peer

    def end(self, how: int) -> tuple[int, str]:
        """End the driver; exit code and everything on stderr."""
        driver, self.current = self.current, None
        if driver is None:
            return 0, ""
        try:
            return driver.end(how)
        finally:
            driver.kill()


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with running_virtual_arm() as arm:
        peer = Peer()
        made = Bench(arm, peer)
        yield made
        made.end(signal.SIGKILL)
        peer.close()


def true_pose(arm: RunningVirtualArm) -> np.ndarray:
    return np.array(arm.state.read().qpos[:6])


def torques(arm: RunningVirtualArm) -> list[int]:
    bus = FeetechBus(str(arm.port), reply_timeout_s=0.1)
    bus.open()
    start = reg.CONTROL_BLOCK[0]
    values = [reg.TORQUE_ENABLE.decode(bus.read_block(i, *reg.CONTROL_BLOCK), start) for i in range(1, 7)]
    bus.close()
    return values


def wave(pose: np.ndarray, ticks: int = 60, height: float = 0.3) -> np.ndarray:
    """Out and back, smoothly, beginning and ending at `pose`."""
    return pose + height * np.sin(np.linspace(0, np.pi, ticks))[:, None] ** 2 * np.array([1, 1, -1, -1, 1, 1])


def test_it_comes_up_holding_without_moving_the_arm(bench: Bench) -> None:
    before = true_pose(bench.arm)
    peer = bench.drive()
    peer.wait(lambda: len(peer.states) > 30 and bool(peer.telemetry), "all topics")
    status, limits, calibration = peer.status, peer.limits[-1], load_calibration(bench.arm.calibration)
    assert list(status.torque) == [True] * 6
    assert np.array(status.goal) == pytest.approx(peer.pose, abs=0.05)
    assert status.driver_id == limits.driver_id != 0
    assert list(status.joint_names) == list(limits.joint_names) == list(JOINT_NAMES)
    assert np.array(limits.lower) == pytest.approx(calibration.soft_lower_rad())
    assert np.array(limits.range_lower) == pytest.approx(calibration.lower_rad())
    assert np.array(limits.range_upper) == pytest.approx(calibration.upper_rad())
    assert list(peer.states[-1].name) == list(JOINT_NAMES)
    assert all(voltage == pytest.approx(12.1) for voltage in peer.telemetry[-1].voltage)
    assert true_pose(bench.arm) == pytest.approx(before, abs=0.01)


def test_commands_move_the_arm_and_silence_holds_it(bench: Bench) -> None:
    peer = bench.drive()
    home = np.array(peer.status.goal)
    path = wave(home)
    peer.send_all(path[:30])
    assert (peer.status.state, peer.status.cause) == (DriverStatus.ENGAGED, "")
    peer.wait_for(DriverStatus.HOLD, causes.COMMAND_TIMEOUT)
    peer.spin(0.3)
    assert np.array(peer.status.goal) == pytest.approx(path[29], abs=0.02)
    assert peer.pose == pytest.approx(path[29], abs=0.05)
    assert peer.status.commands_accepted >= 10
    peer.send_all(path[30:])  # begins where it holds: engages by itself
    peer.wait_for(DriverStatus.HOLD)
    assert peer.pose == pytest.approx(home, abs=0.05)


def test_names_decide_which_position_is_whose(bench: Bench) -> None:
    peer = bench.drive()
    goal = np.array(peer.status.goal)
    goal[0] += 0.15
    for _ in range(15):
        peer.send(goal[::-1], JOINT_NAMES[::-1])
        peer.spin(1 / 30)
    peer.wait_for(DriverStatus.HOLD)
    assert np.array(peer.status.goal) == pytest.approx(goal, abs=1e-6)


def test_commands_that_cannot_be_meant_are_ignored(bench: Bench) -> None:
    peer = bench.drive()
    peer.wait_for(DriverStatus.HOLD)
    before, goal = peer.status, np.array(peer.status.goal)
    bad: list[Callable[[], None]] = [
        lambda: peer.send(goal[:5], JOINT_NAMES[:5]),
        lambda: peer.send([], []),
        lambda: peer.send(goal[:5], JOINT_NAMES),
        lambda: peer.send([float("nan"), *goal[1:]]),
        lambda: peer.send(goal + 0.5),
        lambda: peer.send(np.degrees(goal) + 90),
    ]
    for count, send in enumerate(bad, before.commands_rejected + 1):
        send()
        peer.wait(lambda count=count: peer.status.commands_rejected == count, f"rejection {count}")
    assert peer.status.state == DriverStatus.HOLD
    assert peer.status.commands_accepted == before.commands_accepted
    assert np.array(peer.status.goal) == pytest.approx(goal)


def test_parking_is_no_leave_to_let_go(bench: Bench) -> None:
    peer = bench.drive()
    path = wave(np.array(peer.status.goal))
    peer.send_all(path[:25])
    assert not peer.call("park").success  # commands are being followed
    peer.wait_for(DriverStatus.HOLD)
    peer.spin(0.3)
    assert peer.call("park").success
    peer.wait(lambda: peer.status.cause == causes.PARKING, "parking shown")
    peer.wait(lambda: peer.status.parked, "parked")
    refused = peer.call("release")
    assert not refused.success
    assert "rests_when_parked" in refused.message
    assert list(peer.status.torque) == [True] * 6


def test_an_emergency_stop_stays_until_reset(bench: Bench) -> None:
    peer = bench.drive()
    path = wave(np.array(peer.status.goal))
    peer.send_all(path[:20])
    assert peer.call("emergency_stop").success
    peer.wait_for(DriverStatus.LATCHED, causes.EMERGENCY_STOP)
    stopped = peer.pose
    peer.send_all(path[20:30])
    assert peer.status.state == DriverStatus.LATCHED
    assert peer.pose == pytest.approx(stopped, abs=0.15)
    assert peer.call("reset").success
    peer.wait_for(DriverStatus.HOLD)


def test_an_unplugged_servo_latches_by_name(bench: Bench) -> None:
    peer = bench.drive()
    bench.arm.client.fault("servo_off", 3)
    peer.wait_for(DriverStatus.LATCHED, causes.SERVO_LOST)
    assert "elbow_flex" in peer.status.message
    assert not peer.call("reset").success
    bench.arm.client.fault("servo_on", 3)
    peer.wait(lambda: peer.call("reset").success, "reset accepted")
    peer.wait_for(DriverStatus.HOLD)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (("status", 2, 32), causes.OVERLOAD),
        (("temperature", 4, 80), causes.OVERHEAT),
        (("voltage", 3.5), causes.VOLTAGE),
        (("power_cycle",), causes.TORQUE_LOST),
    ],
)
def test_a_servo_in_distress_latches(bench: Bench, fault: tuple[Any, ...], cause: str) -> None:
    peer = bench.drive()
    bench.arm.client.fault(*fault)
    peer.wait_for(DriverStatus.LATCHED, cause)
    bench.arm.client.fault("clear")
    peer.wait(lambda: peer.call("reset").success, "reset accepted")
    peer.wait_for(DriverStatus.HOLD)


def test_noise_on_the_bus_ends_the_following_and_no_false_position_is_published(bench: Bench) -> None:
    peer = bench.drive()
    goal = np.array(peer.status.goal)
    peer.send_all(np.tile(goal, (5, 1)))
    assert peer.status.state == DriverStatus.ENGAGED
    bench.arm.client.fault("corrupt", 5)
    peer.states.clear()
    for _ in range(300):
        peer.send(goal)
        peer.spin(1 / 30)
        if peer.status.state == DriverStatus.HOLD:
            break
    assert peer.status.cause == causes.BUS_NOISE
    peer.spin(0.5)
    for state in peer.states:
        assert np.array(state.position) == pytest.approx(goal, abs=0.1)
    bench.arm.client.fault("clear")
    peer.wait(lambda: peer.telemetry[-1].answered == [True] * 6, "sound readings")
    bench.drive()  # resets, should a servo have been silent for so long that it counted as lost
    peer.send_all(np.tile(goal, (10, 1)))
    assert peer.status.state == DriverStatus.ENGAGED


def test_a_second_node_that_commands_the_arm_raises_an_alarm(bench: Bench) -> None:
    peer = bench.drive()
    foreign = peer.node.create_publisher(JointState, "joint_command", JOINT_COMMAND)
    peer.wait(lambda: "2 nodes publish joint_command" in peer.status.message, "the alarm")
    peer.node.destroy_publisher(foreign)
    peer.wait(lambda: "joint_command" not in peer.status.message, "the end of the alarm")


def test_a_second_node_that_commands_a_remapped_arm_raises_the_alarm_too(bench: Bench) -> None:
    peer = bench.drive("-r joint_command:=/cmd", "-r __ns:=/left", "-r driver_status:=/driver_status",
                       "-r joint_states:=/joint_states", "-r joint_limits:=/joint_limits")  # fmt: skip
    entries: dict[str, DiagnosticStatus] = {}

    def hear(array: DiagnosticArray) -> None:
        entries.update({entry.name: entry for entry in array.status if entry.name.startswith("left/")})

    def level() -> bytes | None:
        return entries["left/so101_driver: commands"].level if entries else None

    listening = peer.node.create_subscription(DiagnosticArray, "/diagnostics", hear, 10)
    commanders = [peer.node.create_publisher(JointState, "/cmd", JOINT_COMMAND) for _ in range(2)]
    peer.wait(lambda: "2 nodes publish /cmd" in peer.status.message, "the alarm")
    peer.wait(lambda: level() == DiagnosticStatus.WARN, "the entry")
    peer.node.destroy_publisher(commanders.pop())
    peer.wait(lambda: "/cmd" not in peer.status.message, "the end of the alarm")
    peer.wait(lambda: level() == DiagnosticStatus.OK, "the entry that all is well")
    assert set(entries) == {f"left/so101_driver: {part}" for part in ("arm", "temperature", "calibration", "commands")}
    peer.node.destroy_publisher(commanders.pop())
    peer.node.destroy_subscription(listening)


def test_a_port_that_went_away_is_found_again(bench: Bench) -> None:
    peer = bench.drive()
    bench.arm.client.fault("unplug", 0.5)
    peer.wait_for(DriverStatus.NO_BUS, causes.PORT_LOST)
    assert "\n" not in peer.status.message
    peer.wait_for(DriverStatus.HOLD)


def test_deactivated_it_holds_and_activated_again_it_follows(bench: Bench) -> None:
    peer = bench.drive()
    client = peer.node.create_client(ChangeState, "so101_driver/change_state")
    assert client.wait_for_service(PATIENCE_S)

    def change(transition: int) -> None:
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        peer.wait(future.done, f"transition {transition}")
        assert future.result().success

    before = true_pose(bench.arm)
    for on_the_way in ((), (Transition.TRANSITION_CLEANUP, Transition.TRANSITION_CONFIGURE)):
        change(Transition.TRANSITION_DEACTIVATE)
        assert "activate it: ros2 lifecycle set /so101_driver activate" in peer.call("reset").message
        peer.wait_for(DriverStatus.HOLD, causes.STOPPING)
        assert not peer.call("park").success
        for transition in on_the_way:
            change(transition)
        change(Transition.TRANSITION_ACTIVATE)
        peer.wait_for(DriverStatus.HOLD, "")
        assert true_pose(bench.arm) == pytest.approx(before, abs=0.02)
        peer.send_all(np.tile(np.array(peer.status.goal), (10, 1)))
        assert peer.status.state == DriverStatus.ENGAGED


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ending_it_leaves_the_arm_holding(bench: Bench, how: int) -> None:
    peer = bench.drive()
    peer.send_all(wave(np.array(peer.status.goal))[:20])  # in the middle of a motion
    code, said = bench.end(how)
    assert code == 0
    assert "Traceback" not in said
    assert torques(bench.arm) == [1] * 6


def test_a_killed_driver_starts_again_without_moving_the_arm(bench: Bench) -> None:
    peer = bench.drive()
    peer.send_all(wave(np.array(peer.status.goal))[:30])
    first_id = peer.status.driver_id
    bench.end(signal.SIGKILL)
    peer.spin(0.3)
    before = true_pose(bench.arm)
    bench.drive()
    assert peer.status.driver_id != first_id
    assert list(peer.status.torque) == [True] * 6
    assert true_pose(bench.arm) == pytest.approx(before, abs=0.02)


def test_in_shadow_commands_are_followed_on_paper_only(bench: Bench) -> None:
    peer = bench.drive("shadow:=true")
    before = true_pose(bench.arm)
    poses = wave(np.array(peer.status.goal))[:25]

    def engages() -> bool:  # what the driver says may arrive well before it hears: discovery takes up to 2 s
        peer.send(poses[0])
        return peer.status.state == DriverStatus.ENGAGED

    peer.wait(engages, "a driver that hears commands")
    peer.send_all(poses)
    assert peer.status.shadow
    assert peer.status.state == DriverStatus.ENGAGED
    assert true_pose(bench.arm) == pytest.approx(before, abs=0.02)


def test_park_release_and_reset_of_an_arm_that_rests_when_parked(bench: Bench) -> None:
    peer = bench.drive("rests_when_parked:=true")
    assert peer.call("park").success
    peer.wait(lambda: peer.status.parked, "parked")
    assert peer.call("release").success
    peer.wait_for(DriverStatus.RELEASED)
    assert list(peer.status.torque) == [False] * 6
    assert peer.call("reset").success
    peer.wait_for(DriverStatus.HOLD)
    assert list(peer.status.torque) == [True] * 6


def test_an_arm_that_is_left_alone_parks_and_rests_and_a_warm_servo_is_told(bench: Bench) -> None:
    peer = bench.drive("rests_when_parked:=true", "hold_limit_s:=1.0")
    peer.wait_for(DriverStatus.RELEASED, causes.HOLD_LIMIT)
    assert "hold_limit_s" in peer.status.message
    assert peer.status.parked
    assert list(peer.status.torque) == [False] * 6
    bench.arm.client.fault("temperature", 2, 58)
    peer.wait(lambda: "shoulder_lift 58 deg C: warm" in peer.status.message, "a word about the warm servo")
    bench.arm.client.fault("clear")


def slip(bench: Bench, steps: int) -> None:
    bench.arm.client.fault("slip", 5, steps)


def test_a_joint_that_is_pushed_over_the_encoders_seam_latches_where_it_stands(bench: Bench) -> None:
    """LeRobot gives wrist_roll a whole turn: near its end the servo's next count is 0."""
    bench.end(signal.SIGINT)
    bench.arm.client.fault("clear")
    release_all(bench.arm)
    slip(bench, 1990)
    peer = bench.peer
    peer.forget()
    bench.current, bench.parameters = Driver(*parameters_for(bench.arm)), ("over the seam",)
    try:
        peer.wait_for(DriverStatus.HOLD)
        peer.wait(lambda: len(peer.states) > 2, "joint_states")
        before, pose = true_pose(bench.arm), peer.pose
        slip(bench, 2090)
        peer.wait_for(DriverStatus.LATCHED, causes.POSITION_JUMP)
        peer.spin(1.0)
        assert np.array(peer.states[-1].position) == pytest.approx(pose, abs=0.3)
        assert true_pose(bench.arm) == pytest.approx(before, abs=0.3)
        assert "wrist_roll went over the encoder's 0/4095 seam" in peer.status.message
        answer = peer.call("reset")
        assert not answer.success
        assert "turn the joint back" in answer.message
    finally:
        bench.end(signal.SIGINT)
        release_all(bench.arm)
        bench.arm.client.fault("clear")


def release_all(arm: RunningVirtualArm) -> None:
    bus = FeetechBus(str(arm.port), reply_timeout_s=0.1)
    bus.open()
    for servo_id in range(1, 7):
        bus.write_register(servo_id, reg.TORQUE_ENABLE, 0)
    bus.close()


def test_with_release_on_exit_the_arm_ends_limp_and_wrong_settings_keep_it_so(bench: Bench, tmp_path: Path) -> None:
    bench.drive("release_on_exit:=true")
    assert bench.end(signal.SIGINT)[0] == 0
    assert torques(bench.arm) == [0] * 6
    content = json.loads(bench.arm.calibration.read_text())
    content["elbow_flex"]["homing_offset"] += 7
    (tmp_path / "virtual.json").write_text(json.dumps(content))
    peer = bench.drive(f"calibration_dir:={tmp_path}", until=DriverStatus.RELEASED)
    peer.wait_for(DriverStatus.RELEASED, causes.SETTINGS_MISMATCH)
    assert "elbow_flex Homing_Offset" in peer.status.message
    assert "configure_servos" in peer.status.message
    assert list(peer.status.torque) == [False] * 6
    code, said = bench.end(signal.SIGINT)
    assert code == 0
    (line,) = (line for line in said.splitlines() if causes.SETTINGS_MISMATCH in line)
    assert "[ERROR]" in line
    assert "keeps holding" not in said  # it never held


def scheduling(pid: int) -> list[int]:
    """The policy of each thread of a process."""
    return [os.sched_getscheduler(int(task.name)) for task in Path(f"/proc/{pid}/task").iterdir()]


def test_every_thread_has_precedence_so_that_commands_are_heard_on_a_busy_computer(bench: Bench) -> None:
    try:
        os.sched_setscheduler(threading.get_native_id(), os.SCHED_RR, os.sched_param(1))
        os.sched_setscheduler(threading.get_native_id(), os.SCHED_OTHER, os.sched_param(0))
    except PermissionError:
        pytest.skip("real-time priority is not permitted here")
    bench.drive()
    assert bench.current is not None
    policies = scheduling(bench.current.process.pid)
    assert len(policies) > 5  # those of DDS receive the commands
    assert set(policies) == {os.SCHED_RR, os.SCHED_FIFO}
    assert policies.count(os.SCHED_FIFO) == 1  # the bus
    bench.drive("tick_priority:=0", "niceness:=0")
    assert bench.current is not None
    assert set(scheduling(bench.current.process.pid)) == {os.SCHED_OTHER}


def test_without_the_right_to_it_the_driver_says_what_to_type_and_drives(bench: Bench) -> None:
    bench.end(signal.SIGINT)
    bench.peer.forget()
    bench.current = Driver(*parameters_for(bench.arm), through=WITHOUT_SYS_NICE)
    bench.parameters = ("without precedence",)
    bench.peer.wait_for(DriverStatus.HOLD)
    assert set(scheduling(bench.current.process.pid)) == {os.SCHED_OTHER}
    code, said = bench.end(signal.SIGINT)
    assert code == 0
    (line,) = (line for line in said.splitlines() if "precedence" in line)
    assert "WARN" in line
    assert "real-time priority 5 and niceness -10 not permitted" in line
    assert "sudo tee /etc/security/limits.d/so101.conf" in line


def test_gains_other_than_lerobots_are_refused_with_the_parameter_that_keeps_them_and_accepted_with_it(
    bench: Bench,
) -> None:
    bench.end(signal.SIGINT)
    release_all(bench.arm)
    write_gain(bench.arm, 32)
    try:
        peer = bench.drive(until=DriverStatus.RELEASED)
        peer.wait_for(DriverStatus.RELEASED, causes.SETTINGS_MISMATCH)
        assert "set position_p_coefficient: 32 of so101_driver" in peer.status.message
        peer = bench.drive("position_p_coefficient:=32")
        assert list(peer.states[-1].effort) == []  # N m, which no STS3215 measures
        assert len(peer.states[-1].position) == 6
    finally:
        bench.end(signal.SIGINT)
        release_all(bench.arm)
        write_gain(bench.arm, 16)


def write_gain(arm: RunningVirtualArm, value: int) -> None:
    bus = FeetechBus(str(arm.port), reply_timeout_s=0.1)
    bus.open()
    for servo_id in range(1, 7):
        bus.write_register(servo_id, reg.P_COEFFICIENT, value)
    bus.close()


def failed_start(bench: Bench, *parameters: str) -> str:
    """The one error line of a driver that cannot start."""
    bench.end(signal.SIGINT)
    driver = Driver(*parameters_for(bench.arm, *parameters))
    try:
        code, said = driver.wait()
    finally:
        driver.kill()
    assert code == (78 if "error: parameter" in said else 1)
    assert "Traceback" not in said
    errors = [line for line in said.splitlines() if not line.startswith("[INFO] ")]
    assert len(errors) == 1, said
    return errors[0]


def test_a_missing_calibration_is_one_line_with_the_command_that_makes_it(bench: Bench) -> None:
    said = failed_start(bench, "robot_id:=nobody")
    assert f"lerobot-calibrate --robot.type=so101_follower --robot.port={bench.arm.port} --robot.id=nobody" in said


def test_a_missing_port_is_one_line(bench: Bench) -> None:
    assert "/dev/ttyACM77 does not exist" in failed_start(bench, "port:=/dev/ttyACM77")


def test_a_port_that_is_not_there_yet_is_waited_for_and_what_its_arm_wrote_is_read_then(
    bench: Bench, tmp_path: Path
) -> None:
    bench.end(signal.SIGINT)
    bench.peer.forget()
    folder = tmp_path / "arm"
    driver = Driver(
        f"port:={folder / bench.arm.port.name}",
        "robot_id:=virtual",
        f"calibration_dir:={folder / 'calibration'}",
        "reply_timeout_s:=0.02",
        "wait_for_port_s:=120.0",
    )
    try:
        bench.peer.wait(lambda: bool(bench.peer.node.get_publishers_info_by_topic("/joint_limits")), "the driver is up")
        with running_virtual_arm(sim_dir=folder):
            bench.peer.wait_for(DriverStatus.HOLD)
            code, said = driver.end()
    finally:
        driver.kill()
    assert (code, "error" in said) == (0, False), said


def test_a_port_that_does_not_come_is_named_once_the_wait_is_over(bench: Bench) -> None:
    assert "/dev/ttyACM77 does not exist" in failed_start(bench, "port:=/dev/ttyACM77", "wait_for_port_s:=0.3")


def test_a_range_that_crossed_the_seam_while_it_was_recorded_is_one_line(bench: Bench, tmp_path: Path) -> None:
    content = json.loads(bench.arm.calibration.read_text())
    content["elbow_flex"].update(range_min=2, range_max=4090)
    (tmp_path / "virtual.json").write_text(json.dumps(content))
    said = failed_start(bench, f"calibration_dir:={tmp_path}")
    assert "elbow_flex has the range 2..4090, nearly a full turn" in said


def test_a_port_in_use_is_one_line(bench: Bench) -> None:
    bench.end(signal.SIGINT)
    bus = FeetechBus(str(bench.arm.port))
    bus.open()
    try:
        assert "in use" in failed_start(bench)
    finally:
        bus.close()


def test_a_dead_servo_at_the_start_is_one_line(bench: Bench) -> None:
    bench.arm.client.fault("servo_off", 5)
    try:
        assert "wrist_roll (id 5)" in failed_start(bench)
    finally:
        bench.arm.client.fault("clear")


def test_a_parameter_out_of_range_is_one_line(bench: Bench) -> None:
    assert "command_timeout_s" in failed_start(bench, "command_timeout_s:=60.0")


def test_a_pose_to_park_in_that_the_arm_cannot_take_is_one_line_with_one_that_it_can(bench: Bench) -> None:
    said = failed_start(bench, "park_positions:=[0.0, -1.2, 3.0, 1.0, 0.0, -0.5]")
    assert "elbow_flex is 3, its range -" in said
    assert "park_positions: [0.0, -1.2, 1." in said


def test_the_entry_point_imports_next_to_nothing() -> None:
    """Or a signal during the imports would come before anybody minds it."""
    code = "import sys, so101_driver.ros.start; print(len({'numpy', 'rclpy', 'scservo_sdk'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n"
