# SPDX-License-Identifier: Apache-2.0
"""A robot as the server knows it: a spec, requests with frames, and their chunks. It asks without pause."""

import array
import secrets
import time
from dataclasses import dataclass, field

import numpy as np
from rclpy.context import Context
from rclpy.node import Node
from rclpy.publisher import Publisher
from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest, PolicySpec, PolicyStatus
from so101_node.topics import qos
from so101_node.topics.repeat import RepeatPublisher

from so101_bench.robots.frame_makers import FrameMaker

RANGE_RAD = 2.9
FPS = 30.0
TASK = "bench"
SPEC_ID = 1
CAPTURE_AGE_S = 0.01

UNANSWERED_S = 5.0
"""A request without an answer for so long is counted as lost, and the next one is sent."""


@dataclass(slots=True)
class RobotTally:
    """What came back.

    Attributes:
        chunks: of each with status OK when it came, s, and how long the robot had waited for it, s.
        mixed: how many of them were of another request.
        refused: how many of each other status, by its message.
        unanswered: requests that got no answer at all.
    """

    chunks: list[tuple[float, float]] = field(default_factory=list)
    mixed: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0


class VirtualRobot:
    """One robot. Callbacks, `tick` and all other calls belong on one thread, or between two spins.

    Args:
        context: of ROS.
        number: tells it apart from the others.
        frame_maker: what its cameras show.
    """

    def __init__(self, context: Context, number: int, frame_maker: FrameMaker) -> None:
        self._number, self._frame_maker = number, frame_maker
        self.namespace = namespace_of(number)
        self.node = Node(
            "virtual_robot",
            context=context,
            namespace=self.namespace,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self.status: PolicyStatus | None = None
        self.tally = RobotTally()
        self._session = secrets.randbits(63) or 1
        self._request_id = 0
        self._asking = False
        self._asked_s: float | None = None
        self._again_s = 0.0
        self._cameras: dict[str, tuple[Publisher, int, int]] = {}
        self._spec = self.node.create_publisher(PolicySpec, "policy_spec", qos.LATCHED)
        self._requests = RepeatPublisher(self.node, ObservationRequest, "observation_request", qos.REQUEST_WRITER)
        self.node.create_subscription(ActionChunk, "action_chunk", self._on_chunk, qos.CHUNK_READER)
        self.node.create_subscription(PolicyStatus, "policy_status", self._on_status, qos.LATCHED)

    def engage(self) -> None:
        """Say to the server what it expects: whatever the server's policy reads."""
        assert self.status is not None
        shapes = np.reshape(self.status.camera_shapes, (-1, 3))
        depth = qos.observation(self._steps)
        self._cameras = {
            camera: (self.node.create_publisher(ObservationImage, f"{camera}/observation", depth), height, width)
            for camera, (_, height, width) in zip(self.status.cameras, shapes.tolist(), strict=True)
        }
        joints = len(self.status.joint_names)
        self._spec.publish(
            PolicySpec(
                session=self._session,
                spec_id=SPEC_ID,
                task=TASK,
                actions_per_chunk=min(50, self.status.horizon),
                fps=FPS,
                cameras=list(self._cameras),
                joint_names=self.status.joint_names,
                range_lower=[-RANGE_RAD] * joints,
                range_upper=[RANGE_RAD] * joints,
                drive_mode=[0] * joints,
            )
        )

    @property
    def is_engaged(self) -> bool:
        """Whether the server has accepted the spec and hears every camera."""
        heard = all(publisher.get_subscription_count() for publisher, _, _ in self._cameras.values())
        status = self.status
        return heard and status is not None and status.spec_id == SPEC_ID and status.state == PolicyStatus.READY

    @property
    def is_waiting(self) -> bool:
        """Whether a request is under way."""
        return self._asked_s is not None

    def begin(self) -> None:
        """Ask from now on."""
        self._asking = True

    def end(self) -> None:
        """Ask no more."""
        self._asking = False

    def tick(self) -> None:
        """Ask where nothing is under way; call every few milliseconds."""
        now_s = time.monotonic()
        if self._asked_s is not None and now_s - self._asked_s > UNANSWERED_S:
            self.tally.unanswered += 1
            self._asked_s = None
        if self._asking and self._asked_s is None and now_s >= self._again_s:
            self._ask()

    def destroy(self) -> None:
        """Leave the graph."""
        self.node.destroy_node()

    @property
    def _steps(self) -> int:
        return max(1, self.status.n_obs_steps if self.status is not None else 1)

    def _ask(self) -> None:
        assert self.status is not None
        self._request_id += 1
        self._asked_s = time.monotonic()
        positions = self._frame_maker.positions(self._number, self._request_id, len(self.status.joint_names))
        self._requests.publish(
            ObservationRequest(
                session=self._session,
                request_id=self._request_id,
                spec_id=SPEC_ID,
                step=self._request_id,
                history=self._steps,
                joint_names=self.status.joint_names,
                positions=positions.tolist() * self._steps,
                task=TASK,
            )
        )
        for camera, (publisher, height, width) in self._cameras.items():
            encoded, kind = self._frame_maker.frame(self._number, self._request_id, height, width)
            for index in range(self._steps):
                message = ObservationImage(
                    session=self._session,
                    request_id=self._request_id,
                    camera=camera,
                    history_index=index,
                    frame_seq=self._request_id,
                    capture_age=CAPTURE_AGE_S,
                )
                message.image.format = kind
                message.image.data = array.array("B", encoded)
                publisher.publish(message)

    def _on_chunk(self, chunk: ActionChunk) -> None:
        if (chunk.session, chunk.request_id) != (self._session, self._request_id) or self._asked_s is None:
            return  # the second copy
        now_s = time.monotonic()
        waited_s, self._asked_s = now_s - self._asked_s, None
        if chunk.status == ActionChunk.OK:
            self.tally.chunks.append((now_s, waited_s))
            rows = np.reshape(np.asarray(chunk.positions, np.float32), (chunk.rows, -1))
            self.tally.mixed += self._frame_maker.is_mixed(self._number, self._request_id, rows)
        else:
            self.tally.refused[chunk.message] = self.tally.refused.get(chunk.message, 0) + 1
            self._again_s = now_s + chunk.retry_after
        self.tick()

    def _on_status(self, status: PolicyStatus) -> None:
        self.status = status


def namespace_of(number: int) -> str:
    """Namespace of the robot with that number."""
    return f"/robot{number + 1}"
