"""Episodes in which the scripted expert stands for a policy with a longer horizon than the shipped one has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.decisions import Question
from so101_action_queue.inputs import JointLimits
from so101_action_queue.settings import Settings
from so101_action_queue.virtual_session import DRIVER_ID, Link, VirtualSession
from so101_sim.expert_policy import ExpertPolicy
from so101_sim.joints import HOME, JOINT_NAMES, JointRanges
from so101_sim.tasks import Task

from so101_sim import judge, scene
from so101_tools.policy.evaluation import FollowingArm
from so101_tools.policy.lockstep_arm import LockstepArm, Phases


class ExpertEpisodes:
    """Runs the expert behind the queue's core on a virtual arm."""

    def __init__(self, arm: LockstepArm, task: Task, settings: Settings, delay_s: float) -> None:
        """settings: of the action queue; delay_s: from a question to its answer, s."""
        self._arm = arm
        self._task = task
        self._settings = settings
        self._link = Link(lambda _: 0.0, lambda _: delay_s, lambda _: 0.0)
        self._model = scene.build_model()
        self._expert = ExpertPolicy(self._model)
        self._home = JointRanges.of(self._model).to_driver(np.array(HOME))
        lower, upper = (tuple(bound().tolist()) for bound in (arm.calibration.lower_rad, arm.calibration.upper_rad))
        self._limits = JointLimits(DRIVER_ID, JOINT_NAMES, lower, upper, lower, upper, (0,) * len(JOINT_NAMES))

    def run(self, seed: int) -> bool:
        """One episode of the scene `seed`, from the home pose until the judge has decided; whether it succeeded."""
        self._arm.move_to(self._home)
        self._arm.place_objects(self._task.name, seed, Phases.draw(np.random.default_rng(seed)))
        goal = tuple(self._arm.goal.tolist())
        follower = FollowingArm(self._arm)
        session = VirtualSession(self._settings, self._answer, self._link, goal, arm=follower, limits=self._limits)
        referee = judge.Judge(self._task.timeout_s, self._look())
        session.start()
        while True:
            session.run(self._settings.period_ns / 1e9)
            verdict, _ = referee.look(self._look())
            if verdict is not judge.Verdict.RUNNING:
                return verdict is judge.Verdict.SUCCEEDED

    def _answer(self, question: Question) -> NDArray[np.float64]:
        rows = self._expert.rows(
            session=question.session,
            step=question.step,
            positions=np.array(question.positions),
            world=self._arm.state(),
            rows=self._settings.actions_per_chunk,
            fps=self._settings.fps,
        )
        return np.asarray(rows, np.float64)

    def _look(self) -> judge.Moment:
        state = self._arm.state()
        return judge.Moment(
            state.monotonic_ns,
            state.sim_time_s,
            state.scene_count,
            scene.cube_pose(self._model, state.qpos),
            scene.cube_velocity(self._model, state.qvel),
        )
