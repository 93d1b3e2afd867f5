# SPDX-License-Identifier: Apache-2.0
"""The topics of one camera: the full-rate stream for people and bags, and the newest frame for each request.

Used by the camera node for real devices and by the simulator for rendered ones: a policy cannot tell them apart.
"""

from dataclasses import dataclass

from cv_bridge import CvBridge
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from so101_node.topics import qos

from so101_camera.core.frame import Frame
from so101_camera.errors import ImageCodecError
from so101_camera.image_codec import DEFAULT_JPEG_QUALITY, frame_size, pixels_of
from so101_camera.ros.observation_publisher import ObservationPublisher


@dataclass(frozen=True, slots=True)
class CameraCounts:
    """What a camera has done since its start."""

    frames: int
    observations: int
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
        next_frame_within_s: float = 0.0,
        camera_info: CameraInfo | None = None,
    ) -> None:
        """Create the topics.

        Args:
            node: owns the topics; its namespace is the robot's.
            camera: name as in PolicySpec.cameras.
            frame_id: tf frame in the headers; empty = `<camera>_optical_frame`.
            jpeg_quality: for frames that come as pixels, 1 to 100.
            lossless: answer requests with PNG of the pixels instead of JPEG.
            next_frame_within_s: a request waits for the next frame where that is due within this time, s; 0 = never.
            camera_info: intrinsics; None publishes an uncalibrated one (K all zero, as REP 104 has it).
        """
        self._node = node
        self._camera = camera
        self._camera_info = camera_info
        self._bridge = CvBridge()
        self._streamed = 0
        self._compressed = node.create_publisher(CompressedImage, f"{camera}/image_raw/compressed", qos.IMAGE_WRITER)
        self._raw = node.create_publisher(Image, f"{camera}/image_raw", qos.IMAGE_WRITER)
        self._info = node.create_publisher(CameraInfo, f"{camera}/camera_info", qos.IMAGE_WRITER)
        self._observations = ObservationPublisher(
            node,
            camera,
            frame_id=frame_id,
            jpeg_quality=jpeg_quality,
            lossless=lossless,
            next_frame_within_s=next_frame_within_s,
        )

    @property
    def counts(self) -> CameraCounts:
        """Frames taken in, requests served, frames streamed to listeners."""
        return CameraCounts(self._observations.frames, self._observations.observations, self._streamed)

    def rivals(self) -> list[str]:
        """Return the other nodes that answer for this camera; ask about once a second."""
        return self._observations.rivals()

    def publish_frame(self, frame: Frame) -> None:
        """Take in the newest frame, stream it to whoever listens, and answer a request that waited for it.

        Raises:
            ValueError: the frame is not newer than the last one.
        """
        streaming = self._compressed.get_subscription_count() > 0
        if streaming or self._observations.needs_jpeg:
            frame = self._observations.with_jpeg(frame)
        self._observations.add(frame)
        if streaming:
            self._compressed.publish(self._observations.compressed_image(frame))
            self._streamed += 1
        if self._raw.get_subscription_count() > 0:
            self._publish_raw(frame)
        if self._info.get_subscription_count() > 0:
            self._publish_info(frame)

    def _publish_raw(self, frame: Frame) -> None:
        try:
            pixels = pixels_of(frame)
        except ImageCodecError as error:
            self._report(frame, error)
            return
        # The header is set apart: cv_bridge's pure Python build takes none.
        message = self._bridge.cv2_to_imgmsg(pixels, "bgr8")
        message.header = self._observations.header(frame)
        self._raw.publish(message)

    def _publish_info(self, frame: Frame) -> None:
        try:
            width, height = frame_size(frame)
        except ImageCodecError as error:
            self._report(frame, error)
            return
        info = self._camera_info
        if info is None:
            info = CameraInfo(width=width, height=height)
        elif (info.width, info.height) != (width, height):
            self._node.get_logger().warning(
                f"{self._camera}: camera_info_url is of {info.width}x{info.height}, the frames are {width}x{height}: "
                "calibrate with these settings (width, height, rotation), or set those it was made with",
                throttle_duration_sec=60.0,
            )
        info.header = self._observations.header(frame)
        self._info.publish(info)

    def _report(self, frame: Frame, error: ImageCodecError) -> None:
        self._node.get_logger().error(
            f"Error capturing observation: {self._camera}: frame {frame.seq}: {error}", throttle_duration_sec=1.0
        )
