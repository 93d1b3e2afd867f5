# SPDX-License-Identifier: Apache-2.0
"""One episode in virtual time: a virtual arm behind the core of the action queue, until the judge has decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from so101_action_queue.core.decisions import ChunkRequest
from so101_action_queue.core.inputs import JointLimits
from so101_action_queue.core.settings import QueueSettings
from so101_action_queue.record.virtual_session import DRIVER_ID, VirtualLink, VirtualSession
from so101_node.protocol import JOINT_NAMES
from so101_sim.core import judge
from so101_sim.core.joints import HOME, JointRanges
from so101_sim.core.tasks import Task
from so101_sim.world import scene

from so101_training.policy.lockstep_arm import ArmMoment, LockstepArm, Phases

FAR_INFERENCE_S = 0.03
"""What a fast policy takes of the whole delay, as the shipped ones do, where the delay is of the way there."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One episode: the scene's seed, whether the judge was content, and after how long, s."""

    seed: int
    succeeded: bool
    duration_s: float


@dataclass(frozen=True, slots=True)
class PolicyDelay:
    """From a request to its chunk, s.

    is_warm: an episode's first request is answered at once, as if the policy had been asked before it began.
    is_far: the line takes the time rather than the policy, so that several requests are under way one behind the other.
    """

    delay_s: float
    is_warm: bool = False
    is_far: bool = False

    def link(self) -> VirtualLink:
        """The link of a VirtualSession."""
        inference_s = min(FAR_INFERENCE_S, self.delay_s) if self.is_far else self.delay_s

        def of(request_id: int, seconds: float) -> float:
            return 0.0 if self.is_warm and request_id == 1 else seconds

        return VirtualLink(
            lambda _: 0.0,
            lambda request_id: of(request_id, inference_s),
            lambda request_id: of(request_id, self.delay_s - inference_s),
        )


class SessionCorrection(Protocol):
    """Adds to the setpoints of a session, tick by tick."""

    def begin(self) -> None:
        """An episode begins."""
        ...

    def delta(self, session: VirtualSession, moment: ArmMoment) -> NDArray[np.float64]:
        """Return what is added to this tick's setpoint, (6,), rad; called after the session's core has decided."""
        ...


class FollowingArm:
    """The arm of a VirtualSession: a virtual arm, and what it looked like at each tick."""

    def __init__(self, arm: LockstepArm, correct: Callable[[ArmMoment], NDArray[np.float64]] | None = None) -> None:
        """correct: what is added to a tick's setpoint, (6,), rad."""
        self._arm = arm
        self._correct = correct
        self.moments: list[ArmMoment] = []

    @property
    def positions(self) -> tuple[float, ...]:
        """The measured joint positions, (6,), driver rad."""
        return tuple(self._arm.moment().positions.tolist())

    def step(self, setpoint: tuple[float, ...]) -> None:
        """Follow a setpoint, (6,), driver rad, for one control period."""
        moment = self._arm.moment()
        self.moments.append(moment)
        planned = np.array(setpoint)
        self._arm.step(planned if self._correct is None else planned + self._correct(moment))


ComputeRows = Callable[[ChunkRequest, ArmMoment], NDArray[np.float64]]
"""(request, what cameras and bus had last seen when it was sent) -> rows (rows, 6), driver rad."""


class VirtualEpisodes:
    """Runs episodes of one task on one virtual arm, with whatever computes the rows for the queue's requests."""

    def __init__(
        self,
        arm: LockstepArm,
        task: Task,
        settings: QueueSettings,
        delay: PolicyDelay,
        correction: SessionCorrection | None = None,
    ) -> None:
        """settings: of the action queue."""
        self._arm = arm
        self._task = task
        self._settings = settings
        self._link = delay.link()
        self._correction = correction
        self.model = scene.build_model()
        self._home = JointRanges.of(self.model).to_driver(np.array(HOME))
        lower, upper = (tuple(bound().tolist()) for bound in (arm.calibration.lower_rad, arm.calibration.upper_rad))
        self._limits = JointLimits(DRIVER_ID, JOINT_NAMES, lower, upper, lower, upper, (0,) * len(JOINT_NAMES))

    def run(self, seed: int, respond: ComputeRows, begun: Callable[[], None] = lambda: None) -> Outcome:
        """One episode of the scene `seed`, from the home positions until the judge has decided.

        `begun` is called when the scene is laid out and nothing has been requested yet.
        """
        self._arm.move_to(self._home)
        self._arm.place_objects(self._task.name, seed, Phases.draw(np.random.default_rng(seed)))
        begun()
        correction = self._correction
        if correction is None:
            follower = FollowingArm(self._arm)
        else:
            correction.begin()
            follower = FollowingArm(self._arm, lambda moment: correction.delta(session, moment))
        session: VirtualSession = VirtualSession(
            self._settings,
            lambda request: respond(request, _seen_by(request, session, follower)),
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
            if verdict is not judge.TaskVerdict.RUNNING:
                return Outcome(seed, verdict is judge.TaskVerdict.SUCCEEDED, referee.duration_s)

    def _look(self) -> judge.Moment:
        state = self._arm.state()
        return judge.Moment(
            state.monotonic_ns,
            state.sim_time_s,
            state.scene_count,
            scene.cube_pose(self.model, state.qpos),
            scene.cube_velocity(self.model, state.qvel),
        )


def _seen_by(request: ChunkRequest, session: VirtualSession, follower: FollowingArm) -> ArmMoment:
    ids = [request.request_id for request in session.trace.requests]
    return follower.moments[session.trace.request_ticks[ids.index(request.request_id)]]
