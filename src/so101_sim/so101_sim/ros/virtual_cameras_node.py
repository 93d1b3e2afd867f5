# SPDX-License-Identifier: Apache-2.0
"""The virtual arm's cameras: rendered from its state, published as the camera node publishes real ones."""

import math
import os
import time
from pathlib import Path

os.environ["MUJOCO_GL"] = "disable"  # importing mujoco must not look for a GL library; the renderer does, and explains

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from so101_camera.core.frame import Frame
from so101_camera.ros.camera_info import pinhole_camera_info
from so101_camera.ros.camera_publisher import CameraPublisher
from so101_msgs.msg import PolicySpec
from so101_node.diagnostics import Cause, Level
from so101_node.diagnostics.publishing import DiagnosticsPublisher, entry, node_name
from so101_node.parameters.declaring import declare
from so101_node.process import NodeError, precedence, run_process
from so101_node.threads import FatalSlot
from so101_node.timing import clock
from so101_node.timing.start_grace import StartGrace
from so101_node.timing.timers import create_timer
from so101_node.topics import graph
from so101_node.topics.qos import LATCHED

from so101_sim.errors import SimulationError
from so101_sim.ros.parameters import VirtualCamerasParameters
from so101_sim.world.render_loop import RenderLoop
from so101_sim.world.scene import IMAGE_HEIGHT, IMAGE_WIDTH, build_model
from so101_sim.world.world_view import WorldView

_STREAMS = ("image_raw", "image_raw/compressed", "camera_info")
_LOOK_FOR_LISTENERS_S = 0.25
_DIAGNOSTICS_PERIOD_S = 1.0

RENDERING = Cause("RENDERING", Level.OK, "frames come")
UNWATCHED = Cause("UNWATCHED", Level.OK, "nobody looks through it")
NO_FRAMES = Cause("NO_FRAMES", Level.ERROR, "it is wanted, and no frame comes", "lower fps, or a less busy computer")
NO_ARM = Cause("NO_ARM", Level.ERROR, "no state of the virtual arm", "start virtual_arm with this sim_dir")
STARTING = Cause("STARTING", Level.WARN, "the node has just been started, and no frame has come yet", "wait")
CAUSES = (RENDERING, UNWATCHED, STARTING, NO_FRAMES, NO_ARM)


class VirtualCamerasNode(Node):
    """Three cameras in one process, as one GL context renders them all."""

    def __init__(self) -> None:
        super().__init__("virtual_cameras")
        self._settings = parameters = declare(self, VirtualCamerasParameters)
        try:
            model = build_model()
        except SimulationError as error:
            raise NodeError(str(error)) from error
        self._publishers_of = {
            camera: CameraPublisher(
                self,
                camera,
                jpeg_quality=parameters.jpeg_quality,
                lossless=parameters.lossless,
                next_frame_within_s=parameters.next_frame_within_s,
                camera_info=pinhole_camera_info(IMAGE_WIDTH, IMAGE_HEIGHT, math.radians(model.camera(camera).fovy[0])),
            )
            for camera in parameters.cameras
        }
        self._asked_for: frozenset[str] = frozenset()
        self._wanted = frozenset(parameters.cameras if parameters.render_unwatched else ())
        self._fatal = FatalSlot()
        self._loop = RenderLoop(
            model,
            WorldView(Path(parameters.sim_dir), model),
            parameters.cameras,
            fps=parameters.fps,
            niceness=parameters.render_niceness,
            library=parameters.gl_library,
            wanted=lambda: self._wanted,
            on_frame=self._on_frame,
            fatal=self._fatal,
        )
        self._seen_ns = time.monotonic_ns()
        self._grace = {camera: StartGrace(clock.now_ns()) for camera in parameters.cameras}
        self._frames_before = dict.fromkeys(parameters.cameras, 0)
        self._diagnostics = DiagnosticsPublisher(self)
        self.create_subscription(PolicySpec, "policy_spec", self._on_spec, LATCHED)
        create_timer(self, _LOOK_FOR_LISTENERS_S, self._look_for_listeners)
        create_timer(self, _DIAGNOSTICS_PERIOD_S, self._publish_diagnostics)
        precedence.take_precedence(self, parameters.niceness)
        self._loop.start()

    def on_exit(self) -> None:
        """End the rendering thread."""
        self._loop.stop()

    def _on_frame(self, camera: str, frame: Frame) -> None:
        self._publishers_of[camera].publish_frame(frame)

    def _on_spec(self, spec: PolicySpec) -> None:
        self._asked_for = frozenset(spec.cameras)
        self._look_for_listeners()

    def _look_for_listeners(self) -> None:
        if self._settings.render_unwatched:
            return
        watched = {
            camera
            for camera in self._publishers_of
            if any(graph.subscriptions(self, f"{camera}/{stream}") for stream in _STREAMS)
        }
        self._wanted = frozenset(watched | (self._asked_for & self._publishers_of.keys()))

    def _publish_diagnostics(self) -> None:
        self._fatal.check()
        problem = self._loop.problem
        if not problem:
            self._seen_ns = time.monotonic_ns()
        waited_s = (time.monotonic_ns() - self._seen_ns) / 1e9
        if problem and 0 < self._settings.connect_timeout_s < waited_s:
            raise NodeError(f"waited {waited_s:.0f} s for the virtual arm: {problem}")
        if problem:
            self.get_logger().warning(f"Error capturing observation: {problem}", throttle_duration_sec=5.0)
        self._diagnostics.offer([self._status_of(camera, problem) for camera in self._publishers_of])

    def _status_of(self, camera: str, problem: str) -> DiagnosticStatus:
        done = self._loop.counts(camera)
        rate = (done.frames - self._frames_before[camera]) / _DIAGNOSTICS_PERIOD_S
        self._frames_before[camera] = done.frames
        asleep = camera not in self._wanted
        counts = self._publishers_of[camera].counts
        if done.frames:
            self._grace[camera].over()
        missing = NO_ARM if problem else RENDERING if rate else UNWATCHED if asleep else NO_FRAMES
        starting = missing.level is Level.ERROR and self._grace[camera].covers(clock.now_ns())
        cause = STARTING if starting else missing
        values = {
            "frames": counts.frames,
            "observations": counts.observations,
            "streamed": counts.streamed,
            "skipped": done.skipped,
        }
        detail = problem or (f"{rate:.0f} frames/s" if rate else "")
        return entry(f"{node_name(self)}: {camera}", cause, detail, values, self._settings.sim_dir)


def main() -> None:
    """Run the node until it is told to stop."""
    run_process(VirtualCamerasNode)


if __name__ == "__main__":
    main()
