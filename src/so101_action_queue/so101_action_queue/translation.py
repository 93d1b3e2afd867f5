# SPDX-License-Identifier: Apache-2.0
"""Messages to the core's inputs and the core's decisions to messages. Every array is copied on the way."""

import math
from array import array
from dataclasses import asdict

import numpy as np
from builtin_interfaces.msg import Duration, Time
from sensor_msgs.msg import JointState
from so101_msgs.msg import (
    ActionChunk,
    DriverStatus,
    FrameTiming,
    JointLimits,
    ObservationRequest,
    PolicyStatus,
    QueueStatus,
)
from so101_node.protocol import FloatArray
from so101_node.threads import Tick
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from so101_action_queue.core import fresh_frames, inputs
from so101_action_queue.core.decisions import ChunkRequest, CoreStatus

_CAUSE_LENGTH = 256  # string<=256 of QueueStatus
_LONGEST_FRAME_TIME_S = 10.0
_SHORTEST_PERIOD_NS = 1_000_000  # no camera makes more than 1000 frames a second
_STATUS_FIELDS = frozenset(QueueStatus.get_fields_and_field_types())


# -- in ----------------------------------------------------------------------------------------------------------------


def limits_from(message: JointLimits) -> inputs.JointLimits:
    """Return a JointLimits message as the core's value."""
    return inputs.JointLimits(
        driver_id=message.driver_id,
        joint_names=tuple(message.joint_names),
        lower=tuple(message.lower),
        upper=tuple(message.upper),
        range_lower=tuple(message.range_lower),
        range_upper=tuple(message.range_upper),
        drive_mode=tuple(int(mode) for mode in message.drive_mode),
    )


def driver_from(message: DriverStatus) -> inputs.DriverReport:
    """Return a DriverStatus message as the core's value."""
    return inputs.DriverReport(
        driver_id=message.driver_id,
        state=message.state,
        cause=message.cause,
        message=message.message,
        joint_names=tuple(message.joint_names),
        goal=tuple(message.goal),
    )


def server_from(message: PolicyStatus) -> inputs.ServerReport:
    """Return a PolicyStatus message as the core's value."""
    return inputs.ServerReport(
        server_id=message.server_id,
        server_name=message.server_name,
        spec_id=message.spec_id,
        state=message.state,
        leaving=message.leaving,
        message=message.message,
        busy_session=message.busy_session,
        horizon=message.horizon,
        supports_rtc=message.supports_rtc,
        n_obs_steps=message.n_obs_steps,
        cameras=tuple(message.cameras),
        cause=message.cause,
        fingerprint=message.fingerprint,
        frame_sizes=tuple(map(int, message.frame_sizes)),
    )


def chunk_from(message: ActionChunk) -> inputs.ReceivedChunk:
    """Return an ActionChunk message as the core's value."""
    return inputs.ReceivedChunk(
        session=message.session,
        request_id=message.request_id,
        spec_id=message.spec_id,
        step=message.step,
        server_id=message.server_id,
        server_name=message.server_name,
        status=message.status,
        message=message.message,
        retry_after_s=message.retry_after,
        period_s=message.period,
        joint_names=tuple(message.joint_names),
        rows=message.rows,
        positions=np.array(message.positions, dtype=np.float32),
    )


def frame_timing_from(message: FrameTiming, now_ns: int) -> fresh_frames.FrameTiming:
    """Return a FrameTiming message as the core's value; what makes no sense has the period 0."""
    times_s = (message.period, message.since_frame, message.delay)
    if not all(0 <= value < _LONGEST_FRAME_TIME_S for value in times_s):
        return fresh_frames.FrameTiming(0, now_ns, 0, now_ns)
    period_ns, since_ns, delay_ns = (round(value * 1e9) for value in times_s)
    return fresh_frames.FrameTiming(
        period_ns if period_ns >= _SHORTEST_PERIOD_NS else 0, now_ns - since_ns, delay_ns, now_ns
    )


class JointPositionsReader:
    """JointState messages as joint positions in our order; the place of each joint is looked up once per name list."""

    def __init__(self, joint_names: tuple[str, ...]) -> None:
        self._joint_names = joint_names
        self._seen: list[str] = []
        self._order: list[int] | None = None

    def read(self, message: JointState, age_s: float) -> inputs.JointPositions | None:
        """Return the joint positions, or None where a joint is missing or its position is not a finite number."""
        if message.name != self._seen:
            self._seen = list(message.name)
            at = {name: index for index, name in enumerate(self._seen)}
            order = [at.get(name, -1) for name in self._joint_names]
            self._order = None if -1 in order else order
        if self._order is None or len(message.position) != len(self._seen):
            return None
        positions = tuple(message.position[index] for index in self._order)
        return inputs.JointPositions(positions, age_s) if all(map(math.isfinite, positions)) else None


# -- out ---------------------------------------------------------------------------------------------------------------


def command_message(stamp: Time, joint_names: tuple[str, ...], setpoint: tuple[float, ...]) -> JointState:
    """Return a setpoint as the message that the driver follows."""
    message = JointState()
    message.header.stamp = stamp
    message.name = list(joint_names)
    message.position = array("d", setpoint)
    return message


def request_message(stamp: Time, request: ChunkRequest, frame_wait_s: float = 0.0) -> ObservationRequest:
    """Return a request as a message, and in it how long cameras may wait for a newer frame."""
    message = ObservationRequest(frame_wait=frame_wait_s)
    message.header.stamp = stamp
    message.session = request.session
    message.request_id = request.request_id
    message.spec_id = request.spec_id
    message.step = request.step
    message.must_go = request.must_go
    message.task = request.task
    message.history = request.history
    message.joint_names = list(request.joint_names)
    message.positions = array("d", request.positions)
    message.positions_age = request.positions_age_s
    message.expected_delay_steps = request.expected_delay_steps
    message.leftover_rows = request.leftover_rows
    message.leftover = array("f", request.leftover)
    message.server_id = request.server_id
    message.frame_sizes = array("I", request.frame_sizes)
    return message


def status_message(
    stamp: Time, status: CoreStatus, tick: Tick, correction: tuple[float, ...] = (), correction_cause: str = ""
) -> QueueStatus:
    """Return the queue's state after a tick as a message, and what was added to its setpoint, or why nothing was."""
    message = QueueStatus()
    message.header.stamp = stamp
    message.tick_ns = tick.now_ns
    message.tick = tick.index
    message.session = status.session
    message.spec_id = status.spec_id
    message.server_id = status.server_id
    message.step = status.step
    message.length = status.length
    message.chunk_size = status.chunk_size
    message.threshold = status.threshold
    message.state = int(status.state)
    message.cause = status.cause[:_CAUSE_LENGTH]
    message.cause_name = status.cause_name
    message.outstanding_request_id = status.outstanding_request_id
    message.outstanding_age = status.outstanding_age_s
    message.accepted_request_id = status.accepted_request_id
    message.round_trip_last = status.round_trip_last_s
    message.round_trip_p50 = status.round_trip_p50_s
    message.round_trip_p95 = status.round_trip_p95_s
    message.action_age = status.action_age_s
    message.tick_hz = tick.hz
    message.tick_error = tick.error_ns / 1e9
    message.deadline_misses = tick.misses
    message.correction = array("d", correction)
    message.correction_cause = correction_cause[:_CAUSE_LENGTH]
    message.outstanding = status.outstanding
    for name, count in asdict(status.counters).items():
        if name in _STATUS_FIELDS:
            setattr(message, name, count)
    return message


def plan_message(stamp: Time, joint_names: tuple[str, ...], rows: FloatArray, period_s: float) -> JointTrajectory:
    """Return rows to execute as a trajectory whose first point is due one period after `stamp`."""
    message = JointTrajectory()
    message.header.stamp = stamp
    message.joint_names = list(joint_names)
    for index, row in enumerate(rows, start=1):
        seconds, rest = divmod(round(index * period_s * 1e9), 1_000_000_000)
        point = JointTrajectoryPoint(time_from_start=Duration(sec=seconds, nanosec=rest))
        point.positions = array("d", row)
        message.points.append(point)
    return message
