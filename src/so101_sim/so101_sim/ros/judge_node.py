# SPDX-License-Identifier: Apache-2.0
"""Lays out the scene for an episode and tells from the simulator's state how it ended.

A belt that changes its speed stands until the action queue commands the arm, as it does in virtual time: how long a
busy machine takes from the one to the other is no part of the task.
"""

import math
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

os.environ["MUJOCO_GL"] = "disable"  # importing mujoco must not look for a GL library

from rclpy.node import Node
from so101_msgs.msg import EpisodeEvent, QueueStatus
from so101_msgs.srv import ResetEpisode
from so101_node.parameters.declaring import declare
from so101_node.process import NodeError, run_process
from so101_node.process.precedence import take_precedence
from so101_node.timing.timers import create_timer
from so101_node.topics.qos import EVENTS, STATUS

from so101_sim.core.judge import Judge, Moment, TaskVerdict
from so101_sim.core.tasks import Task, task_named
from so101_sim.errors import SimulationError
from so101_sim.ros.parameters import JudgeParameters
from so101_sim.virtual_arm_client import VirtualArmClient
from so101_sim.world.scene import build_model, cube_pose, cube_velocity
from so101_sim.world.world_view import WorldView

_LOOK_PERIOD_S = 0.02
_QUEUE_TIMEOUT_S = 12.0  # somebody may want the scene without a queue; the demo tries to start one for 10 s
_COMMANDING = (QueueStatus.WAITING, QueueStatus.RUNNING, QueueStatus.STARVED, QueueStatus.HOLDING)
_EVENTS = {
    TaskVerdict.SUCCEEDED: EpisodeEvent.SUCCEEDED,
    TaskVerdict.FAILED: EpisodeEvent.FAILED,
    TaskVerdict.ABORTED: EpisodeEvent.ABORTED,
}


@dataclass(frozen=True, slots=True)
class _Episode:
    number: int
    seed: int
    task: Task
    timeout_s: float
    judge: Judge
    """While the belt is held, of the wait for the queue."""
    held_until_s: float | None
    """On the monotonic clock; None = nothing is held."""


class JudgeNode(Node):
    """One service that begins an episode, one topic with its beginning and its end."""

    def __init__(self) -> None:
        super().__init__("judge")
        settings = declare(self, JudgeParameters)
        take_precedence(self, settings.niceness)
        self._sim_dir = Path(settings.sim_dir)
        self._task = task_named(settings.task_name)
        try:
            self._model = build_model()
        except SimulationError as error:
            raise NodeError(str(error)) from error
        self._world = WorldView(self._sim_dir, self._model)
        self._episode: _Episode | None = None
        self._events = self.create_publisher(EpisodeEvent, "episode", EVENTS)
        self.create_service(ResetEpisode, "~/reset_episode", self._reset_episode)
        self.create_subscription(QueueStatus, "action_queue/status", self._on_queue, STATUS)
        create_timer(self, _LOOK_PERIOD_S, self._look)

    def on_exit(self) -> None:
        """An episode that nobody judges to its end is not counted."""
        self._end(TaskVerdict.ABORTED, "the judge was stopped")
        self._world.close()

    def _reset_episode(self, request: ResetEpisode.Request, response: ResetEpisode.Response) -> ResetEpisode.Response:
        try:
            self._begin(request)
            response.success = True
        except SimulationError as error:
            response.message = str(error)[:256]
            self.get_logger().error(f"reset_episode refused: {error}")
        return response

    def _begin(self, request: ResetEpisode.Request) -> None:
        """SimulationError if the request or the virtual arm does not allow it; then nothing has begun."""
        task = task_named(request.task_name) if request.task_name else self._task
        if not (math.isfinite(request.timeout) and request.timeout >= 0):
            raise SimulationError(f"timeout = {request.timeout:g}: expected seconds, 0 = {task.timeout_s:g}")
        self._end(TaskVerdict.ABORTED, "another episode was requested")
        with VirtualArmClient(self._sim_dir) as arm:
            arm.reset_scene(task.name, request.seed, holds_world=task.changes)
        self._task = task
        timeout_s = request.timeout or task.timeout_s
        held_until_s = time.monotonic() + _QUEUE_TIMEOUT_S if task.changes else None
        judge = self._new_judge(task, timeout_s)
        self._episode = _Episode(request.episode, request.seed, task, timeout_s, judge, held_until_s)
        self._publish(self._episode, EpisodeEvent.STARTED, "")

    def _new_judge(self, task: Task, timeout_s: float) -> Judge:
        moment = self._moment()
        if moment is None:
            raise SimulationError(self._world.problem)
        return Judge(timeout_s, moment, task.belt)

    def _on_queue(self, status: QueueStatus) -> None:
        if self._episode is not None and self._episode.held_until_s is not None and status.state in _COMMANDING:
            self._start_world(self._episode)

    def _start_world(self, episode: _Episode) -> None:
        """Begin what happens in the scene, and the time that it may take."""
        try:
            with VirtualArmClient(self._sim_dir) as arm:
                arm.start_world()
            judge = self._new_judge(episode.task, episode.timeout_s)
            self._episode = replace(episode, judge=judge, held_until_s=None)
        except SimulationError as error:
            self._end(TaskVerdict.ABORTED, str(error)[:256])

    def _look(self) -> None:
        episode = self._episode
        if episode is not None and episode.held_until_s is not None:
            if time.monotonic() < episode.held_until_s:
                return
            self._start_world(episode)
        moment = self._moment() if self._episode is not None else None
        if self._episode is not None and moment is not None:
            verdict, why = self._episode.judge.look(moment)
            if verdict is not TaskVerdict.RUNNING:
                self._end(verdict, why)

    def _moment(self) -> Moment | None:
        state = self._world.read()
        if state is None:
            return None
        return Moment(
            now_ns=time.monotonic_ns(),
            sim_time_s=state.sim_time_s,
            scene_count=state.scene_count,
            cube=cube_pose(self._model, state.qpos),
            velocity=cube_velocity(self._model, state.qvel),
        )

    def _end(self, verdict: TaskVerdict, why: str) -> None:
        episode, self._episode = self._episode, None
        if episode is not None:
            self._publish(episode, _EVENTS[verdict], why)

    def _publish(self, episode: _Episode, event: int, message: str) -> None:
        message_out = EpisodeEvent(
            event=event,
            task_name=episode.task.name,
            task=episode.task.instruction,
            episode=episode.number,
            seed=episode.seed,
            duration=episode.judge.duration_s,
            message=message,
        )
        message_out.header.stamp = self.get_clock().now().to_msg()
        self._events.publish(message_out)


def main() -> None:
    """Run the node until it is told to stop."""
    run_process(JudgeNode)


if __name__ == "__main__":
    main()
