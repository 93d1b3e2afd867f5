# SPDX-License-Identifier: Apache-2.0
"""The expert behind the real policy server, in its own process and over real DDS, as an action queue would use it."""

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest, PolicySpec, PolicyStatus
from so101_node.protocol import JOINT_NAMES
from so101_node.topics import qos
from so101_sim.arm.shared_state import SharedState, StateSnapshot
from so101_sim.core.joints import HOME, JointRanges
from so101_sim.virtual_arm_client import STATE_NAME
from so101_sim.world import scene

MODEL = scene.build_model()
FRAME = cv2.imencode(".png", np.zeros((scene.IMAGE_HEIGHT, scene.IMAGE_WIDTH, 3), np.uint8))[1].tobytes()
POSE = JointRanges.of(MODEL).to_driver(np.array(HOME)).tolist()
CAMERAS = ("top", "wrist")


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
        self._frames = {
            camera: peer.node.create_publisher(ObservationImage, f"{camera}/observation", qos.OBSERVATION)
            for camera in CAMERAS
        }
        self.spec_id = 0
        self.request_id = 0

    @property
    def session(self) -> int:
        return 100 + self.spec_id

    def connect(
        self, cameras: tuple[str, ...] = CAMERAS, joints: tuple[str, ...] = JOINT_NAMES, fps: float = 30.0
    ) -> None:
        self.spec_id += 1
        spec = PolicySpec(session=self.session, spec_id=self.spec_id, fps=fps, actions_per_chunk=50)
        spec.cameras, spec.joint_names = list(cameras), list(joints)
        self._spec.publish(spec)
        assert self.peer.wait(lambda: self.statuses and self.statuses[-1].spec_id == self.spec_id)
        assert self.peer.wait(lambda: self._request.get_subscription_count() == 1)
        for camera, publisher in self._frames.items():
            assert self.peer.wait(lambda p=publisher, c=camera: p.get_subscription_count() == (c in cameras))

    def ask(self, **changes: Any) -> int:
        """Sends a request twice, as the queue does, and returns its id."""
        self.request_id += 1
        values = {"step": 40, "history": 1, "joint_names": JOINT_NAMES, "positions": POSE, "spec_id": self.spec_id}
        message = ObservationRequest(session=self.session, request_id=self.request_id, **{**values, **changes})
        for _ in range(2):
            self._request.publish(message)
        return self.request_id

    def send_frames(self, request_id: int) -> None:
        for camera, publisher in self._frames.items():
            frame = ObservationImage(session=self.session, request_id=request_id, camera=camera, frame_seq=request_id)
            frame.image.format, frame.image.data = "png", FRAME
            publisher.publish(frame)

    def ask_and_show(self, **changes: Any) -> int:
        request_id = self.ask(**changes)
        self.send_frames(request_id)
        return request_id

    def answer(self, request_id: int) -> ActionChunk:
        def answers() -> list[ActionChunk]:
            return [chunk for chunk in self.chunks if chunk.request_id == request_id]

        assert self.peer.wait(lambda: len(answers()) >= 2), f"request {request_id} was not answered twice"
        self.peer.spin_for(0.1)
        assert len(answers()) == 2
        assert answers()[0] == answers()[1]
        return answers()[0]


def start(peer: Any, sim_dir: Path, **parameters: Any) -> Any:
    """The policy server with the expert, named as sim.launch.xml names it."""
    values = {"policy_library": "expert", "pretrained_name_or_path": sim_dir, "server_name": "expert_policy"}
    return peer.start("so101_policy_server.ros.start", **values, **parameters)


def ready(robot: Robot) -> Robot:
    """The robot, once the expert is loaded."""
    assert robot.peer.wait(lambda: robot.statuses and robot.statuses[-1].state == PolicyStatus.READY)
    return robot


@pytest.fixture
def robot(peer: Any) -> Robot:
    """With no expert yet."""
    return Robot(peer)


@pytest.fixture(scope="module")
def served_robot(module_peer: Any, sim_dir: Path) -> Robot:
    """With an expert that serves all tests of this module which need no other: each takes ids of its own."""
    start(module_peer, sim_dir, obs_queue_timeout=2.0)
    return ready(Robot(module_peer))


def test_it_is_ready_without_torch_and_says_goodbye(sim_dir: Path, robot: Robot) -> None:
    node = start(robot.peer, sim_dir)
    status = ready(robot).statuses[-1]
    libraries = Path(f"/proc/{node.process.pid}/maps").read_text()
    assert "mujoco" in libraries and "torch" not in libraries
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
    robot.connect()
    chunks = []
    for step in (40, 65):
        chunk = robot.answer(robot.ask_and_show(step=step))
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
    served_robot.connect()
    chunk = served_robot.answer(served_robot.ask())
    assert chunk.status == ActionChunk.OBSERVATION_INCOMPLETE
    assert chunk.message == "no frame from camera top, wrist within obs_queue_timeout = 2 s"
    assert chunk.server_total >= 2.0
    assert (chunk.rows, len(chunk.positions)) == (0, 0)


def test_a_newer_request_takes_the_place_of_one_that_waits(served_robot: Robot) -> None:
    robot = served_robot
    robot.connect()
    first, second = robot.ask(), robot.ask_and_show()
    assert robot.answer(first).status == ActionChunk.SUPERSEDED
    assert robot.answer(second).status == ActionChunk.OK


def test_a_request_that_does_not_fit_is_refused_and_the_next_one_is_answered(served_robot: Robot) -> None:
    robot = served_robot
    robot.connect()
    assert robot.answer(robot.ask(positions=POSE[:5])).status == ActionChunk.BAD_REQUEST
    unknown = robot.answer(robot.ask(spec_id=4711))
    assert unknown.status == ActionChunk.NOT_READY
    assert unknown.retry_after > 0
    assert robot.answer(robot.ask_and_show()).status == ActionChunk.OK


def test_a_spec_with_other_joints_is_an_error_state_until_a_better_one_comes(served_robot: Robot) -> None:
    robot = served_robot
    robot.connect(joints=("left", "right"))
    assert robot.statuses[-1].state == PolicyStatus.ERROR
    assert robot.statuses[-1].message == "spec rejected: joint_names has 2 joints: the policy has 6"
    robot.connect()
    assert robot.statuses[-1].state == PolicyStatus.READY


def test_a_robot_that_names_no_camera_yet_is_told_which_the_expert_waits_for(served_robot: Robot) -> None:
    robot = served_robot
    robot.connect(cameras=())
    status = robot.statuses[-1]
    assert (status.state, list(status.cameras)) == (PolicyStatus.LOADING, ["top", "wrist"])
    assert status.message.startswith("waiting for the robot's cameras: the policy reads top, wrist")


def test_it_keeps_pace_with_a_robot_at_any_rate_and_needs_no_calibration(served_robot: Robot) -> None:
    served_robot.connect(fps=60.0)
    chunk = served_robot.answer(served_robot.ask_and_show())
    assert (chunk.status, chunk.period) == (ActionChunk.OK, pytest.approx(1 / 60))


def test_without_a_virtual_arm_it_is_not_ready_to_answer(robot: Robot, tmp_path: Path) -> None:
    start(robot.peer, tmp_path / "nowhere")
    ready(robot).connect()
    chunk = robot.answer(robot.ask_and_show())
    assert chunk.status == ActionChunk.NOT_READY
    assert "start virtual_arm with this folder first" in chunk.message


def test_a_slow_policy_can_be_tried_out_and_still_beats(sim_dir: Path, robot: Robot) -> None:
    start(robot.peer, sim_dir, min_inference_s=1.0)
    ready(robot).connect()
    heard = len(robot.statuses)
    asked = robot.ask_and_show()
    assert robot.peer.wait(lambda: robot.statuses[-1].busy_request_id == asked)
    chunk = robot.answer(asked)
    assert chunk.status == ActionChunk.OK
    assert chunk.inference >= 1.0
    assert len(robot.statuses) - heard >= 3


def test_without_a_run_folder_it_says_which_parameter_names_it(robot: Robot) -> None:
    robot.peer.start("so101_policy_server.ros.start", policy_library="expert")
    assert robot.peer.wait(lambda: robot.statuses and robot.statuses[-1].state == PolicyStatus.ERROR)
    assert robot.statuses[-1].message == (
        "Failed to load policy: pretrained_name_or_path = '': give the folder that virtual_arm was started with"
    )
