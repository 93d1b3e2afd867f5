# SPDX-License-Identifier: Apache-2.0
"""Messages to values and back, field by field."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from so101_msgs.msg import ActionChunk, ObservationImage, ObservationRequest, PolicySpec, PolicyStatus
from so101_node.protocol import ChunkStatus, PolicyState
from so101_node.protocol.spec_message import spec_from
from so101_node.protocol.units import Units
from so101_policy_server.core.request import ChunkTiming, ServedChunk
from so101_policy_server.core.status_report import StatusReport
from so101_policy_server.policy import PolicySource
from so101_policy_server.ros.messages import to_chunk, to_frame, to_request, to_status


def test_the_constants_are_those_of_the_messages() -> None:
    assert {status.name: status.value for status in ChunkStatus} == {
        name: getattr(ActionChunk, name) for name in (status.name for status in ChunkStatus)
    }
    assert {state.name: state.value for state in PolicyState} == {
        name: getattr(PolicyStatus, name) for name in (state.name for state in PolicyState)
    }
    assert {units.name: units.value for units in Units} == {
        name: getattr(PolicySpec, name) for name in (units.name for units in Units)
    }


def test_a_request_keeps_rows_and_columns() -> None:
    message = ObservationRequest(
        session=2**64 - 1,
        request_id=3,
        spec_id=4,
        step=5,
        must_go=True,
        task="pick",
        history=2,
        joint_names=["a", "b", "c"],
        positions=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        expected_delay_steps=7,
        leftover_rows=1,
        leftover=[7.0, 8.0, 9.0],
        frame_sizes=[96, 128, 0, 0],
        frame_wait=0.02,
    )
    request = to_request(message, "/left", 11)
    assert (request.key.session.robot, request.key.session.session, request.key.request_id) == ("/left", 2**64 - 1, 3)
    assert (request.spec_id, request.step, request.must_go, request.task) == (4, 5, True, "pick")
    assert request.positions.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert request.leftover.tolist() == [[7.0, 8.0, 9.0]]
    assert (request.expected_delay_steps, request.received_ns, request.fault) == (7, 11, "")
    assert request.frame_sizes == ((96, 128), (0, 0))
    assert request.frame_wait_ns == 20_000_000


@pytest.mark.parametrize("said_s", [math.nan, math.inf, -1.0, 1e9])
def test_a_time_to_wait_for_frames_that_makes_no_sense_is_none(said_s: float) -> None:
    assert to_request(ObservationRequest(frame_wait=said_s), "", 0).frame_wait_ns == 0


@pytest.mark.parametrize("field", ["session", "request_id"])
def test_a_request_without_identity_is_at_fault(field: str) -> None:
    message = ObservationRequest(session=1, request_id=1, history=1, joint_names=["a"], positions=[0.0])
    setattr(message, field, 0)
    assert "expected both above 0" in to_request(message, "", 0).fault


def test_a_frames_bytes_are_looked_at_not_copied() -> None:
    message = ObservationImage(session=1, request_id=2, camera="front", history_index=1, frame_seq=3, capture_age=0.5)
    message.waited = 0.25
    message.image.format = "jpeg"
    message.image.data = [1, 2, 3]
    frame = to_frame(message, "", 9)
    assert frame.data.tolist() == [1, 2, 3]
    message.image.data[0] = 7
    assert frame.data.tolist() == [7, 2, 3]
    assert (frame.camera, frame.history_index, frame.frame_seq, frame.capture_age_s) == ("front", 1, 3, 0.5)
    assert frame.waited_s == 0.25


def test_a_spec_keeps_every_field() -> None:
    message = PolicySpec(
        session=1,
        spec_id=2,
        policy_type="act",
        pretrained_name_or_path="p",
        policy_device="cpu",
        actions_per_chunk=3,
        fps=30.0,
        task="t",
        cameras=["c"],
        joint_names=["j"],
        units=PolicySpec.NORMALIZED,
        range_lower=[-1.0],
        range_upper=[1.0],
        drive_mode=[1],
        rename_from=["observation.images.c"],
        rename_to=["observation.images.d"],
    )
    received = spec_from(message)
    spec = received.spec
    assert (received.session, received.spec_id, received.task) == (1, 2, "t")
    assert (spec.policy_type, spec.pretrained_name_or_path, spec.policy_device) == ("act", "p", "cpu")
    assert (spec.actions_per_chunk, spec.fps, spec.units) == (3, 30.0, 1)
    assert (spec.cameras, spec.joint_names, spec.drive_mode) == (("c",), ("j",), (1,))
    assert (spec.range_lower, spec.range_upper) == ((-1.0,), (1.0,))
    assert spec.rename_map == {"observation.images.c": "observation.images.d"}


def test_an_answer_fills_the_chunk(examples) -> None:
    positions = np.arange(12, dtype=np.float32).reshape(2, 6)
    timing = ChunkTiming(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, frame_wait=0.5, observation_age=0.25)
    answer = ServedChunk(
        examples.request(5, received_ns=10),
        ChunkStatus.OK,
        joint_names=examples.joints,
        positions=positions,
        period_s=0.1,
        timing=timing,
    )
    chunk = to_chunk(answer, 77, "lab", 2_000_000_010)
    assert (chunk.session, chunk.request_id, chunk.spec_id, chunk.step) == (7, 5, 9, 50)
    assert (chunk.server_id, chunk.server_name, chunk.status, chunk.period) == (77, "lab", 0, 0.1)
    assert (chunk.rows, list(chunk.positions)) == (2, list(range(12)))
    assert (chunk.wait_frames, chunk.decode, chunk.mailbox_wait) == (1.0, 2.0, 3.0)
    assert (chunk.preprocess, chunk.inference, chunk.postprocess, chunk.server_total) == (4.0, 5.0, 6.0, 2.0)
    assert (chunk.frame_wait, chunk.frame_age) == (0.5, 0.25)
    without_cameras = to_chunk(replace(answer, timing=ChunkTiming()), 77, "lab", 0)
    assert (without_cameras.frame_wait, without_cameras.frame_age) == (0.0, 0.0)


def test_an_error_has_no_rows_and_a_message_that_fits(examples) -> None:
    chunk = to_chunk(ServedChunk(examples.request(), ChunkStatus.POLICY_ERROR, "x" * 5000, 2.0), 1, "lab", 0)
    assert (chunk.status, chunk.rows, len(chunk.positions), chunk.retry_after) == (ChunkStatus.POLICY_ERROR, 0, 0, 2.0)
    assert chunk.message == "x" * 1024


def report(examples, **changes) -> StatusReport:
    values = {
        "spec_id": 9,
        "state": PolicyState.READY,
        "cause": "",
        "message": "",
        "busy": examples.key(4),
        "source": PolicySource("run", device="cuda"),
        "policy": examples.description(),
        "cameras": ("a", "b"),
        "joint_names": examples.joints,
        "inference_p50_s": 0.1,
        "inference_p95_s": 0.2,
        "frame_age_p50_s": 0.02,
        "frame_age_p95_s": 0.04,
        "answered": 3,
        "failed": 4,
    }
    return StatusReport(**(values | changes))


def test_a_status_describes_the_policy(examples) -> None:
    described = examples.description(fingerprint="ab" * 32, optimization=("9 to 3 ms", "one: kept"))
    resized, as_captured = described.images
    described = replace(described, images=(resized, replace(as_captured, native=True)))
    status = to_status(report(examples, policy=described), 77, "lab", 5, leaving=True)
    assert (status.server_id, status.server_name, status.sequence, status.leaving) == (77, "lab", 5, True)
    assert (status.spec_id, status.state, status.busy_session, status.busy_request_id) == (9, PolicyStatus.READY, 7, 4)
    assert (status.policy_type, status.path, status.device, status.horizon) == ("act", "/models/pick", "cpu", 50)
    assert (list(status.cameras), list(status.camera_shapes)) == (["a", "b"], [3, 24, 32, 3, 24, 32])
    assert list(status.frame_sizes) == [24, 32, 0, 0]
    assert (status.inference_p50, status.inference_p95, status.answered, status.failed) == (0.1, 0.2, 3, 4)
    assert (status.fingerprint, status.optimization) == ("ab" * 32, "9 to 3 ms")


def test_a_status_without_policy_names_what_is_being_loaded(examples) -> None:
    status = to_status(report(examples, state=PolicyState.LOADING, policy=None, busy=None), 77, "lab", 5, leaving=False)
    assert (status.path, status.device, status.horizon, list(status.cameras)) == ("run", "cuda", 0, [])
    assert (status.busy_session, status.busy_request_id, status.fingerprint) == (0, 0, "")
    assert status.optimization == ""


def test_a_status_has_room_for_what_was_optimized(examples) -> None:
    described = examples.description(optimization=("x" * 300,))
    assert to_status(report(examples, policy=described), 77, "lab", 5, leaving=False).optimization == "x" * 256
