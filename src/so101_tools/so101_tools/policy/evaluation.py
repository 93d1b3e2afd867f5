"""How good a checkpoint is, in virtual time: minutes instead of an hour. `./so101 demo` is what counts.

The observation goes through the camera's encoder, the policy server's own decoder, units and adaptor to LeRobot, and
the answer through the core of the action queue; what is left out is DDS and the driver's gate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.decisions import Question
from so101_action_queue.inputs import JointLimits
from so101_action_queue.settings import Settings
from so101_action_queue.virtual_session import DRIVER_ID, Link, VirtualSession
from so101_policy_server.policy import Observation, Policy
from so101_sim.joints import HOME, JOINT_NAMES, JointRanges
from so101_sim.tasks import Task

from so101_sim import judge, scene
from so101_tools.execution_modes import queue_parameters
from so101_tools.policy.dataset import IMAGES
from so101_tools.policy.demonstration import lerobot_units
from so101_tools.policy.lockstep_arm import LockstepArm, Moment, Phases
from so101_tools.policy.viewpoint import Viewpoint


@dataclass(frozen=True, slots=True)
class Outcome:
    """One episode: the scene's seed, whether the judge was content, and after how long, s."""

    seed: int
    succeeded: bool
    duration_s: float


class FollowingArm:
    """The arm of a VirtualSession: a virtual arm, and what it looked like at each tick."""

    def __init__(self, arm: LockstepArm) -> None:
        self._arm = arm
        self.moments: list[Moment] = []

    @property
    def positions(self) -> tuple[float, ...]:
        """The measured pose, (6,), driver rad."""
        return tuple(self._arm.moment().positions.tolist())

    def step(self, setpoint: tuple[float, ...]) -> None:
        """Follow a setpoint, (6,), driver rad, for one control period."""
        self.moments.append(self._arm.moment())
        self._arm.step(np.array(setpoint))


def queue_settings(policy: Policy, task: Task, mode: str) -> Settings:
    """The action queue's settings as sim.launch.xml makes them for a task and one of MODES."""
    parameters = queue_parameters(task.name, mode)
    rows = min(parameters["actions_per_chunk"], policy.description.horizon)
    cameras = tuple(image.camera for image in policy.description.images)
    return Settings(**{**parameters, "actions_per_chunk": rows, "cameras": cameras})


class Evaluator:
    """Runs a policy on a virtual arm of its own."""

    def __init__(
        self,
        arm: LockstepArm,
        viewpoint: Viewpoint,
        policy: Policy,
        task: Task,
        settings: Settings,
        delay_s: float,
    ) -> None:
        """settings: of the action queue; delay_s: from a question to its answer, s."""
        self._arm = arm
        self._viewpoint = viewpoint
        self._policy = policy
        self._task = task
        self._settings = settings
        self._link = Link(lambda _: 0.0, lambda _: delay_s, lambda _: 0.0)
        self._model = scene.build_model()
        self._home = JointRanges.of(self._model).to_driver(np.array(HOME))
        self._units = lerobot_units(arm)
        lower, upper = (tuple(bound().tolist()) for bound in (arm.calibration.lower_rad, arm.calibration.upper_rad))
        self._limits = JointLimits(DRIVER_ID, JOINT_NAMES, lower, upper, lower, upper, (0,) * len(JOINT_NAMES))

    def run(self, seed: int) -> Outcome:
        """One episode of the scene `seed`, from the home pose until the judge has decided."""
        self._arm.move_to(self._home)
        self._arm.place_objects(self._task.name, seed, Phases.draw(np.random.default_rng(seed)))
        self._policy.reset()
        follower = FollowingArm(self._arm)
        session = VirtualSession(
            self._settings,
            lambda question: self._infer(self._seen_by(question, session, follower)),
            self._link,
            tuple(self._arm.goal.tolist()),
            arm=follower,
            limits=self._limits,
        )
        referee = judge.Judge(self._task.timeout_s, self._look(), self._task.belt)
        session.start()
        while True:
            session.run(self._settings.period_ns / 1e9)
            verdict, _ = referee.look(self._look())
            if verdict is not judge.Verdict.RUNNING:
                return Outcome(seed, verdict is judge.Verdict.SUCCEEDED, referee.duration_s)

    @staticmethod
    def _seen_by(question: Question, session: VirtualSession, follower: FollowingArm) -> Moment:
        """What the cameras and the bus had last seen when the question was asked."""
        ids = [asked.request_id for asked in session.trace.questions]
        return follower.moments[session.trace.question_ticks[ids.index(question.request_id)]]

    def _infer(self, moment: Moment) -> NDArray[np.float64]:
        seen = self._viewpoint.see(moment.qpos)
        observation = Observation(
            state=self._units.to_policy(moment.positions)[None],
            images={IMAGES + camera: (pixels,) for camera, (_, pixels) in seen.items()},
            task=self._task.instruction,
        )
        return self._units.to_radians(self._policy.infer(observation, None).actions)

    def _look(self) -> judge.Moment:
        state = self._arm.state()
        return judge.Moment(
            state.monotonic_ns,
            state.sim_time_s,
            state.scene_count,
            scene.cube_pose(self._model, state.qpos),
            scene.cube_velocity(self._model, state.qvel),
        )
