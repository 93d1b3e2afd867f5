# SPDX-License-Identifier: Apache-2.0
"""Robots and server find each other, agree or say why not, in any order of starting; over real DDS."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from dds_robot import DOMAIN, JOINTS, WAIT_S, Robot, RunningServer
from so101_msgs.msg import ActionChunk, PolicyStatus
from so101_policy_server.lerobot.library import load as load_lerobot
from so101_policy_server.policy import PolicyLoadError


@pytest.fixture
def keep() -> Iterator[Callable]:
    """Closes what it is given, last first."""
    things: list = []

    def remember(thing):
        things.append(thing)
        return thing

    yield remember
    for thing in reversed(things):
        thing.close()


def test_a_real_policy_answers_over_dds(keep, tiny_act: Path) -> None:
    server = keep(RunningServer(load_lerobot, pretrained_name_or_path=str(tiny_act), torch_threads=1))
    robot = keep(Robot(cameras=("front", "wrist", "top")))
    robot.send_spec(policy_type="act", actions_per_chunk=30)
    robot.wait_until_heard()
    status = robot.statuses[-1]
    assert (status.policy_type, status.path, status.device, status.horizon) == ("act", str(tiny_act), "cpu", 50)
    assert list(status.cameras) == ["front", "wrist", "top"]
    assert list(status.camera_shapes) == [3, 48, 64] * 3
    assert list(status.joint_names) == JOINTS
    assert (status.n_obs_steps, status.supports_rtc) == (1, False)
    assert math.isnan(status.inference_p50)
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    import cv2

    robot.ask(1)
    for camera in robot.cameras:
        robot.show(camera, 1, cv2.imencode(".png", picture)[1].tobytes())
    chunk = robot.answer_to(1)
    assert (chunk.status, chunk.message, chunk.rows) == (ActionChunk.OK, "", 30)
    assert np.isfinite(chunk.positions).all()
    assert robot.wait(lambda: robot.statuses[-1].answered == 1)
    assert robot.statuses[-1].inference_p50 == pytest.approx(chunk.inference)
    assert server.node.is_active


def test_a_robot_that_was_there_first_is_served_once_the_policy_is_loaded(keep, examples, spy_policy) -> None:
    robot = keep(Robot())
    robot.send_spec()
    may_load = threading.Event()

    def loader(_source, progress):
        progress("importing LeRobot")
        assert may_load.wait(WAIT_S)
        return spy_policy(examples.description())

    keep(RunningServer(loader, pretrained_name_or_path="/models/pick"))
    assert robot.wait(lambda: robot.statuses and "importing LeRobot" in robot.statuses[-1].message)
    assert robot.statuses[-1].state == PolicyStatus.LOADING
    robot.ask(1)
    chunk = robot.answer_to(1)
    assert (chunk.status, chunk.rows) == (ActionChunk.NOT_READY, 0)
    assert chunk.retry_after > 0
    may_load.set()
    robot.wait_until_heard()
    robot.ask(2)
    for camera in robot.cameras:
        robot.show(camera, 2, examples.png())
    assert robot.answer_to(2).status == ActionChunk.OK


def test_the_heartbeat_goes_on_while_a_policy_loads_and_while_it_infers(keep, examples, spy_policy) -> None:
    class Slow(spy_policy):
        def infer(self, observation, leftover):
            time.sleep(1.0)
            return super().infer(observation, leftover)

    def loader(_source, _progress):
        time.sleep(1.0)
        return Slow(examples.description())

    robot = keep(Robot())
    robot.send_spec()
    keep(RunningServer(loader, pretrained_name_or_path="/models/pick"))
    assert robot.wait(lambda: len([s for s in robot.statuses if s.state == PolicyStatus.LOADING]) >= 4)
    robot.wait_until_heard()
    robot.ask(1)
    for camera in robot.cameras:
        robot.show(camera, 1, examples.png())
    assert robot.wait(lambda: len([s for s in robot.statuses if s.busy_request_id == 1]) >= 3)
    assert robot.statuses[-1].busy_session == robot.session
    robot.answer_to(1)
    numbers = [status.sequence for status in robot.statuses]
    assert numbers == sorted(set(numbers))


def test_a_missing_folder_is_an_error_that_every_request_gets(keep) -> None:
    keep(RunningServer(load_lerobot, pretrained_name_or_path="/no/such/run"))
    robot = keep(Robot())
    robot.send_spec()
    assert robot.wait(lambda: robot.statuses and robot.statuses[-1].state == PolicyStatus.ERROR)
    reason = "Failed to load policy: no folder /no/such/run"
    assert robot.statuses[-1].message.startswith(reason)
    robot.ask(1)
    chunk = robot.answer_to(1)
    assert chunk.status == ActionChunk.POLICY_ERROR
    assert chunk.message.startswith(reason)


def test_a_loader_that_fails_in_its_own_way_is_an_error_too(keep) -> None:
    def loader(_source, _progress):
        raise MemoryError("no room\nfor weights")

    keep(RunningServer(loader, pretrained_name_or_path="/models/pick"))
    robot = keep(Robot())
    assert robot.wait(lambda: robot.statuses and robot.statuses[-1].state == PolicyStatus.ERROR)
    assert robot.statuses[-1].message == "Failed to load policy: /models/pick: MemoryError: no room for weights"


def test_a_spec_that_does_not_fit_is_rejected_by_name_and_a_corrected_one_accepted(keep, examples, spy_policy) -> None:
    keep(RunningServer(lambda _s, _p: spy_policy(examples.description()), pretrained_name_or_path="/models/pick"))
    robot = keep(Robot())
    robot.send_spec(cameras=["front", "side"], fps=15.0)
    assert robot.wait(lambda: robot.statuses and robot.statuses[-1].state == PolicyStatus.ERROR)
    message = robot.statuses[-1].message
    assert message.startswith("spec rejected: the policy reads camera wrist: the robot has front, side; start a camera")
    assert "fps is 15: the server's policy runs at fps 30" in message
    robot.ask(1)
    chunk = robot.answer_to(1)
    assert chunk.status == ActionChunk.SPEC_REJECTED
    assert "the policy reads camera wrist" in chunk.message
    robot.spec_id = 10
    robot.send_spec()
    robot.wait_until_heard()


def test_a_policy_that_raises_answers_with_an_error_and_lives_on(keep, examples, spy_policy) -> None:
    class Moody(spy_policy):
        def infer(self, observation, leftover):
            if not self.asked:
                self.asked.append(())
                raise ZeroDivisionError("division by zero")
            return super().infer(observation, leftover)

    keep(RunningServer(lambda _s, _p: Moody(examples.description()), pretrained_name_or_path="/models/pick"))
    robot = keep(Robot())
    robot.send_spec()
    robot.wait_until_heard()
    for request_id in (1, 2):
        robot.ask(request_id)
        for camera in robot.cameras:
            robot.show(camera, request_id, examples.png())
        robot.answer_to(request_id)
    first, second = robot.answer_to(1), robot.answer_to(2)
    assert (first.status, first.message) == (ActionChunk.POLICY_ERROR, "ZeroDivisionError: division by zero")
    assert second.status == ActionChunk.OK


def test_a_new_session_resets_the_policy(keep, examples, spy_policy) -> None:
    policy = spy_policy(examples.description())
    keep(RunningServer(lambda _s, _p: policy, pretrained_name_or_path="/models/pick"))
    robot = keep(Robot())
    robot.send_spec()
    robot.wait_until_heard()
    resets = []
    for session, request_id in ((7, 1), (7, 2), (8, 1)):
        robot.session = session
        robot.chunks.clear()
        robot.ask(request_id)
        for camera in robot.cameras:
            robot.show(camera, request_id, examples.png())
        robot.answer_to(request_id)
        resets.append(policy.resets)
    assert resets == [1, 1, 2]


def test_two_robots_in_their_namespaces_each_get_their_own_chunks(keep, examples, spy_policy) -> None:
    policy = spy_policy(examples.description())
    keep(RunningServer(lambda _s, _p: policy, pretrained_name_or_path="/models/pick", robots=["/left", "/right"]))
    robots = [keep(Robot("/left", session=1)), keep(Robot("/right", session=2))]
    for robot in robots:
        robot.send_spec()
    for robot in robots:
        robot.wait_until_heard()
    for seed, robot in enumerate(robots):
        robot.ask(1, positions=[0.1 * seed] * 6)
        for camera in robot.cameras:
            robot.show(camera, 1, examples.png(seed))
    for robot in robots:
        assert robot.answer_to(1).session == robot.session
    for observation, _ in policy.asked:
        seed = round(np.radians(observation.state[0, 0]) / 0.1)
        for pictures in observation.images.values():
            assert np.array_equal(pictures[0], examples.picture(seed))


def test_a_server_that_leaves_says_goodbye(keep, examples, spy_policy) -> None:
    server = RunningServer(lambda _s, _p: spy_policy(examples.description()), pretrained_name_or_path="/models/pick")
    robot = keep(Robot())
    robot.send_spec()
    robot.wait_until_heard()
    server.close()
    assert robot.wait(lambda: robot.statuses[-1].leaving)


class Process:
    """The executable with parameters, its output in a file."""

    def __init__(self, folder: Path, **parameters: object) -> None:
        self._output = folder / "output"
        command = [sys.executable, "-m", "so101_policy_server.ros.policy_server_node", "--ros-args"]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={value}"]
        environment = os.environ | {"ROS_DOMAIN_ID": str(DOMAIN), "PYTHONUNBUFFERED": "1"}
        with self._output.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)

    def output(self) -> str:
        return self._output.read_text()

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + WAIT_S
        while text not in self.output():
            assert self.process.poll() is None and time.monotonic() < end, self.output()
            time.sleep(0.05)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def test_the_executable_says_what_it_does_and_leaves_cleanly_even_while_loading(keep, tmp_path, tiny_act) -> None:
    server = keep(Process(tmp_path, pretrained_name_or_path=tiny_act))
    server.wait_for("PolicyServer started")
    time.sleep(0.5)  # in the middle of importing torch
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(WAIT_S) == 0, server.output()
    for word in ("Traceback", "terminate", "Policy ready"):
        assert word not in server.output()


def test_the_executable_stays_up_with_an_error_when_the_folder_is_missing(keep, tmp_path) -> None:
    server = keep(Process(tmp_path, pretrained_name_or_path="/no/such/run"))
    robot = keep(Robot())
    robot.send_spec()
    assert robot.wait(lambda: robot.statuses and robot.statuses[-1].state == PolicyStatus.ERROR)
    server.wait_for("Failed to load policy: no folder /no/such/run")
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(WAIT_S) == 0
    assert "Traceback" not in server.output()


def test_a_server_that_nobody_named_a_policy_for_says_so(keep, tmp_path) -> None:
    server = keep(Process(tmp_path))
    server.wait_for("no policy: set pretrained_name_or_path")


def test_a_wrong_parameter_is_one_line_and_exit_code_78(keep, tmp_path) -> None:
    server = keep(Process(tmp_path, policy_device="gpu"))
    assert server.process.wait(WAIT_S) == 78
    (line,) = server.output().strip().splitlines()
    assert re.search(r"policy_device = 'gpu': must be cpu, cuda, cuda:N or mps", line)


STUCK = """
import sys, time
sys.path.insert(0, {folder!r})
from conftest import Examples, SpyPolicy
from so101_node.process import run_node
from so101_policy_server.ros.policy_server_node import PolicyServerNode
class Stuck(SpyPolicy):
    def infer(self, observation, leftover):
        time.sleep(3600)
sys.exit(run_node(lambda: PolicyServerNode(lambda source, progress: Stuck(Examples().description()))))
"""


def test_an_inference_that_never_returns_ends_the_server_for_its_respawn(keep, tmp_path, examples) -> None:
    command = [sys.executable, "-c", STUCK.format(folder=str(Path(__file__).parent)), "--ros-args"]
    command += ["-p", "pretrained_name_or_path:=/models/pick", "-p", "inference_timeout_s:=0.6"]
    environment = os.environ | {"ROS_DOMAIN_ID": str(DOMAIN)}
    output = tmp_path / "output"
    with output.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    try:
        robot = keep(Robot())
        robot.send_spec()
        robot.wait_until_heard()
        robot.ask(1)
        for camera in robot.cameras:
            robot.show(camera, 1, examples.png())
        assert process.wait(WAIT_S) == 1, output.read_text()
        assert robot.wait(lambda: robot.statuses[-1].state == PolicyStatus.ERROR)
        assert robot.statuses[-1].message == (
            "inference of request 1 has not returned within inference_timeout_s = 0.6 s"
        )
        assert "Traceback" not in output.read_text()
    finally:
        process.kill()
        process.wait()


def test_failures_of_loading_are_told_apart_from_failures_of_the_loader() -> None:
    with pytest.raises(PolicyLoadError, match="no folder"):
        load_lerobot(source("/no/such/run"), lambda _text: None)


def source(path: str):
    from so101_policy_server.policy import PolicySource

    return PolicySource(path)
