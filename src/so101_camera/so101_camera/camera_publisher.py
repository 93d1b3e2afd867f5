"""The topics of one camera: the full-rate stream for people and bags, and the newest frame for each request.

Used by the camera node for real devices and by the simulator for rendered ones: a policy cannot tell them apart.
`publish_frame` belongs to the capture thread, answering to the executor's; a lock guards what they share.
"""

import threading
import time
from array import array
from dataclasses import dataclass

from builtin_interfaces.msg import Time as TimeMessage
from cv_bridge import CvBridge
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from so101_msgs.msg import ObservationImage, ObservationRequest, PolicySpec
from std_msgs.msg import Header

from so101_camera.answering import AnsweringRule, Request, Spec
from so101_camera.frame import Frame
from so101_camera.history import FrameHistory
from so101_camera.image_codec import (
    DEFAULT_JPEG_QUALITY,
    ImageCodecError,
    encode_png,
    jpeg_of,
    pixels_of,
)
from so101_node import qos


@dataclass(frozen=True, slots=True)
class CameraCounts:
    """What a camera has done since its start."""

    frames: int
    answers: int
    streamed: int


class CameraPublisher:
    """Publishes one camera's frames under `<camera>/...` and answers the requests of policies that name it."""

    def __init__(
        self,
        node: Node,
        camera: str,
        *,
        frame_id: str = "",
        jpeg_quality: int = DEFAULT_JPEG_QUALITY,
        lossless: bool = False,
        observation_steps: int = 1,
        camera_info: CameraInfo | None = None,
    ) -> None:
        """Create the topics.

        Args:
            node: owns the topics; its namespace is the robot's.
            camera: name as in PolicySpec.cameras.
            frame_id: tf frame of the pictures; empty = `<camera>_optical_frame`.
            jpeg_quality: for frames that come as pixels, 1 to 100.
            lossless: answer requests with PNG of the pixels instead of JPEG.
            observation_steps: most steps one request may ask for; the depth of the answers' topic.
            camera_info: intrinsics; None publishes an uncalibrated one (K all zero, as REP 104 has it).
        """
        self._node = node
        self._camera = camera
        self._frame_id = frame_id or f"{camera}_optical_frame"
        self._jpeg_quality = jpeg_quality
        self._lossless = lossless
        self._observation_steps = observation_steps
        self._camera_info = camera_info
        self._bridge = CvBridge()
        self._lock = threading.Lock()
        self._history = FrameHistory()
        self._rule = AnsweringRule(camera)
        self._frames = self._answers = self._streamed = 0

        self._compressed = node.create_publisher(CompressedImage, f"{camera}/image_raw/compressed", qos.IMAGE)
        self._raw = node.create_publisher(Image, f"{camera}/image_raw", qos.IMAGE)
        self._info = node.create_publisher(CameraInfo, f"{camera}/camera_info", qos.IMAGE)
        self._observation = node.create_publisher(
            ObservationImage, f"{camera}/observation", qos.observation(observation_steps)
        )
        node.create_subscription(PolicySpec, "policy_spec", self._on_spec, qos.LATCHED)
        node.create_subscription(ObservationRequest, "observation_request", self._on_request, qos.REQUEST_READER)

    @property
    def counts(self) -> CameraCounts:
        """Frames taken in, frames sent as answers, frames streamed to listeners."""
        return CameraCounts(self._frames, self._answers, self._streamed)

    def publish_frame(self, frame: Frame) -> None:
        """Take in the newest frame, stream it to whoever listens, and answer a request that waited for it.

        Raises:
            ValueError: the frame is not newer than the last one.
        """
        streaming = self._compressed.get_subscription_count() > 0
        # Encoding ahead, off the executor's thread, keeps 1-3 ms per camera out of every answer.
        if frame.jpeg is None and (streaming or (self._rule.is_wanted and not self._lossless)):
            frame = Frame(frame.seq, frame.capture_ns, jpeg_of(frame, self._jpeg_quality), frame.bgr)
        with self._lock:
            self._history.add(frame)
            self._frames += 1
        self._answer_due()
        if streaming:
            self._compressed.publish(self._compressed_image(frame))
            self._streamed += 1
        if self._raw.get_subscription_count() > 0:
            self._publish_raw(frame)
        if self._info.get_subscription_count() > 0:
            self._publish_info(frame)

    def _on_spec(self, message: PolicySpec) -> None:
        period_ns = round(1e9 / message.fps) if message.fps > 0 else 0
        with self._lock:
            self._rule.on_spec(Spec(message.spec_id, tuple(message.cameras), period_ns))
        self._answer_due()

    def _on_request(self, message: ObservationRequest) -> None:
        if message.history > self._observation_steps:
            self._node.get_logger().warning(
                f"{self._camera}: a request asks for {message.history} observation steps, "
                f"observation_steps = {self._observation_steps} sends no more than that; raise it",
                throttle_duration_sec=10.0,
            )
        request = Request(
            message.session, message.request_id, message.spec_id, min(message.history, self._observation_steps)
        )
        with self._lock:
            self._rule.on_request(request, time.monotonic_ns())
        self._answer_due()

    def _answer_due(self) -> None:
        with self._lock:
            request = self._rule.due(time.monotonic_ns(), self._history.newest is not None)
            if request is None:
                return
            spec = self._rule.spec
            frames = self._history.select(request.steps, spec.period_ns if spec is not None else 0)
        for index, frame in enumerate(frames):
            self._observation.publish(self._observation_image(request, index, frame))
        self._answers += 1

    def _observation_image(self, request: Request, index: int, frame: Frame) -> ObservationImage:
        message = ObservationImage(
            session=request.session,
            request_id=request.request_id,
            camera=self._camera,
            history_index=index,
            frame_seq=frame.seq,
        )
        if self._lossless:
            message.image.format = "png"
            message.image.data = _bytes_field(encode_png(pixels_of(frame)))
            message.image.header = self._header(frame)
        else:
            message.image = self._compressed_image(frame)
        message.header = message.image.header
        message.capture_age = (time.monotonic_ns() - frame.capture_ns) / 1e9
        return message

    def _compressed_image(self, frame: Frame) -> CompressedImage:
        message = CompressedImage(header=self._header(frame), format="jpeg")
        message.data = _bytes_field(jpeg_of(frame, self._jpeg_quality))
        return message

    def _publish_raw(self, frame: Frame) -> None:
        try:
            pixels = pixels_of(frame)
        except ImageCodecError as error:
            self._node.get_logger().error(
                f"Error capturing observation: {self._camera}: frame {frame.seq}: {error}", throttle_duration_sec=1.0
            )
            return
        # The header is set apart: cv_bridge's pure Python build takes none.
        message = self._bridge.cv2_to_imgmsg(pixels, "bgr8")
        message.header = self._header(frame)
        self._raw.publish(message)

    def _publish_info(self, frame: Frame) -> None:
        message = self._camera_info or CameraInfo()
        if message.width == 0 and frame.bgr is not None:
            message.height, message.width = frame.bgr.shape[:2]
        message.header = self._header(frame)
        self._info.publish(message)

    def _header(self, frame: Frame) -> Header:
        """The capture time on this host's wall clock, for people and bags only."""
        age = Duration(nanoseconds=max(0, time.monotonic_ns() - frame.capture_ns))
        stamp: TimeMessage = (self._node.get_clock().now() - age).to_msg()
        return Header(stamp=stamp, frame_id=self._frame_id)


def _bytes_field(data: bytes) -> array[int]:
    """Return bytes as a uint8[] field. 60 kB take 0.06 ms this way; assigning a numpy array takes 5 ms."""
    field = array("B")
    field.frombytes(data)
    return field
