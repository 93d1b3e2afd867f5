# SPDX-License-Identifier: Apache-2.0
"""The policy server's core: which policy, which robots, who waits for what. Free of ROS, threads and clocks.

Calls return effects, things for the caller to do: publish a chunk, decode a frame, load a policy, write a log line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from so101_node.log_lines import LogLevel, LogLine
from so101_node.protocol import ChunkStatus, PolicyState, ReceivedSpec

from so101_policy_server.core.effects import Effect, LoadPolicy
from so101_policy_server.core.image import Pixels
from so101_policy_server.core.inference_turn import InferenceTurn
from so101_policy_server.core.instruction import instruction
from so101_policy_server.core.intake import Intake
from so101_policy_server.core.policy_slot import INACTIVE, PolicySlot
from so101_policy_server.core.prepared_request import PreparedRequest
from so101_policy_server.core.request import PolicyRequest, ReceivedFrame, ServedChunk, SessionKey
from so101_policy_server.core.request_check import RETRY_ERROR_S, RETRY_LOADING_S, RETRY_SPEC_S, find_refusal
from so101_policy_server.core.served_robot import ServedRobot
from so101_policy_server.core.server_config import ServerConfig
from so101_policy_server.core.status_report import StatusReport, report
from so101_policy_server.core.topic_observations import TopicFrame, TopicObservations
from so101_policy_server.policy import PolicyDescription, PolicyLoadError, PolicySource

IN_USE_S: Final = 30.0
"""A robot that asked within this time keeps its policy; another robot's spec cannot replace it.

So does one that made the server load it, for this long after it became ready.
"""


class PolicyServer:
    """Decides; not thread-safe."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._slot = PolicySlot(config)
        self._robots: dict[str, ServedRobot] = {}
        self._intake = Intake(config.obs_queue_timeout_s, config.max_frame_age_s)
        self._topics = TopicObservations(config.max_frame_age_s) if config.from_topics else None
        self._turn = InferenceTurn(config)
        self._answered = 0
        self._failed = 0
        self._active = False
        self._distortions: set[tuple[SessionKey, str, str]] = set()

    # -- the policy ---------------------------------------------------------------------------------------------------

    def start(self) -> list[Effect]:
        """Begin with the server's own policy, if it has one."""
        return self._load(self._config.source) if self._config.source.is_named else []

    def activate(self) -> list[Effect]:
        """Take requests from now on."""
        self._active = True
        return []

    def deactivate(self) -> list[Effect]:
        """Take no more requests; those that wait are answered."""
        self._active = False
        return self._give_up(ChunkStatus.NOT_READY, INACTIVE, RETRY_LOADING_S)

    def loading(self, progress: str) -> None:
        """Note what loading does now."""
        self._slot.progress(progress)

    def loaded(self, policy: PolicyDescription, now_ns: int, replica: int = 0) -> list[Effect]:
        """The policy is loaded and warm in this replica."""
        self._turn.join(replica)
        if self._turn.replicas > 1 and self._slot.policy is not None:
            return [LogLine(LogLevel.INFO, f"Replica {replica} ready: {self._turn.replicas} take requests")]
        try:
            effects: list[Effect] = [*self._slot.fill(policy, now_ns)]
        except PolicyLoadError as error:
            return self.load_failed(str(error))
        self._distortions.clear()
        self._turn.another_policy(policy.remembers)
        for robot in self._robots.values():
            effects += self._check(robot)
        return effects

    def load_failed(self, reason: str, replica: int = 0) -> list[Effect]:
        """The policy could not be loaded; the server stays and says why."""
        if self._turn.leave(replica):
            return [LogLine(LogLevel.ERROR, f"Replica {replica}: {reason}")]
        self._slot.fail(reason)
        return self._refuse_all()

    def replica_lost(self, reason: str, replica: int) -> list[Effect]:
        """A replica is gone; where it was the last, the server stays and says why."""
        if self._turn.leave(replica):
            return [LogLine(LogLevel.ERROR, f"Replica {replica} lost, {self._turn.replicas} left: {reason}")]
        return self._refuse_all() if self._slot.lose(reason) else []

    @property
    def replicas(self) -> int:
        """How many replicas of the policy take requests."""
        return self._turn.replicas

    def _refuse_all(self) -> list[Effect]:
        for robot in self._robots.values():
            robot.forget_acceptance()
        replies = self._give_up(ChunkStatus.POLICY_ERROR, self._slot.message, RETRY_ERROR_S)
        return [LogLine(LogLevel.ERROR, self._slot.message), *replies]

    def _load(self, source: PolicySource, robot: str | None = None) -> list[Effect]:
        self._turn.dismiss()
        self._slot.begin(source, robot)
        for served in self._robots.values():
            served.forget_acceptance()
        replies = self._give_up(ChunkStatus.NOT_READY, self._slot.message, RETRY_LOADING_S)
        line = LogLine(LogLevel.INFO, f"Loading policy {source.label} on {source.device}")
        return [*replies, line, LoadPolicy(source)]

    # -- specs --------------------------------------------------------------------------------------------------------

    def spec(self, name: str, received: ReceivedSpec, now_ns: int) -> list[Effect]:
        """Take in the PolicySpec of the robot in namespace `name`."""
        robot = self._robot(name)
        if robot.received == received:
            return []
        robot.take_spec(received)
        replies = self._give_up(ChunkStatus.NOT_READY, "policy_spec has changed", RETRY_SPEC_S, name)
        source, path = self._slot.source_for(received.spec), received.spec.pretrained_name_or_path
        if source is not None:
            user = self._user_besides(name, now_ns)
            if user is None:
                return replies + self._load(source, name)
            robot.awaits_policy = True
            held = f"'{self._slot.source.label}' is in use by robot {user}"
            reason = f"{self._config.choice.describe(path)}: {held} until it has not asked for {IN_USE_S:g} s"
            return [*replies, *robot.reject(reason)]
        if self._slot.state is PolicyState.UNCONFIGURED and path:
            reason = f"pretrained_name_or_path is '{path}': the server's allowed_policies does not admit it"
            return [*replies, *robot.reject(reason)]
        return replies + self._check(robot)

    def _user_besides(self, name: str, now_ns: int) -> str | None:
        users = [robot.name for robot in self._robots.values() if robot.is_using_the_policy(now_ns, IN_USE_S)]
        waiting = self._slot.kept_for(now_ns, IN_USE_S)
        users += [] if waiting is None else [waiting]
        return next((user or "/" for user in users if user != name), None)

    def _load_awaited(self, now_ns: int) -> list[Effect]:
        """Load for the first robot whose policy gave way to one that nobody uses any more.

        Only a new spec makes a robot await: two robots that both do not ask never take the policy from each other.
        """
        for robot in self._robots.values():
            if robot.received is None or not robot.awaits_policy or self._user_besides(robot.name, now_ns) is not None:
                continue
            robot.awaits_policy = False
            source = self._slot.source_for(robot.received.spec)
            return self._check(robot) if source is None else self._load(source, robot.name)
        return []

    def _check(self, robot: ServedRobot) -> list[Effect]:
        if self._slot.policy is None:
            return []
        return list(robot.check(self._slot.applied, self._slot.source, self._slot.policy))

    def _robot(self, name: str) -> ServedRobot:
        return self._robots.setdefault(name, ServedRobot(name))

    # -- requests and frames ------------------------------------------------------------------------------------------

    def request(self, request: PolicyRequest, now_ns: int) -> list[Effect]:
        """Take in a request; a chunk that needs no inference comes back at once."""
        robot = self._robot(request.key.session.robot)
        if self._intake.knows(request.key):
            return []  # its second copy
        robot.ask(now_ns)
        if self._topics is not None and self._slot.policy is not None and robot.accepted is not None:
            accepted, steps = robot.accepted, self._slot.policy.n_obs_steps
            request = self._topics.with_joint_positions(
                request, accepted.received.spec.joint_names, steps, accepted.period_s, now_ns
            )
        refusal = find_refusal(request, robot, self._slot, self._active, self._config.task)
        if refusal is not None:
            self._intake.note(request.key)
            return self._count([refusal])
        assert self._slot.policy is not None and robot.accepted is not None
        # A robot may give more history than the policy reads; the newest steps are last.
        request = replace(request, positions=request.positions[-self._slot.policy.n_obs_steps :])
        cameras = robot.accepted.cameras
        effects = self._intake.request(request, cameras, now_ns)
        if self._topics is not None:
            steps = self._slot.policy.n_obs_steps
            for frame in self._topics.frames(request, cameras, steps, robot.accepted.period_s, now_ns):
                effects += self._intake.frame(frame)
        return self._count(effects)

    def topic_frame(self, name: str, camera: str, frame: TopicFrame, now_ns: int) -> list[Effect]:
        """Take in a frame from a plain image topic of the robot in namespace `name`."""
        if self._topics is not None:
            self._topics.frame(name, camera, frame, now_ns)
        return []

    def topic_joint_positions(self, name: str, positions: Mapping[str, float], now_ns: int) -> list[Effect]:
        """Take in joint positions, joint name -> rad, from the robot's joint_states."""
        if self._topics is not None:
            self._topics.positions(name, positions, now_ns)
        return []

    def frame(self, frame: ReceivedFrame) -> list[Effect]:
        """Take in a camera frame."""
        return self._count(self._intake.frame(frame)) if self._active else []

    def decoded(self, frame: ReceivedFrame, pixels: Pixels, now_ns: int, distortion: str = "") -> list[Effect]:
        """Take in a decoded frame; `distortion` says in one line that it was not of the policy's aspect ratio."""
        if distortion and self._config.refuses_distortion:
            return self.not_decoded(frame, distortion)
        effects = self._count(self._intake.decoded(frame, pixels, now_ns))
        said = (frame.key.session, frame.camera, distortion)
        if not distortion or said in self._distortions:
            return effects
        self._distortions.add(said)
        return [*effects, LogLine(LogLevel.WARNING, f"camera {frame.camera}: {distortion}")]

    def not_decoded(self, frame: ReceivedFrame, reason: str) -> list[Effect]:
        """A frame could not be decoded."""
        return self._count(self._intake.refuse(frame.key, f"camera {frame.camera}: {reason}"))

    def tick(self, now_ns: int) -> list[Effect]:
        """Give up what is overdue, load what has become possible. Call every few tens of milliseconds."""
        return self._count(self._intake.tick(now_ns)) + self._load_awaited(now_ns)

    def _give_up(
        self, status: ChunkStatus, message: str, retry_after_s: float, robot: str | None = None
    ) -> list[Effect]:
        return self._count(self._intake.give_up(status, message, retry_after_s, robot))

    # -- inference ----------------------------------------------------------------------------------------------------

    def batch_wait_ns(self, now_ns: int, replica: int = 0) -> int | None:
        """How long to wait before `take`, unless something happens before, ns; None while no request is complete."""
        ready = self._intake.ready_since_ns(partial(self._turn.may_serve, replica))
        if not ready:
            return None
        if self._turn.idle > 1:  # the others that are about to ask have a replica of their own
            return 0
        within_ns = self._turn.gathering.window_ns
        about = {robot.name for robot in self._robots.values() if robot.is_about_to_ask(now_ns, within_ns)}
        expected = len(ready) < self._slot.largest_batch and bool((about | self._intake.collecting()) - ready.keys())
        return self._turn.gathering.wait_ns(min(ready.values()), expected, now_ns)

    def take(self, now_ns: int, replica: int = 0) -> list[PreparedRequest]:
        """Hand out complete requests, each of another robot, at most one where the policy does not batch.

        The caller must come back with `finished`, if there are any.
        """
        batch, admits = [], partial(self._turn.may_serve, replica)
        share = -(-len(self._intake.ready_since_ns(admits)) // max(1, self._turn.idle))
        for complete in self._intake.take(now_ns, min(share, self._slot.largest_batch), admits):
            accepted = self._robots[complete.request.key.session.robot].accepted
            # Whatever revokes an acceptance answers the requests that wait under it first.
            assert accepted is not None and accepted.received.spec_id == complete.request.spec_id
            batch.append(PreparedRequest(complete, accepted, instruction(complete.request.task, self._config.task)))
        return self.begin(batch, now_ns, replica)

    def begin(self, batch: list[PreparedRequest], now_ns: int, replica: int) -> list[PreparedRequest]:
        """This replica has these in hand now, which it took, or which one had that was lost."""
        if batch:
            self._turn.begin([prepared.complete.request.key for prepared in batch], now_ns, replica)
        return batch

    def finished(self, replies: Sequence[ServedChunk], now_ns: int, replica: int = 0) -> list[Effect]:
        """The inference thread made these chunks of what it took."""
        for reply in replies:
            if reply.status is ChunkStatus.OK:
                self._robot(reply.request.key.session.robot).frame_ages.add(reply.timing.frame_age)
        return [*self._count(replies), *self._turn.end(replies, now_ns, replica)]

    def stuck(self, now_ns: int) -> str | None:
        """A line that says so when one inference takes longer than inference_timeout_s, else None."""
        message = self._turn.find_stuck(now_ns)
        if message:
            self._slot.stick(message)
        return message or None

    # -- status -------------------------------------------------------------------------------------------------------

    def status(self, name: str) -> StatusReport:
        """What to tell the robot in namespace `name`."""
        robot = self._robots.get(name) or ServedRobot(name)
        return report(robot, self._slot, self._turn, self._config, self._active, self._answered, self._failed)

    def _count(self, effects: Sequence[Effect]) -> list[Effect]:
        for effect in effects:
            if isinstance(effect, ServedChunk):
                self._answered += effect.status is ChunkStatus.OK
                self._failed += effect.status is not ChunkStatus.OK
        return list(effects)
