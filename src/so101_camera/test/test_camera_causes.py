# SPDX-License-Identifier: Apache-2.0
"""No word of a camera, a topic or an exception changes what a camera node's cause is."""

from collections.abc import Iterator

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from hypothesis import given
from hypothesis import strategies as st
from so101_camera.ros import frame_gate_node
from so101_camera.ros.frame_gate_node import FrameGateNode
from so101_node.timing.start_grace import StartGrace

WORDS = st.one_of(
    st.sampled_from([cause.name for cause in frame_gate_node.CAUSES]),
    st.sampled_from(["no picture", "driver_side", "another node answers", "frames come", "encoding 16UC1"]),
    st.text(min_size=1, max_size=40),
)


@pytest.fixture(scope="module")
def gate() -> Iterator[FrameGateNode]:
    rclpy.init(args=["--ros-args", "-r", "__node:=driver_side", "-p", "image_topic:=/joint_limits/PASSING"])
    node = FrameGateNode()
    yield node
    node.destroy_node()
    rclpy.shutdown()


def shown(gate: FrameGateNode) -> DiagnosticStatus:
    offered: list[list[DiagnosticStatus]] = []
    gate._diagnostics.offer = offered.append  # type: ignore[method-assign,assignment]
    gate._publish_diagnostics()
    return offered[0][0]


@given(words=WORDS)
def test_the_words_of_an_exception_change_no_cause(gate: FrameGateNode, words: str) -> None:
    gate._error = words
    entry = shown(gate)
    assert (entry.values[0].value, entry.level) == ("UNREADABLE", DiagnosticStatus.ERROR)
    assert entry.values[1].value == frame_gate_node.UNREADABLE.remedy


@given(words=WORDS)
def test_the_names_of_nodes_change_no_cause(gate: FrameGateNode, words: str) -> None:
    gate._error = ""
    rivals, gate._observations.rivals = gate._observations.rivals, lambda: [words]  # type: ignore[method-assign]
    try:
        entry = shown(gate)
    finally:
        gate._observations.rivals = rivals  # type: ignore[method-assign]
    assert (entry.values[0].value, entry.level) == ("ANSWERED_TWICE", DiagnosticStatus.ERROR)


def test_the_name_of_a_topic_changes_no_cause(gate: FrameGateNode) -> None:
    gate._error = ""
    assert shown(gate).values[0].value == "WAITING"
    gate._grace = StartGrace(-(10**18))
    assert shown(gate).values[0].value == "NO_IMAGES"
