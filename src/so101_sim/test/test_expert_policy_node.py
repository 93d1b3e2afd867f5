"""The expert as its own process, asked as the action queue asks a policy server."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest, PolicySpec, PolicyStatus
from so101_sim.joints import HOME, JOINT_NAMES, JointRanges
from so101_sim.shared_state import SharedState, StateSnapshot
from so101_sim.virtual_arm_client import STATE_NAME

from so101_node import qos
from so101_sim import scene

MODEL = scene.build_model()
POSE = JointRanges.of(MODEL).to_driver(np.array(HOME)).tolist()


@pytest.fixture
def sim_dir(tmp_path: Path) -> Path:
    data = scene.new_data(MODEL)
    with SharedState.create(tmp_path / STATE_NAME) as file:
        file.write(StateSnapshot(0.0, time.monotonic_ns(), 0, 1, data.qpos, data.qvel))
    return tmp_path


class Robot:
    """The robot's side of the interface."""

    def __init__(self, peer: Any) -> None:
        self.peer = peer
        self.chunks = peer.collect(ActionChunk, "action_chunk", qos.CHUNK_READER)
        self.statuses = peer.collect(PolicyStatus, "policy_status", qos.LATCHED)
        self._spec = peer.node.create_publisher(PolicySpec, "policy_spec", qos.LATCHED)
        self._request = peer.node.create_publisher(ObservationRequest, "observation_request", qos.REQUEST_WRITER)
        self._picture = peer.node.create_publisher(ObservationImage, "top/observation", qos.OBSERVATION)

    def connect(self, cameras: tuple[str, ...] = (), joints: tuple[str, ...] = JOINT_NAMES) -> None:
        spec = PolicySpec(session=5, spec_id=9, fps=30.0, actions_per_chunk=50, cameras=cameras, joint_names=joints)
        self._spec.publish(spec)
        assert self.peer.wait(lambda: self.statuses and self.statuses[-1].spec_id == 9)
        assert self.peer.wait(lambda: self._request.get_subscription_count() == 1)
        assert self.peer.wait(lambda: self._picture.get_subscription_count() == ("top" in cameras))

    def ask(self, request_id: int, **changes: Any) -> None:
        values = {"session": 5, "spec_id": 9, "step": 40, "history": 1, "joint_names": JOINT_NAMES, "positions": POSE}
        message = ObservationRequest(request_id=request_id, **{**values, **changes})
        for _ in range(2):
            self._request.publish(message)

    def send_picture(self, request_id: int) -> None:
        self._picture.publish(ObservationImage(session=5, request_id=request_id, camera="top"))

    def answer(self, request_id: int) -> ActionChunk:
        def answers() -> list[ActionChunk]:
            return [chunk for chunk in self.chunks if chunk.request_id == request_id]

        assert self.peer.wait(lambda: len(answers()) >= 2), f"request {request_id} was not answered twice"
        self.peer.spin_for(0.1)
        assert len(answers()) == 2
        assert answers()[0] == answers()[1]
        return answers()[0]


@pytest.fixture
def robot(peer: Any) -> Robot:
    return Robot(peer)


def test_it_is_ready_at_once_and_says_goodbye(sim_dir: Path, robot: Robot, start_node: Callable) -> None:
    node = start_node("expert_policy_node", sim_dir=sim_dir)
    assert robot.peer.wait(lambda: robot.statuses)
    status = robot.statuses[0]
    assert (status.state, status.server_name, status.spec_id) == (PolicyStatus.READY, "expert_policy", 0)
    assert status.horizon >= 50
    assert status.server_id != 0
    assert tuple(status.joint_names) == JOINT_NAMES
    assert node.interrupt() == 0
    assert robot.peer.wait(lambda: robot.statuses[-1].leaving)
    assert "PolicyServer started" in node.said
    assert "Traceback" not in node.said


def test_chunks_echo_their_request_and_continue_one_plan(sim_dir: Path, robot: Robot, start_node: Callable) -> None:
    start_node("expert_policy_node", sim_dir=sim_dir)
    robot.connect(cameras=("top",))
    chunks = []
    for request_id, step in ((1, 40), (2, 65)):
        robot.ask(request_id, step=step)
        robot.send_picture(request_id)
        chunk = robot.answer(request_id)
        assert (chunk.session, chunk.request_id, chunk.spec_id, chunk.step) == (5, request_id, 9, step)
        assert (chunk.status, chunk.message, chunk.rows) == (ActionChunk.OK, "", 50)
        assert chunk.server_id == robot.statuses[-1].server_id
        assert chunk.period == pytest.approx(1 / 30)
        assert tuple(chunk.joint_names) == JOINT_NAMES
        assert 0 < chunk.inference <= chunk.server_total < 5
        chunks.append(np.array(chunk.positions).reshape(50, 6))
    np.testing.assert_allclose(chunks[0][0], POSE, atol=0.01)
    np.testing.assert_array_equal(chunks[0][25:], chunks[1][:25])


def test_an_answer_waits_for_the_pictures_and_their_absence_is_named(
    sim_dir: Path, robot: Robot, start_node: Callable
) -> None:
    start_node("expert_policy_node", sim_dir=sim_dir, obs_queue_timeout=0.5)
    robot.connect(cameras=("top",))
    robot.ask(1)
    chunk = robot.answer(1)
    assert chunk.status == ActionChunk.OBSERVATION_INCOMPLETE
    assert chunk.message == "no frame of top within 0.5 s"
    assert chunk.server_total >= 0.5
    assert (chunk.rows, len(chunk.positions)) == (0, 0)


def test_a_newer_request_takes_the_place_of_one_that_waits(sim_dir: Path, robot: Robot, start_node: Callable) -> None:
    start_node("expert_policy_node", sim_dir=sim_dir, obs_queue_timeout=10.0)
    robot.connect(cameras=("top",))
    robot.ask(1)
    robot.ask(2)
    assert robot.answer(1).status == ActionChunk.SUPERSEDED
    robot.send_picture(2)
    assert robot.answer(2).status == ActionChunk.OK


def test_a_request_that_does_not_fit_is_refused(sim_dir: Path, robot: Robot, start_node: Callable) -> None:
    start_node("expert_policy_node", sim_dir=sim_dir)
    robot.connect()
    robot.ask(1, positions=POSE[:5])
    assert robot.answer(1).status == ActionChunk.BAD_REQUEST
    robot.ask(2, spec_id=10)
    unknown = robot.answer(2)
    assert unknown.status == ActionChunk.NOT_READY
    assert unknown.retry_after > 0
    robot.ask(3)
    assert robot.answer(3).status == ActionChunk.OK


def test_a_spec_with_other_joints_is_an_error_state(sim_dir: Path, robot: Robot, start_node: Callable) -> None:
    start_node("expert_policy_node", sim_dir=sim_dir)
    robot.connect(joints=("left", "right"))
    assert robot.statuses[-1].state == PolicyStatus.ERROR
    assert "got left, right" in robot.statuses[-1].message


def test_without_a_virtual_arm_it_is_not_ready_to_answer(robot: Robot, start_node: Callable, tmp_path: Path) -> None:
    start_node("expert_policy_node", sim_dir=tmp_path / "nowhere")
    robot.connect()
    robot.ask(1)
    chunk = robot.answer(1)
    assert chunk.status == ActionChunk.NOT_READY
    assert "start virtual_arm with this folder first" in chunk.message


def test_a_slow_policy_can_be_tried_out_and_still_beats(sim_dir: Path, robot: Robot, start_node: Callable) -> None:
    start_node("expert_policy_node", sim_dir=sim_dir, min_inference_s=1.0)
    robot.connect()
    heard = len(robot.statuses)
    robot.ask(1)
    assert robot.peer.wait(lambda: robot.statuses[-1].busy_request_id == 1)
    chunk = robot.answer(1)
    assert chunk.status == ActionChunk.OK
    assert chunk.inference >= 1.0
    assert len(robot.statuses) - heard >= 3
