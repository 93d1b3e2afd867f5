# SPDX-License-Identifier: Apache-2.0
"""Answers the requests of policies that name a camera with its newest frame: one class for every kind of camera.

`add` belongs to whoever captures, answering to the executor's thread; a lock guards what they share.
"""

import math
import threading
import time
from array import array

from builtin_interfaces.msg import Time as TimeMessage
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage
from so101_msgs.msg import FrameTiming, ObservationImage, ObservationRequest, PolicySpec
from so101_node.timing.timers import create_timer
from so101_node.topics import qos
from std_msgs.msg import Header

from so101_camera.core.answering import MAX_STEPS, AnsweringRule, CameraSpec, FrameRequest
from so101_camera.core.frame import Frame
from so101_camera.core.frame_phase import FramePhase
from so101_camera.core.history import FrameHistory
from so101_camera.errors import ImageCodecError
from so101_camera.image_codec import DEFAULT_JPEG_QUALITY, encode_png, jpeg_of, pixels_of, resized_png
from so101_camera.ros.rivals import Rivals

TIMING_EVERY_NS = 200_000_000
"""How often the action queue hears when frames come: clocks of cameras drift by less than 0.1 ms in that time."""

LONGEST_WAIT_NS = 200_000_000
"""No request may ask for more: its robot would take it for lost."""


class ObservationPublisher:
    """The topic `<camera>/observation` of one camera, and its part of `frame_timing`.

    Args:
        node: owns the topics; its namespace is the robot's.
        camera: name as in PolicySpec.cameras.
        frame_id: tf frame in the headers; empty = `<camera>_optical_frame`. May be changed later.
        jpeg_quality: for frames that come as pixels, 1 to 100.
        lossless: serve requests with PNG of the pixels instead of JPEG.
        next_frame_within_s: a request waits for the next frame where that is due within this time, s; 0 = never.
    """

    def __init__(
        self,
        node: Node,
        camera: str,
        *,
        frame_id: str = "",
        jpeg_quality: int = DEFAULT_JPEG_QUALITY,
        lossless: bool = False,
        next_frame_within_s: float = 0.0,
    ) -> None:
        self._node = node
        self._camera = camera
        self.frame_id = frame_id or f"{camera}_optical_frame"
        self._jpeg_quality = jpeg_quality
        self._lossless = lossless
        self._lock = threading.Lock()
        self._history = FrameHistory()
        self._rule = AnsweringRule(camera)
        self._phase = FramePhase(round(next_frame_within_s * 1e9))
        self._wait_over = create_timer(node, 1.0, self._on_wait_over, autostart=False)
        self._timing = node.create_publisher(FrameTiming, "frame_timing", qos.FRAME_TIMING)
        self._timing_told_ns = 0
        self._resizes = False  # the last frame that went out
        self.frames = self.observations = 0

        self._sending = threading.Lock()  # guards the publisher and its depth, which a request may change
        self._depth = 1
        self._observation = node.create_publisher(ObservationImage, f"{camera}/observation", qos.observation())
        self._is_connecting = False
        self._rivals = Rivals(node, self._observation.topic_name)
        node.create_subscription(PolicySpec, "policy_spec", self._on_spec, qos.LATCHED)
        node.create_subscription(ObservationRequest, "observation_request", self._on_request, qos.REQUEST_READER)

    @property
    def needs_jpeg(self) -> bool:
        """Whether requests are being served with JPEG as captured, so that encoding ahead keeps 1-3 ms out of each."""
        return self._rule.is_wanted and not self._lossless and not self._resizes

    def rivals(self) -> list[str]:
        """Return the other nodes that answer for this camera; ask about once a second."""
        return self._rivals.names(time.monotonic_ns())

    def with_jpeg(self, frame: Frame) -> Frame:
        """Return the frame with its JPEG bytes."""
        if frame.jpeg is not None:
            return frame
        return Frame(frame.seq, frame.capture_ns, jpeg_of(frame, self._jpeg_quality), frame.bgr)

    def add(self, frame: Frame) -> None:
        """Take in the newest frame, and answer a request that waited for it.

        Raises:
            ValueError: the frame is not newer than the last one.
        """
        ready_ns = time.monotonic_ns()
        with self._lock:
            self._history.add(frame)
            self._phase.add(ready_ns)
            self._rule.on_frame()
            self.frames += 1
            period_ns = self._phase.period_ns
        self._answer_due()
        if ready_ns - self._timing_told_ns >= TIMING_EVERY_NS:
            self._timing_told_ns = ready_ns
            self._tell_timing(ready_ns, ready_ns - frame.capture_ns, period_ns)

    def compressed_image(self, frame: Frame) -> CompressedImage:
        """Return the frame as a JPEG message."""
        message = CompressedImage(header=self.header(frame), format="jpeg")
        message.data = _bytes_field(jpeg_of(frame, self._jpeg_quality))
        return message

    def header(self, frame: Frame) -> Header:
        """The capture time in ROS time, for people and bags only; 0 where /clock is younger than the frame."""
        age_ns = max(0, time.monotonic_ns() - frame.capture_ns)
        stamp_ns = max(0, self._node.get_clock().now().nanoseconds - age_ns)
        stamp: TimeMessage = Time(nanoseconds=stamp_ns, clock_type=ClockType.ROS_TIME).to_msg()
        return Header(stamp=stamp, frame_id=self.frame_id)

    def _tell_timing(self, ready_ns: int, delay_ns: int, period_ns: float | None) -> None:
        """Say when the newest frame was ready, and when others will be; ready_ns on the monotonic clock."""
        message = FrameTiming(camera=self._camera, period=(period_ns or 0) / 1e9, delay=max(0, delay_ns) / 1e9)
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.since_frame = (time.monotonic_ns() - ready_ns) / 1e9
        self._timing.publish(message)

    def _on_spec(self, message: PolicySpec) -> None:
        period_ns = round(1e9 / message.fps) if message.fps > 0 else 0
        with self._lock:
            self._rule.on_spec(CameraSpec(message.spec_id, tuple(message.cameras), period_ns))
        self._answer_due()

    def _on_request(self, message: ObservationRequest) -> None:
        request = FrameRequest(
            message.session,
            message.request_id,
            message.spec_id,
            message.history,
            message.must_go,
            tuple(map(int, message.frame_sizes)),
            _wait_granted_ns(message.frame_wait),
        )
        if message.history > MAX_STEPS:
            self._node.get_logger().warning(
                f"{self._camera}: a request asks for {message.history} observation steps: "
                f"only the newest {MAX_STEPS} are sent",
                throttle_duration_sec=10.0,
            )
        with self._lock:
            now_ns = time.monotonic_ns()
            wait = self._phase.wait(now_ns, request.frame_wait_ns)
            waits = self._rule.on_request(request, now_ns, wait)
        if waits:
            self._wait_over.timer_period_ns = wait.longest_ns
            self._wait_over.reset()
        if request.steps > self._depth:
            self._deepen(request.steps)
        self._answer_due()

    def _on_wait_over(self) -> None:
        """The next frame has not come in time: the newest one answers."""
        self._wait_over.cancel()
        self._answer_due()

    def _deepen(self, steps: int) -> None:
        """Make room for the frames of so many steps, which are sent in one burst.

        No deeper than asked for: after an outage a deep topic would send what nobody waits for any more. The request
        that brought this waits until a reader has found the new publisher.
        """
        with self._sending:
            self._node.destroy_publisher(self._observation)
            self._observation = self._node.create_publisher(
                ObservationImage, f"{self._camera}/observation", qos.observation(steps)
            )
            self._depth, self._is_connecting = steps, True

    def _can_send(self) -> bool:
        if self._is_connecting:
            with self._sending:
                self._is_connecting = not self._observation.get_subscription_count()
        return not self._is_connecting

    def _answer_due(self) -> None:
        while self._answer_one():
            pass

    def _answer_one(self) -> bool:
        """Answer a request, if one is due; whether another one may be."""
        with self._lock:
            ready = self._history.newest is not None and self._can_send()
            request = self._rule.due(time.monotonic_ns(), ready)
            if request is None:
                return False
            waited_s = self._rule.waited_ns / 1e9
            spec = self._rule.spec
            frames = self._history.select(request.steps, spec.period_ns if spec is not None else 0)
            size = spec.size_for(self._camera, request) if spec is not None else (0, 0)
        try:
            answer = [
                self._observation_image(request, index, frame, size, waited_s) for index, frame in enumerate(frames)
            ]
        except ImageCodecError as error:
            # Cheap cameras tear a frame now and then; the next one is as good for this request.
            with self._lock:
                self._rule.take_back(request)
            self._node.get_logger().error(
                f"Error capturing observation: {self._camera}: {error}", throttle_duration_sec=1.0
            )
            return False
        with self._sending:
            for message in answer:
                self._observation.publish(message)
        self.observations += 1
        return True

    def _observation_image(
        self, request: FrameRequest, index: int, frame: Frame, size: tuple[int, int], waited_s: float
    ) -> ObservationImage:
        """`size`: height and width that the policy reads, pixels; (0, 0) = as captured. `waited_s`: for this frame."""
        message = ObservationImage(
            session=request.session,
            request_id=request.request_id,
            camera=self._camera,
            history_index=index,
            frame_seq=frame.seq,
            waited=waited_s,
        )
        png = resized_png(frame, *size, lossless=self._lossless) if any(size) else None
        self._resizes = png is not None
        if png is None and self._lossless:
            png = encode_png(pixels_of(frame))
        if png is not None:
            message.image.format = "png"
            message.image.data = _bytes_field(png)
            message.image.header = self.header(frame)
        else:
            message.image = self.compressed_image(frame)
        message.header = message.image.header
        message.capture_age = (time.monotonic_ns() - frame.capture_ns) / 1e9
        return message


def _wait_granted_ns(seconds: float) -> int:
    """What a request says that a camera may wait, ns; 0 where that is no time."""
    return min(round(seconds * 1e9), LONGEST_WAIT_NS) if 0 < seconds < math.inf else 0


def _bytes_field(data: bytes) -> array[int]:
    """Return bytes as a uint8[] field. 60 kB take 0.06 ms this way; assigning a numpy array takes 5 ms."""
    field = array("B")
    field.frombytes(data)
    return field
