# SPDX-License-Identifier: Apache-2.0
"""`--to policy_server`: recorded requests and frames to a policy server, its chunks against the recorded ones."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.publisher import Publisher
from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest, PolicySpec, PolicyStatus
from so101_node.process.own_node import OwnNode
from so101_node.protocol import ChunkStatus, FloatArray, name_of
from so101_node.topics.qos import CHUNK_READER, LATCHED, REQUEST_WRITER, observation

from so101_bag.errors import ReplayError
from so101_bag.replay.chunk_comparison import ChunkComparison
from so101_bag.replay.exchanges import Exchange

MATCH_TIMEOUT_S = 10.0
CHUNK_TIMEOUT_S = 12.0  # the server itself gives up an inference after 10 s
RETRIES = 2


class ServerReplay:
    """Stands in for robot and cameras before one policy server. `check` is called while waiting, to end the wait."""

    def __init__(self, namespace: str, check: Callable[[], None]) -> None:
        self._check = check
        self._own = OwnNode("so101_replay", namespace)
        self._node = self._own.node
        self.status: PolicyStatus | None = None
        self._chunk: ActionChunk | None = None
        self._awaited: tuple[int, int] | None = None
        self._spec_id: int | None = None
        self._specs = self._node.create_publisher(PolicySpec, "policy_spec", LATCHED)
        self._requests = self._node.create_publisher(ObservationRequest, "observation_request", REQUEST_WRITER)
        self._frames: dict[str, Publisher] = {}
        self._node.create_subscription(PolicyStatus, "policy_status", self._on_status, LATCHED)
        self._node.create_subscription(ActionChunk, "action_chunk", self._on_chunk, CHUNK_READER)

    def close(self) -> None:
        """Leave the ROS graph."""
        self._own.close()

    def find_server(self, timeout_s: float) -> bool:
        """Wait for a heartbeat of a policy server; tell whether one came."""
        return self._wait(lambda: self.status is not None and not self.status.leaving, timeout_s)

    def compare(self, exchange: Exchange, into: ChunkComparison, load_timeout_s: float) -> None:
        """Send the server one recorded request and compare its chunk with the recorded one.

        Raises:
            ReplayError: the server is in ERROR, silent, or refuses the recorded spec.
        """
        self._announce(exchange, load_timeout_s)
        begin_s = time.monotonic()
        chunk = self._request(exchange)
        if chunk.status == ActionChunk.SPEC_REJECTED:
            raise ReplayError(f"the policy server refuses the recorded policy_spec: {chunk.message}")
        if chunk.status != ActionChunk.OK:
            into.add_failure(f"{name_of(ChunkStatus, chunk.status)}: {chunk.message}")
            return
        recorded = exchange.chunk
        if set(chunk.joint_names) != set(recorded.joint_names):
            raise ReplayError(
                f"the server's chunks have joints {', '.join(chunk.joint_names)}, the recorded ones "
                f"{', '.join(recorded.joint_names)}: not the same arm"
            )
        into.joint_names = tuple(recorded.joint_names)
        into.add(
            rows_of(recorded, into.joint_names),
            rows_of(chunk, into.joint_names),
            _times(recorded, exchange.round_trip_s),
            _times(chunk, time.monotonic() - begin_s),
        )

    def _announce(self, exchange: Exchange, load_timeout_s: float) -> None:
        """Publish the spec when it is another, and wait until the server is ready for it and reads what comes."""
        topics = list(exchange.frames)
        for topic in topics:
            if topic not in self._frames:
                name = "/".join(topic.strip("/").split("/")[-2:])  # in our namespace, whatever the bag's was
                self._frames[topic] = self._node.create_publisher(ObservationImage, name, observation(8))
        if exchange.spec_id != self._spec_id:
            self._spec_id = exchange.spec_id
            self._specs.publish(exchange.spec)
        if not self._wait(self._is_ready, load_timeout_s):
            status = self.status
            state = "silent" if status is None else status.message or "not ready"
            raise ReplayError(f"the policy server is not ready after {load_timeout_s:g} s: {state}")
        publishers = [self._requests, *(self._frames[topic] for topic in topics)]
        if not self._wait(lambda: all(p.get_subscription_count() for p in publishers), MATCH_TIMEOUT_S):
            unread = ", ".join(p.topic_name for p in publishers if not p.get_subscription_count())
            raise ReplayError(
                f"the policy server does not read {unread}: does it serve this namespace and its cameras?"
            )

    def _request(self, exchange: Exchange) -> ActionChunk:
        self._awaited = (exchange.request.session, exchange.request.request_id)
        for _ in range(RETRIES):
            self._chunk = None
            self._requests.publish(exchange.request_serialized)
            for topic, frames in exchange.frames.items():
                for frame in frames:
                    self._frames[topic].publish(frame)
            if self._wait(lambda: self._chunk is not None, CHUNK_TIMEOUT_S) and self._chunk is not None:
                return self._chunk
        raise ReplayError(f"the policy server sent no chunk for request {self._awaited[1]} within {CHUNK_TIMEOUT_S} s")

    def _is_ready(self) -> bool:
        status = self.status
        if status is None:
            return False
        if status.state == PolicyStatus.ERROR and status.spec_id in (0, self._spec_id):
            raise ReplayError(f"policy server: {status.message}")
        return bool(status.state == PolicyStatus.READY and status.spec_id == self._spec_id)

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        return self._own.wait(condition, timeout_s, self._check)

    def _on_status(self, status: PolicyStatus) -> None:
        self.status = status

    def _on_chunk(self, chunk: ActionChunk) -> None:
        if (chunk.session, chunk.request_id) == self._awaited:
            self._chunk = chunk


def rows_of(chunk: ActionChunk, joint_names: tuple[str, ...]) -> FloatArray:
    """Return a chunk's rows, (rows, joints) rad, in this order of joints."""
    rows = np.array(chunk.positions, dtype=np.float64).reshape(chunk.rows, len(chunk.joint_names))
    return rows[:, [list(chunk.joint_names).index(name) for name in joint_names]]


def _times(chunk: ActionChunk, round_trip_s: float) -> dict[str, float]:
    return {"inference": chunk.inference, "server_total": chunk.server_total, "round_trip": round_trip_s}


def describe(status: PolicyStatus | None) -> dict[str, Any]:
    """Return which policy a server runs."""
    if status is None:
        return {}
    return {"policy_type": status.policy_type, "path": status.path, "device": status.device}
