# SPDX-License-Identifier: Apache-2.0
"""Which policy serves which robot: loads what a spec names, checks the spec against it, and unloads what nobody uses.

A robot that is being served when it names another policy keeps the present one until that is ready, or for good where
it cannot be had: an arm that moves is never left without chunks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from so101_node.log_lines import LogLevel, LogLine
from so101_node.protocol import ChunkStatus, PolicyState, ReceivedSpec

from so101_policy_server.core import causes
from so101_policy_server.core.clock import NS_PER_S
from so101_policy_server.core.effects import Effect, LoadPolicy, UnloadPolicy
from so101_policy_server.core.policy_cache import IN_USE_S, PolicyCache, Users
from so101_policy_server.core.policy_slot import PolicySlot
from so101_policy_server.core.request import PolicyRequest
from so101_policy_server.core.request_check import RETRY_ERROR_S, RETRY_LOADING_S, RETRY_SPEC_S, find_fault
from so101_policy_server.core.served_robot import ServedRobot, Successor
from so101_policy_server.core.server_config import ServerConfig
from so101_policy_server.core.spec_check import NoCamerasYetError, SpecMismatchError, camera_names, check_spec
from so101_policy_server.policy import PolicyDescription, PolicyLoadError, PolicySource

TAKE_OVER_S: Final = 1.0
"""For so long after its successor became ready, a policy still serves requests that were made for it."""

GiveUp = Callable[[ChunkStatus, str, float, str], list[Effect]]
"""Answers every request of a robot that waits: status, message, when to ask again, s, and the robot's name."""


class Policies:
    """Decides; not thread-safe.

    Args:
        config: what the parameters say.
        give_up: answers the requests of a robot whose policy goes.
    """

    def __init__(self, config: ServerConfig, give_up: GiveUp) -> None:
        self._config = config
        self._give_up = give_up
        self.cache = PolicyCache(config)
        self.robots: dict[str, ServedRobot] = {}

    def robot(self, name: str) -> ServedRobot:
        """The robot in namespace `name`."""
        return self.robots.setdefault(name, ServedRobot(name))

    def at(self, place: int) -> PolicySlot:
        """The policy at a place."""
        return self.cache.slots[place]

    def of(self, robot: ServedRobot) -> PolicySlot:
        """The policy that serves a robot."""
        return self.at(robot.place)

    def shown(self, robot: ServedRobot) -> tuple[PolicySlot, PolicySlot | None]:
        """The policy that a robot is told of, for which it is to make its requests; and the one that it waits for."""
        if robot.successor is None:
            return self.of(robot), None
        after = self.at(robot.successor.place)
        return (after, None) if robot.successor.accepted is not None else (self.of(robot), after)

    # -- loading ------------------------------------------------------------------------------------------------------

    def start(self) -> list[Effect]:
        """Begin with the server's own policy, if it has one."""
        return self._load(self._config.source, 0) if self._config.source.is_named else []

    def loaded(self, policy: PolicyDescription, now_ns: int, replica: int, place: int) -> list[Effect]:
        """The policy at this place is loaded and warm in this replica."""
        slot = self.at(place)
        slot.turn.join(replica)
        if slot.turn.replicas > 1 and slot.policy is not None:
            return [LogLine(LogLevel.INFO, f"Replica {replica} ready: {slot.turn.replicas} take requests")]
        try:
            effects: list[Effect] = [*slot.fill(policy, now_ns)]
        except PolicyLoadError as error:
            return [*self.load_failed(str(error), replica, place), UnloadPolicy(place)]
        room = self.cache.take_in(place, self._users(now_ns))
        if room.place is None:
            for robot in self.robots.values():
                robot.awaits_policy = robot.awaits_policy or robot.wants(place)
            return [*self.load_failed(f"{slot.source.label}: {room.reason}", replica, place), UnloadPolicy(place)]
        effects += self._make_room(room.gives_way, slot.source)
        for robot in self.robots.values():
            if robot.place == place:
                effects += self.check(robot)
            elif robot.wants(place):
                effects += self._try_successor(robot, slot, now_ns)
        return effects

    def load_failed(self, reason: str, replica: int, place: int) -> list[Effect]:
        """The policy could not be loaded; the server stays and says why."""
        slot = self.at(place)
        if slot.turn.leave(replica):
            return [LogLine(LogLevel.ERROR, f"Replica {replica}: {reason}")]
        slot.fail(reason)
        return self._refuse_all(slot)

    def replica_lost(self, reason: str, replica: int, place: int) -> list[Effect]:
        """A replica is gone; where it was the last, the server stays and says why."""
        slot = self.at(place)
        if slot.turn.leave(replica):
            return [LogLine(LogLevel.ERROR, f"Replica {replica} lost, {slot.turn.replicas} left: {reason}")]
        return self._refuse_all(slot) if slot.lose(reason) else []

    def _refuse_all(self, slot: PolicySlot) -> list[Effect]:
        line = LogLine(LogLevel.ERROR, slot.message)
        return [line, *self._turn_away(slot, ChunkStatus.POLICY_ERROR, RETRY_ERROR_S)]

    def _turn_away(self, slot: PolicySlot, status: ChunkStatus, retry_after_s: float) -> list[Effect]:
        """This policy is gone: whom it served is told why, and who waits for it keeps the present one."""
        effects: list[Effect] = []
        for robot in self.robots.values():
            if robot.place == slot.place:
                robot.forget_acceptance()
                effects += self._give_up(status, slot.message, retry_after_s, robot.name)
            elif robot.wants(slot.place):
                effects += robot.stay(slot.message)
        return effects

    def _load(self, source: PolicySource, place: int, robot: str | None = None) -> list[Effect]:
        slot = self.cache.slot_at(place)
        slot.begin(source, robot)
        effects: list[Effect] = [LogLine(LogLevel.INFO, f"Loading policy {source.label} on {source.device}")]
        for served in self.robots_at(place):
            served.forget_acceptance()
            effects += self._give_up(ChunkStatus.NOT_READY, slot.message, RETRY_LOADING_S, served.name)
        return [*effects, LoadPolicy(source, place)]

    def _make_room(self, places: Sequence[int], source: PolicySource) -> list[Effect]:
        reason = f"its memory is needed for {source.label}"
        return [effect for place in places for effect in self._unload(self.at(place), reason)]

    def _unload(self, slot: PolicySlot, reason: str) -> list[Effect]:
        effects: list[Effect] = [LogLine(LogLevel.INFO, slot.unload(reason)), UnloadPolicy(slot.place)]
        return effects + self._turn_away(slot, ChunkStatus.NOT_READY, RETRY_LOADING_S)

    def robots_at(self, place: int) -> list[ServedRobot]:
        """The robots that the policy at this place serves, or is to."""
        return [robot for robot in self.robots.values() if robot.place == place]

    def _users(self, now_ns: int, besides: str | None = None) -> Users:
        """The places that robots use now, or will as soon as their policy is ready; the robot `besides` left out."""
        users: dict[int, str] = {}
        for robot in self.robots.values():
            if robot.name != besides and robot.is_using_the_policy(now_ns, IN_USE_S):
                users.setdefault(robot.place, robot.name)
                if robot.successor is not None:
                    users.setdefault(robot.successor.place, robot.name)
        for slot in self.cache.slots.values():
            waiting = slot.kept_for(now_ns, IN_USE_S)
            if waiting is None or waiting == besides:
                continue
            if self.robots[waiting].is_announced and self.robots[waiting].wants(slot.place):
                users.setdefault(slot.place, waiting)
        return users

    # -- specs --------------------------------------------------------------------------------------------------------

    def spec(self, name: str, received: ReceivedSpec, now_ns: int) -> list[Effect]:
        """Take in the PolicySpec of the robot in namespace `name`."""
        robot = self.robot(name)
        robot.is_announced = True
        if robot.received == received and self.of(robot).cause != causes.UNLOADED:
            return []
        is_running = self._keeps_policy(robot, received, now_ns)
        robot.take_spec(received)
        effects = self._give_up(ChunkStatus.NOT_READY, "policy_spec has changed", RETRY_SPEC_S, name)
        return effects + self._find_policy(robot, received, is_running, now_ns)

    def _keeps_policy(self, robot: ServedRobot, received: ReceivedSpec, now_ns: int) -> bool:
        """Whether it is moved by chunks now, in the session of this spec; with policies beside each other only."""
        before = robot.received
        is_same = before is not None and received.session == before.session != 0
        return bool(self._config.max_policies_mb) and is_same and robot.is_using_the_policy(now_ns, IN_USE_S)

    def _find_policy(self, robot: ServedRobot, received: ReceivedSpec, is_running: bool, now_ns: int) -> list[Effect]:
        """Give it the policy that its spec names: one that is there, or one to be loaded."""
        path = received.spec.pretrained_name_or_path
        effects: list[Effect] = []
        slot, reason = self.cache.find(path, robot.place), ""
        if slot is None:
            source = self._config.choice.source(path, received.spec.policy_type, received.spec.policy_device)
            if source is not None:
                slot, effects, reason = self._load_for(robot, received, source, is_running, now_ns)
            elif is_running or (path and self.of(robot).state is PolicyState.UNCONFIGURED):
                reason = f"pretrained_name_or_path is '{path}': the server's allowed_policies does not admit it"
        if is_running and (slot is None or slot.place != robot.place):
            lines = self.check(robot, for_now=True)
            if robot.accepted is not None:
                effects += lines
                if slot is None:
                    return [*effects, *robot.stay(reason)]
                robot.successor = Successor(slot.place)
                return effects + (self._try_successor(robot, slot, now_ns) if slot.policy is not None else [])
            robot.forget_acceptance()
        if reason:
            return [*effects, *robot.reject(reason)]
        robot.place = slot.place if slot is not None else robot.place
        return effects + self.check(robot)

    def _load_for(
        self, robot: ServedRobot, received: ReceivedSpec, source: PolicySource, is_running: bool, now_ns: int
    ) -> tuple[PolicySlot | None, list[Effect], str]:
        """Load where there is room; else the robot waits for it. Returns the slot, effects, and why there is none."""
        users = dict(self._users(now_ns, robot.name))
        if is_running:
            users.setdefault(robot.place, robot.name)
        room = self.cache.room(source, users)
        if room.place is None:
            robot.awaits_policy = True
            return None, [], f"{self._config.choice.describe(received.spec.pretrained_name_or_path)}: {room.reason}"
        robot.awaits_policy = False
        effects = self._make_room(room.gives_way, source)
        if not is_running:
            robot.place = room.place
        effects += self._load(source, room.place, robot.name)
        return self.at(room.place), effects, ""

    def check(self, robot: ServedRobot, for_now: bool = False) -> list[Effect]:
        """Check its spec against the policy at its place, if that is loaded."""
        slot = self.of(robot)
        slot.was_had = slot.was_had or robot.received is not None
        return list(robot.check(slot.applied, slot.source, slot.policy, for_now)) if slot.policy is not None else []

    def _try_successor(self, robot: ServedRobot, slot: PolicySlot, now_ns: int) -> list[Effect]:
        """Its successor is ready: does the spec fit that? Then the next request that is made for it goes there."""
        assert slot.policy is not None and robot.received is not None
        served, spec, config = slot.applied.served, robot.received.spec, self._config
        try:
            accepted = check_spec(robot.received, served, slot.source, slot.policy, config.choice, config.task)
        except (SpecMismatchError, NoCamerasYetError) as error:
            reads = camera_names(spec, served, slot.policy)
            lacks = tuple(name for name in reads if name not in spec.cameras)
            return list(robot.stay(f"{slot.source.label}: {error}", lacks))
        robot.successor = Successor(slot.place, accepted, now_ns)
        return []

    # -- requests and time --------------------------------------------------------------------------------------------

    def asks(self, robot: ServedRobot, request: PolicyRequest, now_ns: int) -> list[Effect]:
        """Note that it asks, and let its successor take over where this request is made for that."""
        robot.ask(now_ns)
        self.of(robot).used_ns = now_ns
        after = robot.successor
        if after is None or after.accepted is None or request.spec_id != after.accepted.received.spec_id:
            return []
        policy = self.at(after.place).policy
        assert policy is not None
        unfit = request.fault or find_fault(request, after.accepted, policy, self._config.task)
        if unfit and now_ns - after.ready_ns < TAKE_OVER_S * NS_PER_S:
            return []
        text = f"{self.of(robot).source.label} gave way to {self.at(after.place).source.label}"
        effects = self._give_up(ChunkStatus.NOT_READY, text, RETRY_SPEC_S, robot.name)
        robot.place, robot.successor = after.place, None
        return [*effects, LogLine(LogLevel.INFO, f"Robot {robot.name or '/'}: {text}"), *self.check(robot)]

    def presence(self, name: str, is_announced: bool) -> None:
        """Whether somebody publishes the spec of the robot in namespace `name`."""
        if name in self.robots:
            self.robots[name].is_announced = is_announced

    def tick(self, now_ns: int) -> list[Effect]:
        """Load what has become possible, unload what nobody has had for long."""
        had = set()
        for robot in self.robots.values():
            if robot.received is not None and robot.is_announced:
                had |= {robot.place, robot.successor.place if robot.successor is not None else robot.place}
        reason = f"no robot has had it for {self._config.unload_after_s:g} s"
        unloaded = [effect for slot in self.cache.unused(had, now_ns) for effect in self._unload(slot, reason)]
        return unloaded + self._load_awaited(now_ns)

    def _load_awaited(self, now_ns: int) -> list[Effect]:
        """Load for the first robot for whose policy there is room now.

        Only a new spec makes a robot await: two robots that both do not ask never take the policy from each other.
        """
        for robot in self.robots.values():
            if robot.received is None or not robot.awaits_policy or not robot.is_announced:
                continue
            spec, path = robot.received.spec, robot.received.spec.pretrained_name_or_path
            source = self._config.choice.source(path, spec.policy_type, spec.policy_device)
            is_running = robot.is_using_the_policy(now_ns, IN_USE_S)  # with another policy than its spec names
            users = dict(self._users(now_ns, robot.name)) | ({robot.place: robot.name} if is_running else {})
            found = self.cache.find(path, robot.place)
            if found is None and (source is None or self.cache.room(source, users).place is None):
                continue
            robot.complaint = ""
            return self._find_policy(robot, robot.received, is_running, now_ns)
        return []
