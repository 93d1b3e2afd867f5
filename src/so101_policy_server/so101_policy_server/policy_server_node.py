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
from so101_node.diagnostics import DiagnosticsPublisher, node_name
from so101_node.lifecycle import AutostartNode
from so101_node.parameters import declare
from so101_node.precedence import take_precedence
from so101_node.process import NodeError, run_process, wait_until_heard
from so101_node.timers import create_timer

from so101_policy_server.checkpoint import find_checkpoint
from so101_policy_server.diagnosis import entry_of
from so101_policy_server.effects import Level, Log
from so101_policy_server.heartbeat import Heartbeat
from so101_policy_server.inference_thread import Call, InferenceThread
from so101_policy_server.messages import to_chunk, to_frame, to_picture, to_pose, to_request, to_spec, to_status
from so101_policy_server.parameters import ServerParameters
from so101_policy_server.policy import Loader, Policy, PolicySource, Progress
from so101_policy_server.request import Answer, Status
from so101_policy_server.robot_topics import Heard, RobotTopics
from so101_policy_server.server import PolicyServer

TICK_S = 0.1
"""How often overdue requests are looked for."""

STOP_TIMEOUT_S = 1.0


def load_lerobot(source: PolicySource, progress: Progress) -> Policy:
    """Load with LeRobot, imported here and now: on the inference thread, not when the node starts."""
    find_checkpoint(
        source.path, source.base_model_name_or_path
    )  # a wrong path is told at once, not after the seconds that the import takes
    progress("importing LeRobot")
    from so101_policy_server.lerobot_policy import load_policy

    return load_policy(source, progress)


class PolicyServerNode(AutostartNode):
    """Serves one policy to one or more robots.

    Args:
        loader: how policies are loaded.
    """

    def __init__(self, loader: Loader = load_lerobot, **kwargs: Any) -> None:
        super().__init__("policy_server", **kwargs)
        self.log: Any = self.get_logger()  # type: ignore[no-untyped-call]
        self._settings = declare(self, ServerParameters)
        take_precedence(self, self._settings.niceness)
        self._loader = loader
        self._server_id = secrets.randbits(64) or 1
        self._inference: InferenceThread | None = None
        self._heartbeat: Heartbeat | None = None
        self._robots: dict[str, RobotTopics] = {}
        self._sequence = 0
        self._status_lock = threading.Lock()
        self._fatal = ""
        self._diagnostics = DiagnosticsPublisher(self)
        self._tick_timer = create_timer(self, TICK_S, self._on_tick)

    # -- lifecycle ----------------------------------------------------------------------------------------------------

    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        """Connect topics and begin to load; returns at once."""
        core = PolicyServer(self._settings.config())
        try:
            self._robots = {name: self._connect(name) for name in self._settings.robots or [self.get_namespace()]}
        except InvalidTopicNameException:
            self.failure = f"robots = {self._settings.robots}: must be namespaces such as /arm1"
            return TransitionCallbackReturn.FAILURE
        self._inference = InferenceThread(
            core, self._loader, self._publish_chunk, self._write_log, self._publish_status
        )
        self._inference.start()
        self._heartbeat = Heartbeat(self._beat)
        self._heartbeat.start()
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: Any) -> TransitionCallbackReturn:
        """Answer requests."""
        self._call(lambda core, _now: core.activate())
        served = ", ".join(self._robots)
        self.log.info(f"PolicyServer started: {self._settings.server_name} for {served}")
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
        heard = Heard(
            request=partial(self._on_request, name),
            spec=self._on_spec,
            answered=partial(self._on_image, name),
            picture=partial(self._on_picture, name),
            pose=partial(self._on_pose, name),
        )
        source = self._settings.image_transport if self._settings.observation_source == "topics" else ""
        return RobotTopics(self, name, heard, source)

    def _on_request(self, robot: str, message: ObservationRequest) -> None:
        self._call(lambda core, now: core.request(to_request(message, robot, now), now))

    def _on_image(self, robot: str, message: ObservationImage) -> None:
        self._call(lambda core, now: core.frame(to_frame(message, robot, now)))

    def _on_picture(self, robot: str, camera: str, message: CompressedImage | Image) -> None:
        picture = to_picture(message)
        self._call(lambda core, now: core.topic_picture(robot, camera, picture, now))

    def _on_pose(self, robot: str, message: JointState) -> None:
        positions = to_pose(message)
        self._call(lambda core, now: core.topic_pose(robot, positions, now))

    def _on_spec(self, robot: RobotTopics, message: PolicySpec) -> None:
        robot.listen_to(tuple(message.cameras))
        self._call(lambda core, now: core.spec(robot.name, to_spec(message), now))
        self._publish_status()

    def _on_tick(self) -> None:
        if self._fatal:
            raise NodeError(self._fatal)
        self._call(lambda core, now: core.tick(now))

    def _call(self, call: Call) -> None:
        if self._inference is not None:
            self._inference.call(call)

    # -- from other threads -------------------------------------------------------------------------------------------

    def _publish_chunk(self, answer: Answer) -> None:
        robot = self._robots.get(answer.request.key.session.robot)
        if robot is None:
            return
        chunk = to_chunk(answer, self._server_id, self._settings.server_name, time.monotonic_ns())
        chunk.header.stamp = self.get_clock().now().to_msg()
        robot.chunks.publish(chunk)
        if answer.status not in (Status.OK, Status.SUPERSEDED):
            text = f"request {answer.request.key.request_id}: {answer.status.name}: {answer.message}"
            self.log.warning(text, throttle_duration_sec=1.0)

    def _write_log(self, line: Log) -> None:
        # rclpy binds a severity to the source line of a call, so each has its own.
        if line.level is Level.ERROR:
            self.log.error(line.text)
        elif line.level is Level.WARNING:
            self.log.warning(line.text)
        else:
            self.log.info(line.text)

    def _beat(self) -> None:
        self._call(self._look_for_stuck)
        self._publish_status(leaving=bool(self._fatal))

    def _look_for_stuck(self, core: PolicyServer, now_ns: int) -> list[Any]:
        self._fatal = self._fatal or core.stuck(now_ns) or ""
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
    run_process(PolicyServerNode)


if __name__ == "__main__":
    main()
