"""The scripted expert as a policy server: the same topics, the same messages, no learning and no checkpoint.

It proves the chain from camera to servo before anything is trained. It is the one node that plans from the simulator's
state; a trained policy sees only what the robot sends.
"""

import array
import math
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

os.environ["MUJOCO_GL"] = "disable"  # importing mujoco must not look for a GL library

from rclpy.node import Node
from rclpy.subscription import Subscription
from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest, PolicySpec, PolicyStatus
from so101_node.parameters import declare
from so101_node.precedence import take_precedence
from so101_node.process import NodeError, run_process
from so101_node.qos import CHUNK_WRITER, LATCHED, OBSERVATION, REQUEST_READER
from so101_node.repeat import RepeatPublisher
from so101_node.timers import create_timer

from so101_sim.errors import OutOfReachError, SimulationError
from so101_sim.expert_policy import DEFAULT_ROWS, HORIZON, ExpertPolicy, RequestError, newest_pose
from so101_sim.frame_wait import FrameWait, Key
from so101_sim.joints import JOINT_NAMES
from so101_sim.parameters import ExpertPolicyParameters
from so101_sim.scene import IMAGE_HEIGHT, IMAGE_WIDTH, build_model
from so101_sim.world_view import WorldView

_HEARTBEAT_S = 0.2
_LOOK_FOR_OVERDUE_S = 0.02
_NOT_READY_RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class _Pending:
    request: ObservationRequest
    received_ns: int


@dataclass(frozen=True, slots=True)
class _Work:
    key: Key
    chunk: ActionChunk
    taken_ns: int


class ExpertPolicyNode(Node):
    """Connects the expert to the topics of a policy server."""

    def __init__(self) -> None:
        super().__init__("expert_policy")
        self._settings = declare(self, ExpertPolicyParameters)
        take_precedence(self, self._settings.niceness)
        try:
            model = build_model()
        except SimulationError as error:
            raise NodeError(str(error)) from error
        self._policy = ExpertPolicy(model)
        self._world = WorldView(Path(self._settings.sim_dir), model)
        self._wait = FrameWait(round(self._settings.obs_queue_timeout * 1e9))
        self._pending: dict[Key, _Pending] = {}
        self._spec: PolicySpec | None = None
        self._picture_subscriptions: dict[str, Subscription] = {}
        self._server_id = secrets.randbits(63) + 1
        self._beats = self._answered = self._failed = 0
        self._work: _Work | None = None
        self._finish_timer = create_timer(self, 1.0, self._finish, autostart=False)
        self._chunks = RepeatPublisher(self, ActionChunk, "action_chunk", CHUNK_WRITER)
        self._status = self.create_publisher(PolicyStatus, "policy_status", LATCHED)
        self.create_subscription(PolicySpec, "policy_spec", self._on_spec, LATCHED)
        self.create_subscription(ObservationRequest, "observation_request", self._on_request, REQUEST_READER)
        create_timer(self, _HEARTBEAT_S, self._beat)
        create_timer(self, _LOOK_FOR_OVERDUE_S, self._give_up_overdue)
        self._beat()
        self.get_logger().info("PolicyServer started (scripted expert)")

    def on_exit(self) -> None:
        """Say goodbye, so that a robot need not wait for the loss of the heartbeat."""
        self._beat(leaving=True)
        self._world.close()

    def _on_spec(self, spec: PolicySpec) -> None:
        known = self._spec is not None and self._spec.spec_id == spec.spec_id
        self._spec = spec
        wanted = set(spec.cameras) if self._settings.wait_for_frames else set()
        for camera in self._picture_subscriptions.keys() - wanted:
            self.destroy_subscription(self._picture_subscriptions.pop(camera))
        for camera in wanted - self._picture_subscriptions.keys():
            self._picture_subscriptions[camera] = self.create_subscription(
                ObservationImage, f"{camera}/observation", self._on_picture, OBSERVATION
            )
        self._beat()
        if not known:
            self.get_logger().info("Client connected and ready")

    def _on_request(self, request: ObservationRequest) -> None:
        now_ns, key = time.monotonic_ns(), (request.session, request.request_id)
        is_new, displaced = self._wait.ask(key, self._picture_subscriptions, now_ns)
        if not is_new:
            return
        self._pending[key] = _Pending(request, now_ns)
        if displaced is not None:
            self._refuse(displaced, ActionChunk.SUPERSEDED, "a newer request took its place")
        self._answer_if_complete()

    def _on_picture(self, picture: ObservationImage) -> None:
        self._wait.picture((picture.session, picture.request_id), picture.camera)
        self._answer_if_complete()

    def _give_up_overdue(self) -> None:
        overdue = self._wait.overdue(time.monotonic_ns())
        if overdue is not None:
            key, missing = overdue
            waited = f"{self._settings.obs_queue_timeout:g} s"
            self._refuse(key, ActionChunk.OBSERVATION_INCOMPLETE, f"no frame of {', '.join(missing)} within {waited}")

    def _answer_if_complete(self) -> None:
        key = self._wait.take() if self._work is None else None
        if key is None:
            return
        taken_ns, request, spec = time.monotonic_ns(), self._pending[key].request, self._spec
        if spec is None or spec.spec_id != request.spec_id:
            self._refuse(key, ActionChunk.NOT_READY, f"policy_spec {request.spec_id} has not come yet")
            return
        try:
            pose = newest_pose(request.joint_names, request.history, request.positions)
        except RequestError as error:
            self._refuse(key, ActionChunk.BAD_REQUEST, str(error))
            return
        world = self._world.read()
        if world is None:
            self._refuse(key, ActionChunk.NOT_READY, self._world.problem)
            return
        fps = spec.fps if spec.fps > 0 else 30.0
        try:
            rows = self._policy.rows(
                session=request.session,
                step=request.step,
                positions=pose,
                world=world,
                rows=min(spec.actions_per_chunk or DEFAULT_ROWS, HORIZON),
                fps=fps,
            )
        except OutOfReachError as error:
            self._refuse(key, ActionChunk.POLICY_ERROR, str(error))
            return
        chunk = ActionChunk(status=ActionChunk.OK, period=1.0 / fps, joint_names=list(JOINT_NAMES), rows=len(rows))
        chunk.positions = array.array("f", rows.tobytes())
        chunk.wait_frames = (taken_ns - self._pending[key].received_ns) / 1e9
        self._work = _Work(key, chunk, taken_ns)
        left_ns = taken_ns + round(self._settings.min_inference_s * 1e9) - time.monotonic_ns()
        if left_ns > 0:
            self._finish_timer.timer_period_ns = left_ns
            self._finish_timer.reset()
        else:
            self._finish()

    def _finish(self) -> None:
        """Send the answer under work, which took as long as a slow policy would."""
        self._finish_timer.cancel()
        work, self._work = self._work, None
        if work is not None:
            work.chunk.inference = (time.monotonic_ns() - work.taken_ns) / 1e9
            self._answered += 1
            self._send(work.key, work.chunk)
            self._answer_if_complete()

    def _refuse(self, key: Key, status: int, message: str) -> None:
        self._failed += 1
        self.get_logger().warning(f"request {key[1]}: {message}", throttle_duration_sec=1.0)
        retry_after = _NOT_READY_RETRY_S if status == ActionChunk.NOT_READY else 0.0
        self._send(key, ActionChunk(status=status, message=message[:1024], retry_after=retry_after))

    def _send(self, key: Key, chunk: ActionChunk) -> None:
        pending = self._pending.pop(key)
        chunk.header.stamp = self.get_clock().now().to_msg()
        chunk.session, chunk.request_id = key
        chunk.spec_id, chunk.step = pending.request.spec_id, pending.request.step
        chunk.server_id, chunk.server_name = self._server_id, self._settings.server_name
        chunk.server_total = (time.monotonic_ns() - pending.received_ns) / 1e9
        self._chunks.publish(chunk)

    def _beat(self, leaving: bool = False) -> None:
        self._beats += 1
        cameras = sorted(self._picture_subscriptions)
        is_blind = self._settings.wait_for_frames and not cameras
        if is_blind:
            cameras = list(self._settings.cameras)
        status = PolicyStatus(
            server_id=self._server_id,
            server_name=self._settings.server_name,
            sequence=self._beats,
            spec_id=0 if self._spec is None else self._spec.spec_id,
            state=PolicyStatus.READY,
            leaving=leaving,
            policy_type="expert",
            device="cpu",
            horizon=HORIZON,
            cameras=cameras,
            camera_shapes=[3, IMAGE_HEIGHT, IMAGE_WIDTH] * len(cameras),
            joint_names=list(JOINT_NAMES),
            n_obs_steps=1,
            busy_session=self._work.key[0] if self._work else 0,
            busy_request_id=self._work.key[1] if self._work else 0,
            inference_p50=math.nan,
            inference_p95=math.nan,
            answered=self._answered,
            failed=self._failed,
        )
        if self._spec is not None and sorted(self._spec.joint_names) != sorted(JOINT_NAMES):
            status.state, status.cause = PolicyStatus.ERROR, "SPEC_REJECTED"
            status.message = f"joint_names: expected {', '.join(JOINT_NAMES)}, got {', '.join(self._spec.joint_names)}"
        elif self._spec is not None and is_blind and cameras:
            status.state = PolicyStatus.LOADING
            status.message = f"the expert waits for camera {', '.join(cameras)}, and none of the robot's is there yet"
        status.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(status)


def main() -> None:
    """Run the node until it is told to stop."""
    run_process(ExpertPolicyNode)


if __name__ == "__main__":
    main()
