"""The expert as its own process, asked as the action queue asks a policy server."""

import time
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


@pytest.fixture(scope="module")
def sim_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose virtual arm stands still."""
    folder = tmp_path_factory.mktemp("sim")
    data = scene.new_data(MODEL)
    with SharedState.create(folder / STATE_NAME) as file:
        file.write(StateSnapshot(0.0, time.monotonic_ns(), 0, 1, data.qpos, data.qvel))
    return folder


class Robot:
    """The robot's side of the interface."""

    def __init__(self, peer: Any) -> None:
        self.peer = peer
        self.chunks = peer.collect(ActionChunk, "action_chunk", qos.CHUNK_READER)
        self.statuses = peer.collect(PolicyStatus, "policy_status", qos.LATCHED)
        self._spec = peer.node.create_publisher(PolicySpec, "policy_spec", qos.LATCHED)
        self._request = peer.node.create_publisher(ObservationRequest, "observation_request", qos.REQUEST_WRITER)
        self._picture = peer.node.create_publisher(ObservationImage, "top/observation", qos.OBSERVATION)

        self.spec_id = 0
        self.request_id = 0

    @property
    def session(self) -> int:
        return 100 + self.spec_id

    def connect(self, cameras: tuple[str, ...] = (), joints: tuple[str, ...] = JOINT_NAMES) -> None:
        self.spec_id += 1
        spec = PolicySpec(session=self.session, spec_id=self.spec_id, fps=30.0, actions_per_chunk=50)
        spec.cameras, spec.joint_names = list(cameras), list(joints)
        self._spec.publish(spec)
        assert self.peer.wait(lambda: self.statuses and self.statuses[-1].spec_id == self.spec_id)
        assert self.peer.wait(lambda: self._request.get_subscription_count() == 1)
        assert self.peer.wait(lambda: self._picture.get_subscription_count() == ("top" in cameras))

    def ask(self, **changes: Any) -> int:
        """Sends a request twice, as the queue does, and returns its id."""
        self.request_id += 1
        values = {"step": 40, "history": 1, "joint_names": JOINT_NAMES, "positions": POSE, "spec_id": self.spec_id}
        message = ObservationRequest(session=self.session, request_id=self.request_id, **{**values, **changes})
        for _ in range(2):
            self._request.publish(message)
        return self.request_id

    def send_picture(self, request_id: int) -> None:
        self._picture.publish(ObservationImage(session=self.session, request_id=request_id, camera="top"))

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
    """With no expert yet."""
    return Robot(peer)


@pytest.fixture(scope="module")
def served_robot(module_peer: Any, sim_dir: Path) -> Robot:
    """With an expert that serves all tests of this module which need no other: each takes ids of its own."""
    module_peer.start("expert_policy_node", sim_dir=sim_dir, obs_queue_timeout=2.0)
    return Robot(module_peer)


def test_it_is_ready_at_once_and_says_goodbye(sim_dir: Path, robot: Robot) -> None:
    node = robot.peer.start("expert_policy_node", sim_dir=sim_dir)
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


def test_chunks_echo_their_request_and_continue_one_plan(served_robot: Robot) -> None:
    robot = served_robot
    robot.connect(cameras=("top",))
    chunks = []
    for step in (40, 65):
        asked = robot.ask(step=step)
        robot.send_picture(asked)
        chunk = robot.answer(asked)
        assert (chunk.session, chunk.spec_id, chunk.step) == (robot.session, robot.spec_id, step)
        assert (chunk.status, chunk.message, chunk.rows) == (ActionChunk.OK, "", 50)
        assert chunk.server_id == robot.statuses[-1].server_id
        assert chunk.period == pytest.approx(1 / 30)
        assert tuple(chunk.joint_names) == JOINT_NAMES
        assert 0 < chunk.inference <= chunk.server_total < 5
        chunks.append(np.array(chunk.positions).reshape(50, 6))
    np.testing.assert_allclose(chunks[0][0], POSE, atol=0.01)
    np.testing.assert_array_equal(chunks[0][25:], chunks[1][:25])


def test_an_answer_waits_for_the_pictures_and_their_absence_is_named(served_robot: Robot) -> None:
    served_robot.connect(cameras=("top",))
    chunk = served_robot.answer(served_robot.ask())
    assert chunk.status == ActionChunk.OBSERVATION_INCOMPLETE
    assert chunk.message == "no frame of top within 2 s"
    assert chunk.server_total >= 2.0
    assert (chunk.rows, len(chunk.positions)) == (0, 0)


def test_a_newer_request_takes_the_place_of_one_that_waits(served_robot: Robot) -> None:
    robot = served_robot
    robot.connect(cameras=("top",))
    first, second = robot.ask(), robot.ask()
    robot.send_picture(second)
    assert robot.answer(first).status == ActionChunk.SUPERSEDED
    assert robot.answer(second).status == ActionChunk.OK


def test_a_request_that_does_not_fit_is_refused_and_the_next_one_is_answered(served_robot: Robot) -> None:
    robot = served_robot
    robot.connect()
    assert robot.answer(robot.ask(positions=POSE[:5])).status == ActionChunk.BAD_REQUEST
    unknown = robot.answer(robot.ask(spec_id=4711))
    assert unknown.status == ActionChunk.NOT_READY
    assert unknown.retry_after > 0
    assert robot.answer(robot.ask()).status == ActionChunk.OK


def test_a_spec_with_other_joints_is_an_error_state_until_a_better_one_comes(served_robot: Robot) -> None:
    robot = served_robot
    robot.connect(joints=("left", "right"))
    assert robot.statuses[-1].state == PolicyStatus.ERROR
    assert "got left, right" in robot.statuses[-1].message
    robot.connect(cameras=("top",))
    assert robot.statuses[-1].state == PolicyStatus.READY


def test_a_robot_that_names_no_camera_yet_is_told_which_the_expert_waits_for(served_robot: Robot) -> None:
    robot = served_robot
    robot.connect()
    status = robot.statuses[-1]
    assert (status.state, list(status.cameras)) == (PolicyStatus.LOADING, ["top", "wrist"])
    assert status.message == "the expert waits for camera top, wrist, and none of the robot's is there yet"


def test_without_a_virtual_arm_it_is_not_ready_to_answer(robot: Robot, tmp_path: Path) -> None:
    robot.peer.start("expert_policy_node", sim_dir=tmp_path / "nowhere")
    robot.connect()
    chunk = robot.answer(robot.ask())
    assert chunk.status == ActionChunk.NOT_READY
    assert "start virtual_arm with this folder first" in chunk.message


def test_a_slow_policy_can_be_tried_out_and_still_beats(sim_dir: Path, robot: Robot) -> None:
    robot.peer.start("expert_policy_node", sim_dir=sim_dir, min_inference_s=1.0)
    robot.connect()
    heard = len(robot.statuses)
    asked = robot.ask()
    assert robot.peer.wait(lambda: robot.statuses[-1].busy_request_id == asked)
    chunk = robot.answer(asked)
    assert chunk.status == ActionChunk.OK
    assert chunk.inference >= 1.0
    assert len(robot.statuses) - heard >= 3
