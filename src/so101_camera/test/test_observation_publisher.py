# SPDX-License-Identifier: Apache-2.0
"""Answers of one camera, made without a network."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rclpy.clock import Clock
from so101_camera.core.frame import Frame
from so101_camera.image_codec import decode_image, encode_jpeg
from so101_camera.ros import observation_publisher
from so101_camera.ros.observation_publisher import ObservationPublisher
from so101_msgs.msg import FrameTiming, ObservationImage, ObservationRequest, PolicySpec

MS = 1_000_000
PERIOD_NS = 33_333_333
PICTURE = np.full((48, 64, 3), 90, np.uint8)
TORN = encode_jpeg(PICTURE)[:40]


class StandIn:
    """What an ObservationPublisher needs of a node; keeps what is published and logged."""

    def __init__(self) -> None:
        self.published: list[ObservationImage] = []
        self.timings: list[FrameTiming] = []
        self.timer = SimpleNamespace(cancel=lambda: None, reset=lambda: None, timer_period_ns=0)
        self.errors: list[str] = []
        self.hear: dict[str, Any] = {}

    def create_publisher(self, kind: type, topic: str, _qos: Any) -> Any:
        kept = self.timings if kind is FrameTiming else self.published
        return SimpleNamespace(publish=kept.append, topic_name=topic)

    def create_timer(self, _period_s: float, callback: Any, **_options: Any) -> Any:
        self.timer.callback = callback
        return self.timer

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


def ask(node: StandIn, request_id: int, *size: int, frame_wait: float = 0.0) -> None:
    node.hear["observation_request"](
        ObservationRequest(
            session=5, request_id=request_id, spec_id=9, history=1, frame_sizes=size, frame_wait=frame_wait
        )
    )


@pytest.fixture
def now_ns(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The monotonic clock of the cameras, which stands until a test moves it."""
    clock = [1_000_000_000]
    monkeypatch.setattr(observation_publisher, "time", SimpleNamespace(monotonic_ns=lambda: clock[0]))
    return clock


def capture(top: ObservationPublisher, now_ns: list[int], frames: int, after_ns: int = PERIOD_NS) -> None:
    """Frames that are ready 2 ms after their capture."""
    for _ in range(frames):
        now_ns[0] += after_ns
        top.add(Frame(top.frames + 1, now_ns[0] - 2 * MS, jpeg=TORN))


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


def test_a_request_that_lets_cameras_wait_gets_the_frame_that_is_due(node: StandIn, now_ns: list[int]) -> None:
    top = camera(node)
    capture(top, now_ns, 12)
    now_ns[0] += 20 * MS
    ask(node, 1, frame_wait=0.012)  # due in 13.3 ms
    ask(node, 2, frame_wait=0.02)
    assert [(one.request_id, one.frame_seq, one.waited) for one in node.published] == [(1, 12, 0.0)]
    assert node.published[0].capture_age == pytest.approx(0.022)
    assert node.timer.timer_period_ns / MS == pytest.approx(13.33 + 3.33, abs=0.01)
    capture(top, now_ns, 1, after_ns=14 * MS)
    answer = node.published[1]
    assert (answer.request_id, answer.frame_seq, len(node.published)) == (2, 13, 2)
    assert answer.capture_age == pytest.approx(0.002)
    assert answer.waited == pytest.approx(0.014)


def test_a_frame_that_does_not_come_holds_a_request_up_for_no_longer_than_a_tenth_of_a_period(
    node: StandIn, now_ns: list[int]
) -> None:
    top = camera(node)
    capture(top, now_ns, 12)
    now_ns[0] += 30 * MS
    ask(node, 1, frame_wait=0.03)
    assert not node.published
    now_ns[0] += node.timer.timer_period_ns
    node.timer.callback()
    (answer,) = node.published
    assert (answer.frame_seq, answer.waited) == (12, pytest.approx(0.00667, abs=1e-4))
    ask(node, 2, frame_wait=0.03)  # it stands still: nothing waits for it any more
    assert node.published[1].waited == 0.0


@pytest.mark.parametrize("said_s", [math.nan, math.inf, -1.0, 1e9])
def test_what_is_no_time_to_wait_is_none_and_no_request_waits_for_long(
    node: StandIn, now_ns: list[int], said_s: float
) -> None:
    top = camera(node)
    capture(top, now_ns, 12)
    now_ns[0] += 20 * MS
    ask(node, 1, frame_wait=said_s)
    assert len(node.published) == (0 if said_s == 1e9 else 1)
    assert node.timer.timer_period_ns <= 0.21e9


def test_a_camera_tells_a_few_times_a_second_when_its_frames_come(node: StandIn, now_ns: list[int]) -> None:
    top = camera(node)
    capture(top, now_ns, 60)
    assert 9 <= len(node.timings) <= 11  # of 2 s
    first, last = node.timings[0], node.timings[-1]
    assert (first.camera, first.period) == ("top", 0.0), "one frame has no period"
    assert last.period == pytest.approx(PERIOD_NS / 1e9)
    assert (last.since_frame, last.delay) == (0.0, pytest.approx(0.002))
    for _ in range(10):
        capture(top, now_ns, 1, after_ns=PERIOD_NS)
        capture(top, now_ns, 1, after_ns=3 * PERIOD_NS)
    assert node.timings[-1].period == 0.0, "irregular"
