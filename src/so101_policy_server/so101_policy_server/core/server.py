# SPDX-License-Identifier: Apache-2.0
"""The policy server's core: which policy, which robots, who waits for what. Free of ROS, threads and clocks.

Calls return effects, things for the caller to do: publish a chunk, decode a frame, load a policy, write a log line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from so101_node.log_lines import LogLevel, LogLine
from so101_node.protocol import ChunkStatus, ReceivedSpec

from so101_policy_server.core.effects import Effect
from so101_policy_server.core.image import Pixels
from so101_policy_server.core.instruction import instruction
from so101_policy_server.core.intake import Intake
from so101_policy_server.core.policies import Policies
from so101_policy_server.core.policy_slot import INACTIVE, PolicySlot
from so101_policy_server.core.prepared_request import PreparedRequest
from so101_policy_server.core.rehearsing import Rehearsals
from so101_policy_server.core.request import PolicyRequest, ReceivedFrame, ServedChunk, SessionKey
from so101_policy_server.core.request_check import RETRY_LOADING_S, find_refusal
from so101_policy_server.core.served_robot import ServedRobot
from so101_policy_server.core.server_config import ServerConfig
from so101_policy_server.core.status_report import StatusReport, report
from so101_policy_server.core.topic_observations import TopicFrame, TopicObservations
from so101_policy_server.policy import PolicyDescription


class PolicyServer:
    """Decides; not thread-safe."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._policies = Policies(config, self._give_up)
        self._intake = Intake(config.obs_queue_timeout_s, config.max_frame_age_s)
        self._topics = TopicObservations(config.max_frame_age_s) if config.from_topics else None
        self._rehearsals = Rehearsals()
        self._answered = 0
        self._failed = 0
        self._active = False
        self._distortions: set[tuple[SessionKey, str, str]] = set()

    # -- policies -----------------------------------------------------------------------------------------------------

    def start(self) -> list[Effect]:
        """Begin with the server's own policy, if it has one."""
        return self._policies.start()

    def activate(self) -> list[Effect]:
        """Take requests from now on."""
        self._active = True
        return []

    def deactivate(self) -> list[Effect]:
        """Take no more requests; those that wait are answered."""
        self._active = False
        return self._give_up(ChunkStatus.NOT_READY, INACTIVE, RETRY_LOADING_S)

    def loading(self, progress: str, place: int = 0) -> None:
        """Note what loading does now."""
        self._policies.at(place).progress(progress)

    def loaded(self, policy: PolicyDescription, now_ns: int, replica: int = 0, place: int = 0) -> list[Effect]:
        """The policy at this place is loaded and warm in this replica."""
        self._distortions.clear()
        return self._policies.loaded(policy, now_ns, replica, place)

    def load_failed(self, reason: str, replica: int = 0, place: int = 0) -> list[Effect]:
        """The policy could not be loaded; the server stays and says why."""
        return self._policies.load_failed(reason, replica, place)

    def replica_lost(self, reason: str, replica: int, place: int = 0) -> list[Effect]:
        """A replica is gone; where it was the last, the server stays and says why."""
        return self._policies.replica_lost(reason, replica, place)

    def replicas(self, place: int = 0) -> int:
        """How many replicas of the policy at this place take requests."""
        return self._policies.at(place).turn.replicas

    def spec(self, name: str, received: ReceivedSpec, now_ns: int) -> list[Effect]:
        """Take in the PolicySpec of the robot in namespace `name`."""
        return self._policies.spec(name, received, now_ns)

    def presence(self, announced: Mapping[str, bool]) -> list[Effect]:
        """Whether somebody publishes the spec of each robot, by namespace."""
        for name, is_announced in announced.items():
            self._policies.presence(name, is_announced)
        return []

    # -- requests and frames ------------------------------------------------------------------------------------------

    def request(self, request: PolicyRequest, now_ns: int) -> list[Effect]:
        """Take in a request; a chunk that needs no inference comes back at once."""
        robot = self._policies.robot(request.key.session.robot)
        if self._intake.knows(request.key):
            return []  # its second copy
        effects = self._policies.asks(robot, request, now_ns)
        slot = self._policies.of(robot)
        if self._topics is not None and slot.policy is not None and robot.accepted is not None:
            accepted, steps = robot.accepted, slot.policy.n_obs_steps
            request = self._topics.with_joint_positions(
                request, accepted.received.spec.joint_names, steps, accepted.period_s, now_ns
            )
        refusal = find_refusal(request, robot, slot, self._active, self._config.task)
        if refusal is not None:
            self._intake.note(request.key)
            return effects + self._count([refusal])
        assert slot.policy is not None and robot.accepted is not None
        # A robot may give more history than the policy reads; the newest steps are last.
        request = replace(request, positions=request.positions[-slot.policy.n_obs_steps :])
        cameras = robot.accepted.cameras
        self._rehearsals.await_frames(robot, now_ns, request.frame_wait_ns)
        taken = self._intake.request(request, cameras, now_ns)
        if self._topics is not None:
            steps = slot.policy.n_obs_steps
            for frame in self._topics.frames(request, cameras, steps, robot.accepted.period_s, now_ns):
                taken += self._intake.frame(frame)
        return effects + self._count(taken)

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
        return self._count(self._intake.tick(now_ns)) + self._policies.tick(now_ns)

    def _give_up(
        self, status: ChunkStatus, message: str, retry_after_s: float, robot: str | None = None
    ) -> list[Effect]:
        return self._count(self._intake.give_up(status, message, retry_after_s, robot))

    # -- inference ----------------------------------------------------------------------------------------------------

    def batch_wait_ns(self, now_ns: int, replica: int = 0, place: int = 0) -> int | None:
        """How long to wait before `take`, unless something happens before, ns; None while no request is complete."""
        slot = self._policies.at(place)
        ready = self._intake.ready_since_ns(partial(self._may_serve, slot, replica))
        if not ready:
            return None
        if slot.turn.idle > 1:  # the others that are about to ask have a replica of their own
            return 0
        within_ns, robots = slot.turn.gathering.window_ns, self._policies.robots_at(place)
        about = {robot.name for robot in robots if robot.is_about_to_ask(now_ns, within_ns)}
        about |= self._intake.collecting(now_ns + within_ns) & {robot.name for robot in robots}
        expected = len(ready) < slot.largest_batch and bool(about - ready.keys())
        return slot.turn.gathering.wait_ns(min(ready.values()), expected, now_ns)

    def rehearsal_in_ns(self, now_ns: int, place: int = 0) -> int | None:
        """How long until the policy at this place should go through a request that it throws away, ns; None = never."""
        if not (self._active and self._config.rehearse):
            return None
        return self._rehearsals.due_in_ns(self._policies.robots_at(place), now_ns)

    def rehearses(self, now_ns: int, place: int = 0) -> None:
        """It begins to."""
        self._rehearsals.done(self._policies.robots_at(place), now_ns)

    def take(self, now_ns: int, replica: int = 0, place: int = 0) -> list[PreparedRequest]:
        """Hand out complete requests, each of another robot, at most one where the policy does not batch.

        The caller must come back with `finished`, if there are any.
        """
        slot = self._policies.at(place)
        batch, admits = [], partial(self._may_serve, slot, replica)
        share = -(-len(self._intake.ready_since_ns(admits)) // max(1, slot.turn.idle))
        for complete in self._intake.take(now_ns, min(share, slot.largest_batch), admits):
            accepted = self._policies.robot(complete.request.key.session.robot).accepted
            # Whatever revokes an acceptance answers the requests that wait under it first.
            assert accepted is not None and accepted.received.spec_id == complete.request.spec_id
            batch.append(PreparedRequest(complete, accepted, instruction(complete.request.task, self._config.task)))
        return self.begin(batch, now_ns, replica, place)

    def _may_serve(self, slot: PolicySlot, replica: int, session: SessionKey) -> bool:
        robot = self._policies.robot(session.robot)
        return robot.place == slot.place and slot.turn.may_serve(replica, session)

    def begin(self, batch: list[PreparedRequest], now_ns: int, replica: int, place: int = 0) -> list[PreparedRequest]:
        """This replica has these in hand now, which it took, or which one had that was lost."""
        if batch:
            keys = [prepared.complete.request.key for prepared in batch]
            self._policies.at(place).turn.begin(keys, now_ns, replica)
        return batch

    def finished(self, replies: Sequence[ServedChunk], now_ns: int, replica: int = 0, place: int = 0) -> list[Effect]:
        """The inference thread made these chunks of what it took."""
        for reply in replies:
            if reply.status is ChunkStatus.OK:
                self._policies.robot(reply.request.key.session.robot).frame_ages.add(reply.timing.frame_age)
        return [*self._count(replies), *self._policies.at(place).turn.end(replies, now_ns, replica)]

    def stuck(self, now_ns: int) -> str | None:
        """A line that says so when one inference takes longer than inference_timeout_s, else None."""
        for slot in self._policies.cache.slots.values():
            message = slot.turn.find_stuck(now_ns)
            if message:
                slot.stick(message)
                return message
        return None

    # -- status -------------------------------------------------------------------------------------------------------

    def status(self, name: str) -> StatusReport:
        """What to tell the robot in namespace `name`."""
        robot = self._policies.robots.get(name) or ServedRobot(name)
        return report(robot, self._policies, self._config, self._active, self._answered, self._failed)

    def _count(self, effects: Sequence[Effect]) -> list[Effect]:
        for effect in effects:
            if isinstance(effect, ServedChunk):
                self._answered += effect.status is ChunkStatus.OK
                self._failed += effect.status is not ChunkStatus.OK
        return list(effects)
