"""One episode in virtual time: a virtual arm behind the core of the action queue, until the judge has decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.decisions import Question
from so101_action_queue.inputs import JointLimits
from so101_action_queue.settings import Settings
from so101_action_queue.virtual_session import DRIVER_ID, Link, VirtualSession
from so101_sim.joints import HOME, JOINT_NAMES, JointRanges
from so101_sim.tasks import Task

from so101_sim import judge, scene
from so101_tools.policy.lockstep_arm import LockstepArm, Moment, Phases


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


Answer = Callable[[Question, Moment], NDArray[np.float64]]
"""(question, what cameras and bus had last seen when it was asked) -> rows (rows, 6), driver rad."""


class VirtualEpisodes:
    """Runs episodes of one task on one virtual arm, with whatever answers the queue's questions."""

    def __init__(self, arm: LockstepArm, task: Task, settings: Settings, delay_s: float) -> None:
        """settings: of the action queue; delay_s: from a question to its answer, s."""
        self._arm = arm
        self._task = task
        self._settings = settings
        self._link = Link(lambda _: 0.0, lambda _: delay_s, lambda _: 0.0)
        self.model = scene.build_model()
        self._home = JointRanges.of(self.model).to_driver(np.array(HOME))
        lower, upper = (tuple(bound().tolist()) for bound in (arm.calibration.lower_rad, arm.calibration.upper_rad))
        self._limits = JointLimits(DRIVER_ID, JOINT_NAMES, lower, upper, lower, upper, (0,) * len(JOINT_NAMES))

    def run(self, seed: int, answer: Answer, begun: Callable[[], None] = lambda: None) -> Outcome:
        """One episode of the scene `seed`, from the home pose until the judge has decided.

        `begun` is called when the scene is laid out and nothing has been asked yet.
        """
        self._arm.move_to(self._home)
        self._arm.place_objects(self._task.name, seed, Phases.draw(np.random.default_rng(seed)))
        begun()
        follower = FollowingArm(self._arm)
        session = VirtualSession(
            self._settings,
            lambda question: answer(question, _seen_by(question, session, follower)),
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

    def _look(self) -> judge.Moment:
        state = self._arm.state()
        return judge.Moment(
            state.monotonic_ns,
            state.sim_time_s,
            state.scene_count,
            scene.cube_pose(self.model, state.qpos),
            scene.cube_velocity(self.model, state.qvel),
        )


def _seen_by(question: Question, session: VirtualSession, follower: FollowingArm) -> Moment:
    ids = [asked.request_id for asked in session.trace.questions]
    return follower.moments[session.trace.question_ticks[ids.index(question.request_id)]]
