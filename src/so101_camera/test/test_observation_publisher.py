# SPDX-License-Identifier: Apache-2.0
"""Answers of one camera, made without a network."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rclpy.clock import Clock
from so101_camera.core.frame import Frame
from so101_camera.image_codec import decode_image, encode_jpeg
from so101_camera.ros.observation_publisher import ObservationPublisher
from so101_msgs.msg import ObservationImage, ObservationRequest, PolicySpec

PICTURE = np.full((48, 64, 3), 90, np.uint8)
TORN = encode_jpeg(PICTURE)[:40]


class StandIn:
    """What an ObservationPublisher needs of a node; keeps what is published and logged."""

    def __init__(self) -> None:
        self.published: list[ObservationImage] = []
        self.errors: list[str] = []
        self.hear: dict[str, Any] = {}

    def create_publisher(self, _kind: type, topic: str, _qos: Any) -> Any:
        return SimpleNamespace(publish=self.published.append, topic_name=topic)

    def create_subscription(self, _kind: type, topic: str, callback: Any, _qos: Any) -> None:
        self.hear[topic] = callback

    def get_logger(self) -> Any:
        return SimpleNamespace(error=lambda text, throttle_duration_sec: self.errors.append(text))

    def get_clock(self) -> Clock:
        return Clock()


@pytest.fixture
def node() -> StandIn:
    return StandIn()


def camera(node: StandIn, **options: Any) -> ObservationPublisher:
    made = ObservationPublisher(node, "top", **options)  # type: ignore[arg-type]
    node.hear["policy_spec"](PolicySpec(spec_id=9, fps=30.0, cameras=["top"]))
    return made


def ask(node: StandIn, request_id: int, *size: int) -> None:
    node.hear["observation_request"](
        ObservationRequest(session=5, request_id=request_id, spec_id=9, history=1, frame_sizes=size)
    )


def test_a_frame_that_cannot_be_decoded_leaves_the_request_to_the_next_one(node: StandIn) -> None:
    top = camera(node, lossless=True)
    top.add(Frame(1, 1, jpeg=TORN))
    ask(node, 1)
    assert node.published == []
    assert node.errors == ["Error capturing observation: top: 40 bytes that are no readable JPEG or PNG"]
    top.add(Frame(2, 2, jpeg=encode_jpeg(PICTURE)))
    (answer,) = node.published
    assert (answer.request_id, answer.frame_seq, answer.image.format) == (1, 2, "png")
    assert decode_image(bytes(answer.image.data)).shape == PICTURE.shape
    ask(node, 1)  # its copy
    assert (len(node.published), top.observations) == (1, 1)


def test_a_torn_frame_that_comes_while_a_request_waits_does_not_end_the_capture(node: StandIn) -> None:
    top = camera(node, lossless=True)
    ask(node, 1)
    top.add(Frame(1, 1, jpeg=TORN))
    top.add(Frame(2, 2, jpeg=TORN))
    top.add(Frame(3, 3, jpeg=encode_jpeg(PICTURE)))
    assert [answer.frame_seq for answer in node.published] == [3]
    assert len(node.errors) == 2


def test_jpeg_bytes_are_passed_on_without_a_look_at_them(node: StandIn) -> None:
    top = camera(node)
    top.add(Frame(1, 1, jpeg=TORN))
    ask(node, 1)
    assert [bytes(answer.image.data) for answer in node.published] == [TORN]


@pytest.mark.parametrize("lossless", [False, True])
def test_each_frame_has_the_size_of_its_own_request(node: StandIn, lossless: bool) -> None:
    top = camera(node, lossless=lossless)
    top.add(Frame(1, 1, bgr=PICTURE))
    assert top.needs_jpeg is not lossless
    ask(node, 1, 24, 32)
    assert not top.needs_jpeg  # nobody wants the whole frame's
    ask(node, 2, 12, 16)
    ask(node, 3, 48, 64)
    ask(node, 4)
    assert top.needs_jpeg is not lossless
    sent = [(decode_image(bytes(one.image.data)).shape[:2], one.image.format) for one in node.published]
    whole = ((48, 64), "png" if lossless else "jpeg")
    assert sent == [((24, 32), "png"), ((12, 16), "png"), whole, whole]
