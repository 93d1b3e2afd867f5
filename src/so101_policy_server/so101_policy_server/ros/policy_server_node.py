# SPDX-License-Identifier: Apache-2.0
"""Node `policy_server`: answers ObservationRequests with ActionChunks of a LeRobot policy."""

from __future__ import annotations

import secrets
import threading
import time
from functools import partial
from typing import Any

from rclpy.exceptions import InvalidTopicNameException
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CompressedImage, Image, JointState
from so101_msgs.msg import ObservationImage, ObservationRequest, PolicySpec
from so101_node.diagnostics.publishing import DiagnosticsPublisher, node_name
from so101_node.log_lines import write_line
from so101_node.parameters import ParameterError, shown
from so101_node.parameters.declaring import declare
from so101_node.process import run_process, wait_until_heard
from so101_node.process.lifecycle import AutostartNode
from so101_node.process.precedence import take_precedence
from so101_node.protocol import ChunkStatus
from so101_node.protocol.spec_message import spec_from
from so101_node.threads import FatalSlot, FixedRateThread, Tick
from so101_node.timing.timers import create_timer

from so101_policy_server.core.policy_slot import NO_POLICY
from so101_policy_server.core.request import ServedChunk
from so101_policy_server.core.server import PolicyServer
from so101_policy_server.inference.inference_thread import CoreCall, InferenceThread
from so101_policy_server.inference.policy_libraries import PolicyLibraryError, find_loader, installed
from so101_policy_server.on_ray.cluster import Cluster
from so101_policy_server.on_ray.ray_policy import ray_loader
from so101_policy_server.parameters import ServerParameters
from so101_policy_server.policy import Loader
from so101_policy_server.ros.diagnosis import entry_of
from so101_policy_server.ros.messages import (
    to_chunk,
    to_frame,
    to_joint_positions,
    to_request,
    to_status,
    to_topic_frame,
)
from so101_policy_server.ros.robot_topics import RobotCallbacks, RobotTopics

TICK_S = 0.1
"""How often overdue requests are looked for."""

HEARTBEAT_NS = 200_000_000
"""5 Hz, whatever the other threads do: a robot misses four beats before it calls the server lost."""

STOP_TIMEOUT_S = 1.0


class PolicyServerNode(AutostartNode):
    """Serves one policy to one or more robots.

    Args:
        loader: how policies are loaded; None = by the library that policy_library names.

    Raises:
        ParameterError: a parameter is not accepted, or policy_library cannot be used.
    """

    def __init__(self, loader: Loader | None = None, **kwargs: Any) -> None:
        super().__init__("policy_server", **kwargs)
        self.log: Any = self.get_logger()  # type: ignore[no-untyped-call]
        self._settings = declare(self, ServerParameters)
        take_precedence(self, self._settings.niceness)
        self.log.info(f"Policy libraries installed: {', '.join(installed())}")
        try:
            self._loader = loader or find_loader(self._settings.policy_library)
            if self._settings.replicas:
                self._loader = self._on_ray()
        except PolicyLibraryError as error:
            raise ParameterError(str(error)) from error
        self._server_id = secrets.randbits(64) or 1
        self._inference: InferenceThread | None = None
        self._heartbeat: FixedRateThread | None = None
        self._robots: dict[str, RobotTopics] = {}
        self._sequence = 0
        self._status_lock = threading.Lock()
        self._fatal = FatalSlot()
        self._diagnostics = DiagnosticsPublisher(self)
        self._tick_timer = create_timer(self, TICK_S, self._on_tick)

    def _on_ray(self) -> Loader:
        settings = self._settings
        cluster = Cluster(settings.ray_address)
        return ray_loader(settings.policy_library, settings.replicas, cluster, settings.inference_timeout_s)

    # -- lifecycle ----------------------------------------------------------------------------------------------------

    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        """Connect topics and begin to load; returns at once."""
        core = PolicyServer(self._settings.config())
        try:
            self._robots = {name: self._connect(name) for name in self._settings.robots or (self.get_namespace(),)}
        except InvalidTopicNameException:
            self.failure = f"robots = {shown(self._settings.robots)}: must be namespaces such as /arm1"
            return TransitionCallbackReturn.FAILURE
        self._inference = InferenceThread(
            core,
            self._loader,
            self._publish_chunk,
            partial(write_line, self.log),
            self._publish_status,
            replicas=self._settings.replicas or 1,
        )
        self._inference.start()
        self._heartbeat = FixedRateThread("heartbeat", HEARTBEAT_NS, self._beat, self._fatal, at_once=True)
        self._heartbeat.start()
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: Any) -> TransitionCallbackReturn:
        """Answer requests."""
        self._call(lambda core, _now: core.activate())
        served = ", ".join(self._robots)
        self.log.info(f"PolicyServer started: {self._settings.server_name} for {served}")
        if self._settings.serves_nothing:
            self.log.warning(NO_POLICY)
        self._publish_status()
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: Any) -> TransitionCallbackReturn:
        """Refuse requests; the policy stays loaded."""
        self._call(lambda core, _now: core.deactivate())
        self._publish_status()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: Any) -> TransitionCallbackReturn:
        """Let go of the policy and all topics."""
        self._leave()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: Any) -> TransitionCallbackReturn:
        """As on_cleanup."""
        self._leave()
        return TransitionCallbackReturn.SUCCESS

    def on_exit(self) -> None:
        """Say goodbye, so that robots need not wait for the loss of the heartbeat."""
        self._leave()

    def _leave(self) -> None:
        if self._inference is None or self._heartbeat is None:
            return
        self._heartbeat.stop()
        self._call(lambda core, _now: core.deactivate())
        self._publish_status(leaving=True)
        if not self._inference.stop(STOP_TIMEOUT_S):
            self.log.warning("leaving while the policy is still at work")
        wait_until_heard(robot.status for robot in self._robots.values())
        robots, self._robots, self._inference, self._heartbeat = self._robots, {}, None, None
        for robot in robots.values():
            robot.destroy()

    # -- topics -------------------------------------------------------------------------------------------------------

    def _connect(self, name: str) -> RobotTopics:
        heard = RobotCallbacks(
            request=partial(self._on_request, name),
            spec=self._on_spec,
            observation_image=partial(self._on_observation_image, name),
            frame=partial(self._on_topic_frame, name),
            positions=partial(self._on_joint_states, name),
        )
        source = self._settings.image_transport if self._settings.observation_source == "topics" else ""
        return RobotTopics(self, name, heard, source)

    def _on_request(self, robot: str, message: ObservationRequest) -> None:
        if message.server_id not in (0, self._server_id):
            return  # another server was asked
        self._call(lambda core, now: core.request(to_request(message, robot, now), now))

    def _on_observation_image(self, robot: str, message: ObservationImage) -> None:
        self._call(lambda core, now: core.frame(to_frame(message, robot, now)))

    def _on_topic_frame(self, robot: str, camera: str, message: CompressedImage | Image) -> None:
        frame = to_topic_frame(message)
        self._call(lambda core, now: core.topic_frame(robot, camera, frame, now))

    def _on_joint_states(self, robot: str, message: JointState) -> None:
        positions = to_joint_positions(message)
        self._call(lambda core, now: core.topic_joint_positions(robot, positions, now))

    def _on_spec(self, robot: RobotTopics, message: PolicySpec) -> None:
        robot.listen_to(tuple(message.cameras))
        self._call(lambda core, now: core.spec(robot.name, spec_from(message), now))
        self._publish_status()

    def _on_tick(self) -> None:
        self._fatal.check()
        announced = {robot.name: robot.is_announced for robot in self._robots.values()}
        self._call(lambda core, now: core.presence(announced) + core.tick(now))

    def _call(self, call: CoreCall) -> None:
        if self._inference is not None:
            self._inference.call(call)

    # -- from other threads -------------------------------------------------------------------------------------------

    def _publish_chunk(self, reply: ServedChunk) -> None:
        robot = self._robots.get(reply.request.key.session.robot)
        if robot is None:
            return
        chunk = to_chunk(reply, self._server_id, self._settings.server_name, time.monotonic_ns())
        chunk.header.stamp = self.get_clock().now().to_msg()
        robot.chunks.publish(chunk)
        if reply.status not in (ChunkStatus.OK, ChunkStatus.SUPERSEDED):
            text = f"request {reply.request.key.request_id}: {reply.status.name}: {reply.message}"
            self.log.warning(text, throttle_duration_sec=1.0)

    def _beat(self, _: Tick) -> None:
        self._call(self._look_for_stuck)
        self._publish_status(leaving=self._fatal.is_set)

    def _look_for_stuck(self, core: PolicyServer, now_ns: int) -> list[Any]:
        stuck = core.stuck(now_ns)
        if stuck:
            self._fatal.put(stuck)
        return []

    def _publish_status(self, leaving: bool = False) -> None:
        inference = self._inference
        if inference is None:
            return
        with self._status_lock:  # so that sequence numbers leave in order
            self._sequence += 1
            entries = []
            for robot in self._robots.values():
                report = inference.status(robot.name)
                entries.append(entry_of(node_name(self), robot.name, report, self._settings.inference_latency))
                message = to_status(report, self._server_id, self._settings.server_name, self._sequence, leaving)
                message.header.stamp = self.get_clock().now().to_msg()
                robot.status.publish(message)
            self._diagnostics.offer(entries)


def main() -> None:
    """Entry point of the executable `policy_server`."""
    run_process(PolicyServerNode, events=True)


if __name__ == "__main__":
    main()
