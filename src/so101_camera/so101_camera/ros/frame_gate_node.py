# SPDX-License-Identifier: Apache-2.0
"""Node frame_gate: lets any camera driver answer observation requests.

It listens to a driver's image topic on the robot's own host and answers each request with the newest frame, so that
only the frames that an inference needs cross the network.
"""

import re
import time
from dataclasses import dataclass

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from so101_node.diagnostics import Cause, Level
from so101_node.diagnostics.publishing import DiagnosticsPublisher, entry, node_name
from so101_node.parameters import ParameterError, parameter
from so101_node.parameters.declaring import declare
from so101_node.process import run_process
from so101_node.timing import clock
from so101_node.timing.start_grace import StartGrace
from so101_node.timing.timers import create_timer
from so101_node.topics import qos

from so101_camera.core.camera_name import CAMERA_NAME, check_camera_name
from so101_camera.core.frame_rate import FrameRate
from so101_camera.core.size_watch import SIZE_CHANGED, SizeWatch
from so101_camera.errors import ImageCodecError
from so101_camera.image_codec import DEFAULT_JPEG_QUALITY, frame_size
from so101_camera.ros.foreign_frames import ForeignFrames
from so101_camera.ros.image_topic import ImageType, lack, published_kind
from so101_camera.ros.observation_publisher import ObservationPublisher
from so101_camera.ros.rivals import ANSWERED_TWICE
from so101_camera.sources.rotated_source import ROTATIONS, rotated_frame

DIAGNOSTICS_PERIOD_S = 1.0

PASSING = Cause("PASSING", Level.OK, "frames come")
NO_IMAGES = Cause(
    "NO_IMAGES", Level.ERROR, "nothing new on the camera driver's topic",
    "start the camera driver, or name one of the topics that the message lists",
)  # fmt: skip
WAITING = Cause("WAITING", Level.WARN, "the node has just been started, and no frame has come yet", "wait")
UNREADABLE = Cause(
    "UNREADABLE",
    Level.ERROR,
    "the camera driver's images cannot be used",
    "set the driver to an encoding that is read",
)
CAUSES = (PASSING, SIZE_CHANGED, WAITING, NO_IMAGES, UNREADABLE, ANSWERED_TWICE)

_TOPIC = r"[~/]?[A-Za-z_][A-Za-z0-9_/]*[A-Za-z0-9_]"
_COMPRESSED = "/compressed"


@dataclass(frozen=True, slots=True)
class FrameGateParameters:
    """Parameters of the frame_gate node."""

    camera_name: str = parameter("", "name as in the policy's cameras; empty = the node's name")
    source: str = parameter(
        "",
        "CAMERA=TOPIC in one: wrist=/camera/color/image_raw, or .../image_raw/compressed where the driver offers it; "
        "empty = camera_name, image_topic and image_transport",
    )
    image_topic: str = parameter("", "the driver's image topic, without /compressed; empty = <camera_name>/image_raw")
    image_transport: str = parameter(
        "compressed",
        "compressed: <image_topic>/compressed, JPEG bytes are passed on untouched; raw: <image_topic>, encoded here",
        choices=("compressed", "raw"),
    )
    rotation: int = parameter(
        0, "degrees by which frames are turned clockwise, as LeRobot's rotation; -90 is 270", choices=ROTATIONS
    )
    jpeg_quality: int = parameter(
        DEFAULT_JPEG_QUALITY, "JPEG quality for frames that come raw, 1 to 100", lower=1, upper=100
    )
    lossless: bool = parameter(False, "send PNG frames instead of JPEG on request")

    def validate(self) -> None:
        """Check the rules that ranges cannot say."""
        if self.source and not re.fullmatch(rf"{CAMERA_NAME}={_TOPIC}", self.source):
            raise ParameterError(
                f"parameter source = {self.source!r}: must be CAMERA=TOPIC such as wrist=/camera/color/image_raw, "
                "CAMERA as in the policy's cameras"
            )
        if self.source and (self.camera_name or self.image_topic):
            raise ParameterError(
                f"parameter source = {self.source!r}: says camera_name and image_topic too; leave those two empty"
            )
        if self.source.endswith(_COMPRESSED) and self.image_transport == "raw":
            raise ParameterError(
                f"parameter source = {self.source!r}: contradicts image_transport = 'raw'; leave image_transport out"
            )
        check_camera_name(self.camera_name)
        if self.image_topic and not re.fullmatch(_TOPIC, self.image_topic):
            raise ParameterError(f"parameter image_topic = {self.image_topic!r}: must be a topic such as camera/image")
        if self.image_topic.endswith("/compressed"):
            raise ParameterError(
                f"parameter image_topic = {self.image_topic!r}: leave /compressed out; image_transport says it"
            )


class FrameGateNode(Node):
    """Connects one image topic to the observation topic."""

    def __init__(self) -> None:
        super().__init__("frame_gate")
        parameters = declare(self, FrameGateParameters)
        self._camera, topic, self._kind = _chosen(parameters, self.get_name())
        self._frames = ForeignFrames()
        self._rotation = parameters.rotation
        self._observations = ObservationPublisher(
            self,
            self._camera,
            jpeg_quality=parameters.jpeg_quality,
            lossless=parameters.lossless,
        )
        self._subscription = self.create_subscription(self._kind, topic, self._on_image, qos.IMAGE)
        self._topic = self._subscription.topic_name
        self._diagnostics = DiagnosticsPublisher(self)
        self._rate = FrameRate(0)
        self._sizes = SizeWatch(frame_size)
        self._was_old = False
        self._grace = StartGrace(clock.now_ns())
        self._error = ""
        create_timer(self, DIAGNOSTICS_PERIOD_S, self._publish_diagnostics)

    def _on_image(self, message: CompressedImage | Image) -> None:
        try:
            frame = self._frames.frame_of(message, time.monotonic_ns())
            frame = frame and rotated_frame(frame, self._rotation)
        except ImageCodecError as error:
            self._error = str(error)
            self.get_logger().error(f"Error capturing observation: {self._camera}: {error}", throttle_duration_sec=1.0)
            return
        if frame is None:
            return
        self._error = ""
        self._sizes.add(frame)
        if message.header.frame_id:
            self._observations.frame_id = message.header.frame_id
        self._observations.add(self._observations.with_jpeg(frame) if self._observations.needs_jpeg else frame)

    def _publish_diagnostics(self) -> None:
        frames = self._observations.frames
        self._rate.add(time.monotonic_ns(), frames)
        if frames:
            self._grace.over()
        else:
            self._take_what_is_published()
        changed = self._sizes.look()
        if changed:
            self.get_logger().warning(f"{self._camera}: {changed}")
        rivals = self._observations.rivals()
        if rivals:
            cause, detail = ANSWERED_TWICE, ", ".join(rivals)
        elif self._error:
            cause, detail = UNREADABLE, self._error
        elif not self._rate.is_silent and self._sizes.words():
            cause, detail = SIZE_CHANGED, self._sizes.words()
        elif not self._rate.is_silent:
            cause, detail = PASSING, self._rate.words()
        else:
            cause = WAITING if self._grace.covers(clock.now_ns()) else NO_IMAGES
            detail = lack(self, self._topic)
        self._say(cause, detail)
        values = {"frames": frames, "observations": self._observations.observations}
        self._diagnostics.offer([entry(f"{node_name(self)}: capture", cause, detail, values, self._topic)])

    def _say(self, cause: Cause, detail: str) -> None:
        """Log what keeps the policy from its frames: nobody looks at /diagnostics first."""
        if cause in (NO_IMAGES, ANSWERED_TWICE):
            self.get_logger().error(
                f"{self._camera}: {cause.meaning}: {detail}: {cause.remedy}", throttle_duration_sec=30.0
            )
        is_old = self._rate.is_old
        if is_old and not self._was_old:
            self.get_logger().warning(f"{self._camera}: {self._rate.age_words()}")
        self._was_old = is_old

    def _take_what_is_published(self) -> None:
        """Listen for the other type of image where the topic has that: not every driver names it as others do."""
        kind = published_kind(self, self._topic)
        if kind is None or kind is self._kind:
            return
        self.destroy_subscription(self._subscription)
        self._kind = kind
        self._subscription = self.create_subscription(kind, self._topic, self._on_image, qos.IMAGE)
        self.get_logger().info(f"{self._topic} is {kind.__name__}: read as that")


def _chosen(parameters: FrameGateParameters, node_name: str) -> tuple[str, str, ImageType]:
    """Camera, topic and type of message."""
    if parameters.source:
        camera, _, topic = parameters.source.partition("=")
        return camera, topic, CompressedImage if topic.endswith(_COMPRESSED) else Image
    camera = parameters.camera_name or node_name
    base = parameters.image_topic or f"{camera}/image_raw"
    if parameters.image_transport == "compressed":
        return camera, base + _COMPRESSED, CompressedImage
    return camera, base, Image


def main() -> None:
    """Run the node until it is told to stop."""
    run_process(FrameGateNode)


if __name__ == "__main__":
    main()
