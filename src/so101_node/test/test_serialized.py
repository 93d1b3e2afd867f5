# SPDX-License-Identifier: Apache-2.0
"""Heads of serialized messages, against rclpy's own serialization."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from so101_msgs.msg import ObservationImage, QueueDecision
from so101_node.topics.serialized import Cdr, DecisionHead, FrameHead, SerializedError

numbers = st.integers(0, 2**64 - 1)
names = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@given(names, numbers, numbers, st.integers(-(2**63), 2**63 - 1), st.integers(0, 255))
def test_the_head_of_a_decision_is_what_was_serialized(
    frame_id: str, session: int, sequence: int, now_ns: int, kind: int
) -> None:
    message = QueueDecision(session=session, sequence=sequence, now_ns=now_ns, input=kind)
    message.header.frame_id = frame_id
    assert DecisionHead.of(serialize_message(message)) == DecisionHead(session, sequence, now_ns, kind)


@given(names, numbers, numbers, names, st.integers(0, 2**32 - 1), numbers, st.floats(0, 10))
def test_the_head_of_a_frame_is_what_was_serialized(
    frame_id: str, session: int, request_id: int, camera: str, history: int, seq: int, age: float
) -> None:
    message = ObservationImage(
        session=session, request_id=request_id, camera=camera, history_index=history, frame_seq=seq, capture_age=age
    )
    message.header.frame_id = frame_id
    message.image.data = bytes(100)
    head = FrameHead.of(serialize_message(message))
    assert head == FrameHead(session, request_id, camera, history, seq, age)


@pytest.mark.parametrize("cut", [0, 3, 4, 12, 20, 30, 40])
def test_bytes_that_end_too_early_are_refused(cut: int) -> None:
    with pytest.raises(SerializedError):
        DecisionHead.of(bytes(serialize_message(QueueDecision(session=5)))[:cut])


def test_big_endian_bytes_are_refused() -> None:
    with pytest.raises(SerializedError, match="little-endian"):
        Cdr(b"\0\0\0\0" + bytes(40))
