# SPDX-License-Identifier: Apache-2.0
"""The camera node: one device or file, streamed to listeners and answering observation requests."""

import time
from dataclasses import dataclass
from pathlib import Path

from rclpy.node import Node
from so101_node.diagnostics import Cause, Level
from so101_node.diagnostics.publishing import DiagnosticsPublisher, entry, node_name
from so101_node.parameters import ParameterError, parameter, precedence
from so101_node.parameters.declaring import declare
from so101_node.process import NodeError, run_process
from so101_node.process.precedence import take_precedence
from so101_node.threads import FatalSlot
from so101_node.timing import clock
from so101_node.timing.start_grace import StartGrace
from so101_node.timing.timers import create_timer

from so101_camera.core.camera_name import check_camera_name
from so101_camera.core.frame import Frame
from so101_camera.core.frame_rate import FrameRate
from so101_camera.core.frame_source import SourceSettings, without_password
from so101_camera.core.size_watch import SIZE_CHANGED, SizeWatch
from so101_camera.errors import CameraInfoError, SourceError, UnknownSourceError
from so101_camera.image_codec import DEFAULT_JPEG_QUALITY, frame_size
from so101_camera.ros.camera_info import load_camera_info
from so101_camera.ros.camera_publisher import CameraPublisher
from so101_camera.ros.rivals import ANSWERED_TWICE
from so101_camera.sources.capture_loop import CaptureLoop
from so101_camera.sources.frame_sources import FRAME_SOURCES, OWN, make_source
from so101_camera.sources.rotated_source import ROTATIONS

DIAGNOSTICS_PERIOD_S = 1.0

CAPTURING = Cause("CAPTURING", Level.OK, "frames come")
NO_FRAMES = Cause(
    "NO_FRAMES",
    Level.ERROR,
    "the camera gives no frame",
    "plug it in, or free it; the node looks for it by itself",
)
OPENING = Cause("OPENING", Level.WARN, "the node has just been started, and no frame has come yet", "wait")
SLOW = Cause(
    "SLOW",
    Level.WARN,
    "fewer frames come than were requested",
    "more light, or a fixed exposure; MJPG, or a USB port of its own; else set fps to what the camera gives",
)
CAUSES = (CAPTURING, SLOW, SIZE_CHANGED, OPENING, NO_FRAMES, ANSWERED_TWICE)


@dataclass(frozen=True, slots=True)
class CameraParameters:
    """Parameters of the camera node."""

    camera_name: str = parameter("", "name as in the policy's cameras; empty = the node's name")
    device: str = parameter(
        "", "/dev/video0, /dev/v4l/by-id/..., an index, rtsp:// or http:// URL, a video file or a folder of JPEG files"
    )
    frame_source: str = parameter(
        "",
        "kind of frame source: opencv, url, file, or that of another package, for which device is what it makes of it; "
        "empty = opencv, url or file, by device",
    )
    width: int = parameter(
        640, "width of the frames, after rotation, pixels; requested from a device", lower=16, upper=8192
    )
    height: int = parameter(
        480, "height of the frames, after rotation, pixels; requested from a device", lower=16, upper=8192
    )
    rotation: int = parameter(
        0, "degrees by which frames are turned clockwise, as LeRobot's rotation; -90 is 270", choices=ROTATIONS
    )
    fps: float = parameter(
        30.0, "frames a second requested from the device; files loop at this rate", lower=1.0, upper=240.0
    )
    fourcc: str = parameter(
        "MJPG", "pixel format requested from the device; MJPG passes its JPEG bytes through untouched"
    )
    jpeg_quality: int = parameter(
        DEFAULT_JPEG_QUALITY, "JPEG quality for sources that give pixels, 1 to 100", lower=1, upper=100
    )
    lossless: bool = parameter(False, "send PNG frames instead of JPEG on request")
    next_frame_within_s: float = parameter(
        0.0,
        "a request waits for the next frame where that is due within this time, half a frame period at most, s: frames "
        "are fresher, chunks later; 0 = the newest frame at once",
        lower=0.0,
        upper=0.1,
    )
    frame_id: str = parameter("", "tf frame in the headers; empty = <camera_name>_optical_frame")
    camera_info_url: str = parameter("", "YAML file of camera_calibration, a path or file:// URL; empty = uncalibrated")
    niceness: int = precedence.niceness(-5)

    def validate(self) -> None:
        """Check the rules that ranges cannot say."""
        if not self.device and self.frame_source in ("", *OWN):
            raise ParameterError("parameter device = '': give a camera such as /dev/video0, or a folder of JPEG files")
        if len(self.fourcc) != 4 or not self.fourcc.isascii():
            raise ParameterError(f"parameter fourcc = {self.fourcc!r}: must be four letters such as MJPG or YUYV")
        check_camera_name(self.camera_name)


class CameraNode(Node):
    """Connects one frame source to the camera topics."""

    def __init__(self) -> None:
        super().__init__("camera")
        parameters = declare(self, CameraParameters)
        self._camera = parameters.camera_name or self.get_name()
        try:
            info = load_camera_info(_plain_path(parameters.camera_info_url)) if parameters.camera_info_url else None
            self._source = make_source(
                SourceSettings(
                    parameters.device,
                    parameters.width,
                    parameters.height,
                    parameters.fps,
                    parameters.fourcc,
                    parameters.rotation,
                ),
                parameters.frame_source,
            )
        except UnknownSourceError as error:
            raise ParameterError(f"parameter {error}") from error
        except (SourceError, CameraInfoError) as error:
            raise NodeError(str(error)) from error
        if parameters.frame_source:
            self.get_logger().info(f"Frame sources installed: {', '.join(FRAME_SOURCES.installed())}")
        self._publisher = CameraPublisher(
            self,
            self._camera,
            frame_id=parameters.frame_id,
            jpeg_quality=parameters.jpeg_quality,
            lossless=parameters.lossless,
            next_frame_within_s=parameters.next_frame_within_s,
            camera_info=info,
        )
        self._device = without_password(parameters.device) or parameters.frame_source
        self._fps = parameters.fps
        self._rate = FrameRate(parameters.fps)
        self._was_slow = self._was_old = False
        self._diagnostics = DiagnosticsPublisher(self)
        self._sizes = SizeWatch(frame_size)
        self._fatal = FatalSlot(f"camera {self._camera}")
        self._loop = CaptureLoop(self._source, self._on_frame, self._on_capture_error, self._fatal)
        self._openings_before = 0
        self._grace = StartGrace(clock.now_ns())
        create_timer(self, DIAGNOSTICS_PERIOD_S, self._publish_diagnostics)
        take_precedence(self, parameters.niceness)
        self._loop.start()

    def on_exit(self) -> None:
        """End the capture thread."""
        self._loop.stop()

    def _on_frame(self, frame: Frame) -> None:
        self._sizes.add(frame)
        self._publisher.publish_frame(frame)

    def _on_capture_error(self, message: str) -> None:
        text = f"{self._camera}: {message}"
        if self._loop.state.frames == 0 and self._grace.covers(clock.now_ns()):
            self.get_logger().warning(f"waiting for the camera: {text}")
        else:
            self.get_logger().error(f"Error capturing observation: {text}")

    def _publish_diagnostics(self) -> None:
        state = self._loop.state
        self._fatal.check()
        if state.openings > self._openings_before:
            mismatch = self._source.mismatch()
            if mismatch:
                self.get_logger().warning(f"{self._camera}: {mismatch}")
        self._openings_before = state.openings
        self._rate.add(time.monotonic_ns(), state.frames)
        counts = self._publisher.counts
        values = {
            "frames": counts.frames,
            "frames_per_s": round(self._rate.measured, 1),
            "frames_per_s_asked": self._fps,
            "observations": counts.observations,
            "streamed": counts.streamed,
            "openings": state.openings,
        }
        if state.frames:
            self._grace.over()
        missing = OPENING if self._grace.covers(clock.now_ns()) else NO_FRAMES
        cause = missing if self._rate.is_silent else SLOW if self._rate.is_slow else CAPTURING
        detail = state.error if cause is missing else self._rate.words()
        self._say_once(cause is SLOW)
        changed = self._sizes.look()
        if changed:
            self.get_logger().warning(f"{self._camera}: {changed}")
        if self._sizes.words() and cause is not missing:
            cause, detail = SIZE_CHANGED, self._sizes.words()
        rivals = self._publisher.rivals()
        if rivals:
            cause, detail = ANSWERED_TWICE, ", ".join(rivals)
            self.get_logger().error(
                f"{self._camera}: {cause.meaning}: {detail}: {cause.remedy}", throttle_duration_sec=30.0
            )
        name = f"{node_name(self)}: capture"
        self._diagnostics.offer([entry(name, cause, detail, values, self._device)])

    def _say_once(self, is_slow: bool) -> None:
        """Log a rate that is not as asked, or that a policy server refuses, when it begins to be so."""
        is_old = self._rate.is_old
        if is_slow and not self._was_slow:
            self.get_logger().warning(f"{self._camera}: {SLOW.meaning}: {self._rate.words()}; {SLOW.remedy}")
        if is_old and not self._was_old:
            self.get_logger().warning(f"{self._camera}: {self._rate.age_words()}")
        self._was_slow, self._was_old = is_slow, is_old


def _plain_path(url: str) -> Path:
    return Path(url.removeprefix("file://")).expanduser()


def main() -> None:
    """Run the node until it is told to stop."""
    run_process(CameraNode, events=True)


if __name__ == "__main__":
    main()
