"""The policy server's core: which policy, which robots, who waits for what. Free of ROS, threads and clocks.

Calls return effects, things for the caller to do: publish an answer, decode a frame, load a policy, write a log line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from so101_policy_server import causes
from so101_policy_server.effects import Effect, Level, Load, Log
from so101_policy_server.frame_matcher import NS_PER_S
from so101_policy_server.image_decode import Pixels
from so101_policy_server.instruction import instruction
from so101_policy_server.intake import Intake
from so101_policy_server.policy import OF_ONE_CHECKPOINT, PolicyDescription, PolicySource
from so101_policy_server.preflight import refusal, warnings
from so101_policy_server.request import Answer, CompleteRequest, Frame, Request, RequestKey, SessionKey, Status
from so101_policy_server.request_check import find_fault
from so101_policy_server.served_robot import ServedRobot
from so101_policy_server.server_config import ServerConfig
from so101_policy_server.spec_check import (
    AcceptedSpec,
    Spec,
    SpecMismatchError,
    camera_names,
    check_deployment,
    describe_against,
)
from so101_policy_server.status_report import State, StatusReport
from so101_policy_server.timing import InferenceTimes
from so101_policy_server.topic_observations import Picture, TopicObservations

IN_USE_S: Final = 30.0
"""A robot that asked within this time keeps its policy; another robot's spec cannot replace it.

So does one that made the server load it, for this long after it became ready.
"""

RETRY_SPEC_S: Final = 0.2
RETRY_LOADING_S: Final = 0.5
RETRY_ERROR_S: Final = 2.0

NO_POLICY: Final = "no policy: set pretrained_name_or_path, or let a robot name one that allowed_policies admits"
INACTIVE: Final = "the server is not active"


@dataclass(frozen=True, slots=True)
class Job:
    """One complete request for the inference thread, and the accepted spec it was checked against."""

    complete: CompleteRequest
    accepted: AcceptedSpec
    task: str


class PolicyServer:
    """Decides; not thread-safe."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = self._applied = config  # the latter: as far as it holds for the policy that is loaded
        self._source = config.source
        self._state = State.UNCONFIGURED
        self._cause, self._message = causes.NO_POLICY, NO_POLICY
        self._policy: PolicyDescription | None = None
        self._robots: dict[str, ServedRobot] = {}
        self._loaded_for: str | None = None
        self._ready_ns: int | None = None
        self._intake = Intake(config.obs_queue_timeout_s, config.max_frame_age_s)
        self._topics = TopicObservations(config.max_frame_age_s) if config.from_topics else None
        self._times = InferenceTimes(config.inference_latency_s)
        self._answered = 0
        self._failed = 0
        self._busy: tuple[RequestKey, int] | None = None
        self._active = False
        self._distortions: set[tuple[SessionKey, str, str]] = set()

    # -- the policy ---------------------------------------------------------------------------------------------------

    def start(self) -> list[Effect]:
        """Begin with the server's own policy, if it has one."""
        return self._load(self._config.source) if self._config.source.path else []

    def activate(self) -> list[Effect]:
        """Take requests from now on."""
        self._active = True
        return []

    def deactivate(self) -> list[Effect]:
        """Take no more requests; those that wait are answered."""
        self._active = False
        return self._give_up(Status.NOT_READY, INACTIVE, RETRY_LOADING_S)

    def loading(self, progress: str) -> None:
        """Note what loading does now."""
        if self._state is State.LOADING:
            self._message = f"loading {self._source.path}: {progress}"

    def loaded(self, policy: PolicyDescription, now_ns: int) -> list[Effect]:
        """The policy is loaded and warm."""
        self._applied = self._config.applied_to(self._source, policy)
        try:
            policy = describe_against(self._applied.served, policy, self._applied.cameras)
        except SpecMismatchError as error:
            return self.load_failed(str(error))
        findings = check_deployment(self._applied.served, policy, self._source.accepted_findings)
        reason = refusal(findings)
        if reason:
            return self.load_failed(f"{policy.path}: {reason}")
        self._policy, self._state, self._cause, self._message = policy, State.READY, "", ""
        self._ready_ns = now_ns
        self._distortions.clear()
        self._times = InferenceTimes(self._config.inference_latency_s)
        cameras = ", ".join(f"{image.camera} {image.width}x{image.height}" for image in policy.images) or "none"
        text = f"Policy ready: {policy.policy_type} from {policy.path} on {policy.device}, horizon {policy.horizon}"
        effects: list[Effect] = [Log(Level.INFO, f"{text}, cameras {cameras}")]
        effects += [Log(Level.WARNING, line) for line in (*policy.warnings, *warnings(findings))]
        for robot in self._robots.values():
            effects += self._check(robot)
        return effects

    def load_failed(self, reason: str) -> list[Effect]:
        """The policy could not be loaded; the server stays and says why."""
        self._policy, self._state, self._cause = None, State.ERROR, causes.LOAD_FAILED
        asked = [name for name in OF_ONE_CHECKPOINT if name in reason]
        if asked and self._source != self._config.source:
            reason = f"{reason}; {', '.join(asked)} is of the server's own policy: give this as pretrained_name_or_path"
        self._message = f"Failed to load policy: {reason}"
        self._loaded_for = None
        self._forget_acceptance()
        return [Log(Level.ERROR, self._message), *self._give_up(Status.POLICY_ERROR, self._message, RETRY_ERROR_S)]

    def _load(self, source: PolicySource, robot: str | None = None) -> list[Effect]:
        self._source, self._policy, self._state = source, None, State.LOADING
        self._loaded_for, self._ready_ns = robot, None
        self._cause, self._message = causes.LOADING, f"loading {source.path}"
        self._forget_acceptance()
        answers = self._give_up(Status.NOT_READY, self._message, RETRY_LOADING_S)
        return [*answers, Log(Level.INFO, f"Loading policy {source.path} on {source.device}"), Load(source)]

    def _forget_acceptance(self) -> None:
        for robot in self._robots.values():
            robot.forget_acceptance()

    # -- specs --------------------------------------------------------------------------------------------------------

    def spec(self, name: str, spec: Spec, now_ns: int) -> list[Effect]:
        """Take in the PolicySpec of the robot in namespace `name`."""
        robot = self._robot(name)
        if robot.spec == spec:
            return []
        robot.take_spec(spec)
        answers = self._give_up(Status.NOT_READY, "policy_spec has changed", RETRY_SPEC_S, name)
        source = self._source_for(spec)
        if source is not None:
            user = self._user_besides(name, now_ns)
            if user is None:
                return answers + self._load(source, name)
            robot.awaits_policy = True
            named = self._config.choice.describe(spec.path)
            reason = (
                f"{named}: '{self._source.path}' is in use by robot {user} until it has not asked for {IN_USE_S:g} s"
            )
            return [*answers, *robot.reject(reason)]
        if self._state is State.UNCONFIGURED and spec.path:
            reason = f"pretrained_name_or_path is '{spec.path}': the server's allowed_policies does not admit it"
            return [*answers, *robot.reject(reason)]
        return answers + self._check(robot)

    def _source_for(self, spec: Spec) -> PolicySource | None:
        """What a spec makes the server load, or None when it is to be checked against what there is."""
        choice, resolved = self._config.choice, self._policy.path if self._policy else ""
        if self._state is not State.ERROR and choice.is_met(spec.path, self._source, resolved):
            return None
        return choice.source(spec.path, spec.policy_type, spec.device)

    def _user_besides(self, name: str, now_ns: int) -> str | None:
        users = [robot.name for robot in self._robots.values() if robot.is_using_the_policy(now_ns, IN_USE_S)]
        if self._loaded_for is not None and (self._ready_ns is None or now_ns - self._ready_ns < IN_USE_S * NS_PER_S):
            users.append(self._loaded_for)  # it cannot ask before the policy is there
        return next((user or "/" for user in users if user != name), None)

    def _load_awaited(self, now_ns: int) -> list[Effect]:
        """Load for the first robot whose policy gave way to one that nobody uses any more.

        Only a new spec makes a robot await: two robots that both do not ask never take the policy from each other.
        """
        for robot in self._robots.values():
            if robot.spec is None or not robot.awaits_policy or self._user_besides(robot.name, now_ns) is not None:
                continue
            robot.awaits_policy = False
            source = self._source_for(robot.spec)
            return self._check(robot) if source is None else self._load(source, robot.name)
        return []

    def _check(self, robot: ServedRobot) -> list[Effect]:
        if self._policy is None:
            return []
        return list(robot.check(self._applied, self._source, self._policy))

    def _robot(self, name: str) -> ServedRobot:
        return self._robots.setdefault(name, ServedRobot(name))

    # -- requests and frames ------------------------------------------------------------------------------------------

    def request(self, request: Request, now_ns: int) -> list[Effect]:
        """Take in a request; an answer that needs no inference comes back at once."""
        robot = self._robot(request.key.session.robot)
        robot.asked_ns = now_ns
        if self._intake.knows(request.key):
            return []  # its second copy
        if self._topics is not None and self._policy is not None and robot.accepted is not None:
            accepted, steps = robot.accepted, self._policy.n_obs_steps
            request = self._topics.with_pose(request, accepted.spec.joint_names, steps, accepted.period_s, now_ns)
        refusal = self._refusal(request, robot)
        if refusal is not None:
            self._intake.note(request.key)
            return self._count([refusal])
        assert self._policy is not None and robot.accepted is not None
        # A robot may give more history than the policy reads; the newest steps are last.
        request = replace(request, positions=request.positions[-self._policy.n_obs_steps :])
        cameras = robot.accepted.cameras
        effects = self._intake.request(request, cameras, now_ns)
        if self._topics is not None:
            steps = self._policy.n_obs_steps
            for frame in self._topics.frames(request, cameras, steps, robot.accepted.period_s, now_ns):
                effects += self._intake.frame(frame)
        return self._count(effects)

    def _refusal(self, request: Request, robot: ServedRobot) -> Answer | None:
        if request.fault:
            return Answer(request, Status.BAD_REQUEST, request.fault)
        if not self._active:
            return Answer(request, Status.NOT_READY, INACTIVE, RETRY_LOADING_S)
        if self._state is State.ERROR:
            return Answer(request, Status.POLICY_ERROR, self._message, RETRY_ERROR_S)
        if robot.rejection:
            return Answer(request, Status.SPEC_REJECTED, robot.rejection, RETRY_ERROR_S)
        if self._policy is None:
            return Answer(request, Status.NOT_READY, self._message, RETRY_LOADING_S)
        if robot.awaits_cameras:
            return Answer(request, Status.NOT_READY, robot.awaits_cameras, RETRY_LOADING_S)
        if robot.accepted is None or robot.accepted.spec.spec_id != request.spec_id:
            text = f"policy_spec {request.spec_id} has not arrived yet"
            return Answer(request, Status.NOT_READY, text, RETRY_SPEC_S)
        if request.incomplete:
            return Answer(request, Status.OBSERVATION_INCOMPLETE, request.incomplete)
        fault = find_fault(request, robot.accepted, self._policy, self._config.task)
        return Answer(request, Status.BAD_REQUEST, fault) if fault else None

    def topic_picture(self, name: str, camera: str, picture: Picture, now_ns: int) -> list[Effect]:
        """Take in a picture from a plain image topic of the robot in namespace `name`."""
        if self._topics is not None:
            self._topics.picture(name, camera, picture, now_ns)
        return []

    def topic_pose(self, name: str, positions: Mapping[str, float], now_ns: int) -> list[Effect]:
        """Take in joint positions, joint name -> rad, from the robot's joint_states."""
        if self._topics is not None:
            self._topics.pose(name, positions, now_ns)
        return []

    def frame(self, frame: Frame) -> list[Effect]:
        """Take in a camera frame."""
        return self._count(self._intake.frame(frame)) if self._active else []

    def decoded(self, frame: Frame, pixels: Pixels, now_ns: int, distortion: str = "") -> list[Effect]:
        """Take in a decoded picture; `distortion` says in one line that it was not of the policy's aspect ratio."""
        if distortion and self._config.refuses_distortion:
            return self.not_decoded(frame, distortion)
        self._intake.decoded(frame, pixels, now_ns)
        said = (frame.key.session, frame.camera, distortion)
        if not distortion or said in self._distortions:
            return []
        self._distortions.add(said)
        return [Log(Level.WARNING, f"camera {frame.camera}: {distortion}")]

    def not_decoded(self, frame: Frame, reason: str) -> list[Effect]:
        """A frame could not be decoded."""
        return self._count(self._intake.refuse(frame.key, f"camera {frame.camera}: {reason}"))

    def tick(self, now_ns: int) -> list[Effect]:
        """Give up what is overdue, load what has become possible. Call every few tens of milliseconds."""
        return self._count(self._intake.tick(now_ns)) + self._load_awaited(now_ns)

    def _give_up(self, status: Status, message: str, retry_after_s: float, robot: str | None = None) -> list[Effect]:
        return self._count(self._intake.give_up(status, message, retry_after_s, robot))

    # -- inference ----------------------------------------------------------------------------------------------------

    def take(self, now_ns: int) -> Job | None:
        """Hand out the next complete request; the caller must come back with `finished`."""
        complete = self._intake.take(now_ns)
        if complete is None:
            return None
        accepted = self._robots[complete.request.key.session.robot].accepted
        # Whatever revokes an acceptance answers the requests that wait under it first.
        assert accepted is not None and accepted.spec.spec_id == complete.request.spec_id
        self._busy = (complete.request.key, now_ns)
        return Job(complete, accepted, instruction(complete.request.task, self._config.task))

    def finished(self, answer: Answer, now_ns: int) -> list[Effect]:
        """The inference thread made this answer."""
        self._busy = None
        effects = self._count([answer])
        if answer.status is Status.OK:
            self._robot(answer.request.key.session.robot).frame_ages.add(answer.timing.frame_age)
            warning = self._times.add(answer.timing.inference, now_ns)
            effects += [Log(Level.WARNING, warning)] if warning else []
        return effects

    def stuck(self, now_ns: int) -> str | None:
        """A line that says so when one inference takes longer than inference_timeout_s, else None."""
        limit_s = self._config.inference_timeout_s
        if self._busy is None or now_ns - self._busy[1] < limit_s * NS_PER_S:
            return None
        self._state, self._cause = State.ERROR, causes.INFERENCE_STUCK
        self._message = (
            f"inference of request {self._busy[0].request_id} has not returned within "
            f"inference_timeout_s = {limit_s:g} s"
        )
        return self._message

    # -- status -------------------------------------------------------------------------------------------------------

    def status(self, name: str) -> StatusReport:
        """What to tell the robot in namespace `name`."""
        robot = self._robots.get(name) or ServedRobot(name)
        state, cause, message = self._state, self._cause, self._message
        if robot.rejection and state is not State.ERROR:
            state, cause, message = State.ERROR, causes.SPEC_REJECTED, f"spec rejected: {robot.rejection}"
        elif state is State.READY and robot.awaits_cameras:
            state, cause, message = State.LOADING, causes.NO_CAMERAS, robot.awaits_cameras
        elif state is State.READY and not self._active:
            state, cause, message = State.UNCONFIGURED, causes.NOT_ACTIVE, INACTIVE
        return StatusReport(
            spec_id=robot.spec.spec_id if robot.spec else 0,
            state=state,
            cause=cause,
            message=message,
            busy=self._busy[0] if self._busy else None,
            source=self._source,
            policy=self._policy,
            cameras=camera_names(robot.spec, self._applied.served, self._policy) if self._policy else (),
            joint_names=self._config.served.joint_names,
            inference_p50_s=self._times.percentile(50),
            inference_p95_s=self._times.percentile(95),
            frame_age_p50_s=robot.frame_ages.percentile(50),
            frame_age_p95_s=robot.frame_ages.percentile(95),
            answered=self._answered,
            failed=self._failed,
        )

    def _count(self, effects: Sequence[Effect]) -> list[Effect]:
        for effect in effects:
            if isinstance(effect, Answer):
                self._answered += effect.status is Status.OK
                self._failed += effect.status is not Status.OK
        return list(effects)
