# SPDX-License-Identifier: Apache-2.0
"""Hears a running robot and shows it in the browser. It sends nothing, and steps back behind the robot."""

import math
import os
import sys
import time
import uuid
import webbrowser
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rcl_interfaces.msg import Log
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, JointState
from so101_description.errors import AssetError, MeshFolderError
from so101_description.mesh_files import robot_description
from so101_description.robot_description import urdf_folder
from so101_description.robot_model import RobotModel
from so101_msgs.msg import DriverStatus, EpisodeEvent, PolicyStatus, QueueStatus
from so101_node.metrics.latency import LatencyWindow
from so101_node.parameters.declaring import declare
from so101_node.process import NodeError, run_process
from so101_node.timing.timers import create_timer
from trajectory_msgs.msg import JointTrajectory

from so101_viewer.errors import ViewerError
from so101_viewer.latency_listener import LatencyListener
from so101_viewer.polled import PolledTopic
from so101_viewer.view.arm_shapes import link_shapes, thinned_mesh_reader
from so101_viewer.view.layout import STATES
from so101_viewer.view.paths import GRIPPER_FRAME, Trail, planned_path
from so101_viewer.view.rerun_log import RerunLog
from so101_viewer.view.row_listener import CorrectedRow, RowListener
from so101_viewer.view.view_parameters import ViewParameters
from so101_viewer.view.viewer_server import ViewerServer

POLL_S, STATUS_S, SEARCH_S = 0.1, 0.3, 1.0
NOTHING_HEARD_S = 5.0
_STREAM = "/image_raw/compressed"
_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARN", 40: "ERROR", 50: "CRITICAL"}


class ViewNode(Node):
    """Starts the viewer's server, and connects topics to the log once it is up."""

    def __init__(self) -> None:
        super().__init__("view", enable_rosout=False)
        self._settings = declare(self, ViewParameters)
        os.nice(self._settings.niceness)
        self._log: RerunLog | None = None
        self._began_ns = time.monotonic_ns()
        try:
            self._server = ViewerServer(self._settings.port, self._settings.memory_mb, self._show)
        except ViewerError as error:
            raise NodeError(str(error)) from error
        self._server.start()
        self._starting = create_timer(self, POLL_S, self._start_when_up)

    def _show(self, _label: str, line: str) -> None:
        self.get_logger().info(line)

    def _start_when_up(self) -> None:
        try:
            if not self._server.is_up():
                return
        except ViewerError as error:
            raise NodeError(str(error)) from error
        self.destroy_timer(self._starting)
        self._log = RerunLog(self._server.data_url, str(uuid.uuid4()))
        self._listeners = _Listeners(self, self._log, self._settings, self._began_ns)
        create_timer(self, SEARCH_S, self._check_server)
        print(f"view: {self._server.page_url}", flush=True)
        display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")) or sys.platform == "darwin"
        if self._settings.open_browser and display:
            webbrowser.open(self._server.page_url)

    def _check_server(self) -> None:
        try:
            self._server.check()
        except ViewerError as error:
            raise NodeError(str(error)) from error

    def on_exit(self) -> None:
        """Take the page down."""
        if self._log is not None:
            self._log.close()
        self._server.stop()


class _Listeners:
    """The topics, each looked at as often as a person can see, and translated for the log."""

    def __init__(self, node: Node, log: RerunLog, settings: ViewParameters, began_ns: int) -> None:
        self._node, self._log, self._began_ns = node, log, began_ns
        try:
            self._model = RobotModel.parse(robot_description(urdf_folder(), settings.meshes))
        except MeshFolderError as error:
            raise NodeError(str(error)) from error
        self._moving = self._show_arm()
        self._trail, self._latency_window = Trail(), LatencyWindow()
        self._commanded: dict[str, float] = {}
        self._rows = RowListener(node)
        self._row: CorrectedRow | None = None
        self._corrected = False
        self._correction_cause = ""
        self._flushes = 0
        self._joint_states = PolledTopic(node, JointState, "joint_states", 1)
        self._commands = PolledTopic(node, JointState, "joint_command", 1)
        self._plans = PolledTopic(node, JointTrajectory, "action_plan", 1)
        self._queue = PolledTopic(node, QueueStatus, "action_queue/status", 100)
        self._driver = PolledTopic(node, DriverStatus, "driver_status", 10)
        self._server = PolledTopic(node, PolicyStatus, "policy_status", 10)
        self._episodes = PolledTopic(node, EpisodeEvent, "episode", 10, latched=True)
        self._lines = PolledTopic(node, Log, "/rosout", 200)
        self._latency = LatencyListener(node)
        self._cameras: dict[str, PolledTopic] = {}
        self._arrange()
        self._timers = [
            create_timer(node, 1.0 / settings.pose_hz, self._look_at_motion),
            create_timer(node, 1.0 / settings.camera_hz, self._look_at_cameras),
            create_timer(node, STATUS_S, self._look_at_status),
            create_timer(node, SEARCH_S, self._find_cameras),
        ]
        self._silence = create_timer(node, NOTHING_HEARD_S, self._tell_of_silence)
        if settings.listen_s:
            self._timers.append(create_timer(node, settings.listen_s, self._stop))

    def _stop(self) -> None:
        self._log.flush()
        for timer in self._timers:
            timer.cancel()

    def _show_arm(self) -> list[str]:
        try:
            shapes = link_shapes(self._model, thinned_mesh_reader())
        except AssetError:
            self._model = RobotModel.parse(robot_description(urdf_folder(), "none"))
            shapes = link_shapes(self._model, _no_mesh)
        self._log.arm(shapes)
        self._log.at(0.0)
        self._log.place_links(self._model.link_poses({}), list(shapes))
        return [link for link in shapes if link != self._model.root]

    def _now(self) -> float:
        """Time since the view began, s; what is logged next belongs to it."""
        time_s = (time.monotonic_ns() - self._began_ns) * 1e-9
        self._log.at(time_s)
        return time_s

    def _look_at_motion(self) -> None:
        time_s = self._now()
        plan = self._plans.newest()
        if plan is not None:
            rows = [point.positions for point in plan.points]
            self._log.planned_path(planned_path(self._model, plan.joint_names, rows))
        self._commanded = _positions(self._commands.newest())
        planned = self._look_at_row()
        measured = _positions(self._joint_states.newest())
        if not measured:
            return
        links = self._model.link_poses(measured)
        self._log.place_links(links, self._moving)
        self._trail.add(round(time_s * 1e9), links[GRIPPER_FRAME][:3, 3])
        self._log.measured_path(self._trail.points())
        for joint, position in measured.items():
            others = [line.get(joint, math.nan) for line in (self._commanded, planned)]
            self._log.scalar(f"joints/{joint}", time_s, position, *others[: 1 + self._corrected])

    def _look_at_row(self) -> dict[str, float]:
        """Show what the correction did to the newest row, and return that row as planned; empty without one."""
        row = self._row = self._rows.newest()
        if row is None:
            return {}
        if not self._corrected:
            self._corrected = True
            self._arrange()
        self._log.gripper_shift(*self._gripper(row))
        return row.planned

    def _gripper(self, row: CorrectedRow) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the row leads the gripper as planned and as corrected, m."""
        planned, corrected = (self._model.link_poses(line) for line in (row.planned, row.corrected))
        return planned[GRIPPER_FRAME][:3, 3], corrected[GRIPPER_FRAME][:3, 3]

    def _arrange(self) -> None:
        self._log.arrange(sorted(self._cameras), self._model.joint_names, corrected=self._corrected)

    def _look_at_cameras(self) -> None:
        self._now()
        for name, topic in self._cameras.items():
            serialized = topic.newest()
            if serialized is not None:
                self._log.camera(name, bytes(deserialize_message(serialized, CompressedImage).data))

    def _look_at_status(self) -> None:
        time_s = self._now()
        statuses = list(self._queue.take())
        for status in statuses:
            # Where between two looks a tick lies, its robot's own clock tells; no clock of two hosts is compared.
            tick_s = time_s - (statuses[-1].tick_ns - status.tick_ns) * 1e-9
            self._log.at(tick_s)
            self._log.state("queue", _name("queue", status.state))
            self._log.scalar("queue/rows", tick_s, float(status.length))
            self._look_at_correction(status, tick_s)
        if statuses:
            self._log.scalar("queue/requests_at", time_s, statuses[-1].threshold * statuses[-1].chunk_size)
            self._log.scalar("age/action", time_s, statuses[-1].action_age * 1e3)
            self._log.scalar("age/round_trip", time_s, statuses[-1].round_trip_last * 1e3)
        self._log.at(time_s)
        if self._row is not None:
            self._log.correction(self._row, math.dist(*self._gripper(self._row)), self._correction_cause)
        for lane, topic in (("driver", self._driver), ("server", self._server)):
            for status in topic.take():
                self._log.state(lane, _name(lane, status.state))
        for event in self._episodes.take():
            name = _name("episode", event.event)
            self._log.state("episode", name)
            self._log.line("episode", "INFO", f"episode {event.episode + 1}: {name.lower()} {event.message}".strip())
        for line in self._lines.take():
            self._log.line(line.name, _LEVELS.get(int(line.level), "INFO"), f"{line.name}: {line.msg}")
        for breakdown in self._latency.poll():
            self._latency_window.add(breakdown)
            self._log.breakdown(time_s, breakdown, self._latency_window)
        self._flushes += 1
        self._log.flush(joints=self._flushes % 4 == 0)

    def _look_at_correction(self, status: QueueStatus, tick_s: float) -> None:
        cause = status.correction_cause
        self._log.state("correction", "OFF" if not status.correction else "AS PLANNED" if cause else "CORRECTING")
        if status.correction:
            self._log.scalar("correction", tick_s, *map(math.degrees, status.correction))
        if cause and cause != self._correction_cause:
            self._log.line("correction", "WARN", f"correction: as planned: {cause}")
        self._correction_cause = cause

    def _tell_of_silence(self) -> None:
        self._silence.cancel()
        if line := silence(self._node.count_publishers):
            self._node.get_logger().warning(line)

    def _find_cameras(self) -> None:
        self._latency.find_cameras()
        namespace = self._node.get_namespace().rstrip("/") + "/"
        found = {
            topic.removeprefix(namespace).removesuffix(_STREAM): topic
            for topic, types in self._node.get_topic_names_and_types()
            if topic.startswith(namespace) and topic.endswith(_STREAM) and "sensor_msgs/msg/CompressedImage" in types
        }
        new = sorted(set(found) - set(self._cameras))
        for name in new:
            self._cameras[name] = PolledTopic(self._node, CompressedImage, found[name], 1, raw=True)
        if new:
            self._arrange()


def silence(count_publishers: Callable[[str], int]) -> str:
    """Return why the page stays empty where nobody is heard, "" where a robot is: it is often in another domain."""
    if any(map(count_publishers, ("joint_states", "action_queue/status"))):
        return ""
    domain = os.environ.get("ROS_DOMAIN_ID") or "0"
    return (
        f"no robot is heard in ROS_DOMAIN_ID={domain} yet: the page fills once one starts; "
        "one in another domain: ROS_DOMAIN_ID=N ./so101 view"
    )


def _positions(message: JointState | None) -> dict[str, float]:
    """Return position by joint; empty where there is none, or where it is not whole."""
    if message is None or len(message.name) != len(message.position):
        return {}
    return dict(zip(message.name, message.position, strict=True)) if all(map(math.isfinite, message.position)) else {}


def _name(lane: str, number: int) -> str:
    names = list(STATES[lane])
    return names[number] if number < len(names) else f"state {number}"


def _no_mesh(file: str) -> Any:
    raise ValueError(f"expected boxes only, got mesh {file}")


def main() -> None:
    """Run the view."""
    run_process(ViewNode)


if __name__ == "__main__":
    main()
