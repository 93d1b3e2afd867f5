# SPDX-License-Identifier: Apache-2.0
"""ROS messages to and from the core's values."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image, JointState
from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest, PolicyStatus
from so101_node.protocol import ChunkStatus, PolicyState

from so101_policy_server.core.request import PolicyRequest, ReceivedFrame, RequestKey, ServedChunk, SessionKey
from so101_policy_server.core.status_report import StatusReport
from so101_policy_server.core.topic_observations import TopicFrame
from so101_policy_server.inference.raw_image import RawLayout

MESSAGE_LENGTH = 1024
FINGERPRINT_LENGTH = 64
OPTIMIZATION_LENGTH = 256
LONGEST_FRAME_WAIT_S = 1.0


def to_request(message: ObservationRequest, robot: str, now_ns: int) -> PolicyRequest:
    """An ObservationRequest as the core's value; what does not fit together is named in `fault`."""
    joints = tuple(message.joint_names)
    positions, fault = _matrix(message.positions, int(message.history), len(joints), "positions", "history")
    leftover, leftover_fault = _matrix(message.leftover, int(message.leftover_rows), len(joints), "leftover", "rows")
    if message.history < 1:
        fault = "history is 0: expected 1 or more"
    if len(set(joints)) != len(joints):
        fault = f"joint_names has a name twice: {', '.join(joints)}"
    if not message.session or not message.request_id:
        fault = f"session {message.session}, request_id {message.request_id}: expected both above 0"
    return PolicyRequest(
        key=RequestKey(SessionKey(robot, int(message.session)), int(message.request_id)),
        spec_id=int(message.spec_id),
        step=int(message.step),
        must_go=bool(message.must_go),
        task=str(message.task),
        joint_names=joints,
        positions=positions,
        leftover=leftover,
        expected_delay_steps=int(message.expected_delay_steps),
        received_ns=now_ns,
        fault=fault or leftover_fault,
        frame_wait_ns=round(message.frame_wait * 1e9) if 0 < message.frame_wait < LONGEST_FRAME_WAIT_S else 0,
        frame_sizes=tuple(zip(map(int, message.frame_sizes[::2]), map(int, message.frame_sizes[1::2]), strict=False)),
    )


def to_frame(message: ObservationImage, robot: str, now_ns: int) -> ReceivedFrame:
    """An ObservationImage as the core's value; the compressed bytes are not copied."""
    return ReceivedFrame(
        key=RequestKey(SessionKey(robot, int(message.session)), int(message.request_id)),
        camera=str(message.camera),
        history_index=int(message.history_index),
        frame_seq=int(message.frame_seq),
        capture_age_s=float(message.capture_age),
        format=str(message.image.format),
        data=np.frombuffer(message.image.data, dtype=np.uint8),
        received_ns=now_ns,
        waited_s=float(message.waited),
    )


def to_topic_frame(message: CompressedImage | Image) -> TopicFrame:
    """An image of a plain topic as the core's value; its bytes are not copied."""
    data = np.frombuffer(message.data, dtype=np.uint8)
    if isinstance(message, CompressedImage):
        return TopicFrame(data, format=str(message.format))
    return TopicFrame(
        data, raw=RawLayout(str(message.encoding), int(message.height), int(message.width), int(message.step))
    )


def to_joint_positions(message: JointState) -> dict[str, float]:
    """Joint name -> rad; a message whose arrays do not fit together says nothing."""
    if len(message.position) != len(message.name):
        return {}
    return dict(zip(message.name, message.position, strict=True))


def to_chunk(reply: ServedChunk, server_id: int, server_name: str, now_ns: int) -> ActionChunk:
    """An answer as an ActionChunk."""
    request, timing = reply.request, reply.timing
    chunk = ActionChunk(
        session=request.key.session.session,
        request_id=request.key.request_id,
        spec_id=request.spec_id,
        step=request.step,
        server_id=server_id,
        server_name=server_name,
        status=int(reply.status),
        message=reply.message[:MESSAGE_LENGTH],
        retry_after=reply.retry_after_s,
        mailbox_wait=timing.mailbox_wait,
        wait_frames=timing.wait_frames,
        decode=timing.decode,
        preprocess=timing.preprocess,
        inference=timing.inference,
        postprocess=timing.postprocess,
        server_total=(now_ns - request.received_ns) / 1e9,
        frame_wait=timing.frame_wait,
        frame_age=timing.observation_age if timing.observation_age > 0 else 0.0,
    )
    if reply.status is ChunkStatus.OK:
        chunk.period = reply.period_s
        chunk.joint_names = list(reply.joint_names)
        chunk.rows = len(reply.positions)
        positions = array.array("f")
        positions.frombytes(np.ascontiguousarray(reply.positions, dtype=np.float32).tobytes())
        chunk.positions = positions
    return chunk


def to_status(report: StatusReport, server_id: int, server_name: str, sequence: int, leaving: bool) -> PolicyStatus:
    """What one robot is told."""
    message = PolicyStatus(
        server_id=server_id,
        server_name=server_name,
        sequence=sequence,
        spec_id=report.spec_id,
        state=int(report.state),
        leaving=leaving,
        cause="" if report.state is PolicyState.READY else report.cause,
        message=report.message[:MESSAGE_LENGTH],
        policy_type=report.source.policy_type,
        path=report.source.path,
        device=report.source.device,
        inference_p50=report.inference_p50_s,
        inference_p95=report.inference_p95_s,
        answered=report.answered,
        failed=report.failed,
    )
    if report.busy is not None:
        message.busy_session = report.busy.session.session
        message.busy_request_id = report.busy.request_id
    if report.policy is not None:
        message.policy_type = report.policy.policy_type
        message.path = report.policy.path
        message.device = report.policy.device
        message.fingerprint = report.policy.fingerprint[:FINGERPRINT_LENGTH]
        message.optimization = "".join(report.policy.optimization[:1])[:OPTIMIZATION_LENGTH]
        message.horizon = report.policy.horizon
        message.cameras = list(report.cameras)
        message.camera_shapes = [
            size for image in report.policy.images for size in (image.channels, image.height, image.width)
        ]
        message.frame_sizes = [side for image in report.policy.images for side in image.frame_size]
        message.supports_rtc = report.policy.supports_rtc
        message.n_obs_steps = report.policy.n_obs_steps
        message.joint_names = list(report.joint_names)
    return message


def _matrix(values: Any, rows: int, columns: int, name: str, rows_name: str) -> tuple[Any, str]:
    flat = np.asarray(values, dtype=np.float64)
    if len(flat) != rows * columns:
        text = f"{name} has {len(flat)} values: expected {rows_name} {rows} x {columns} joints"
        return np.zeros((0, columns)), text
    return flat.reshape(rows, columns), ""
