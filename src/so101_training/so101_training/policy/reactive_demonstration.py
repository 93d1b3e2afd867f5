# SPDX-License-Identifier: Apache-2.0
"""One demonstration of the expert that plans again at each tick: for worlds that change under way.

The action of a frame is what the expert commands upon it, in the same tick, as a person who teleoperates does.
"""

from __future__ import annotations

import numpy as np
from so101_sim.core.joints import HOME, JointRanges
from so101_sim.core.tasks import Task
from so101_sim.errors import OutOfReachError
from so101_sim.expert.reactive import ReactiveExpert
from so101_sim.world import scene

from so101_training.policy.demonstration import (
    NOT_GRIPPER,
    START_SPREAD_RAD,
    Demonstration,
    FrameTape,
    rests_in_bin,
    wander,
)
from so101_training.policy.lockstep_arm import Joints, LockstepArm, Phases
from so101_training.policy.viewpoint import Viewpoint

NOISE_LEVELS_RAD = (0.0, 0.01, 0.02, 0.03)

# A policy far away begins late and must then hurry: such starts are shown, the arm waiting in full view. Never shown is
# an arm that waits and then takes its time, since that would teach to be late.
LATE_RATIO, LATE_ROWS, PROMPT_ROWS = 0.6, (0, 37), (0, 4)

# What reacts is the way to the cube and the grasp; the way to the bin is alike each time, and is shown in one of four.
SHORT_RATIO, SHORT_ROWS = 0.75, 105  # of the plan; the jaws have closed at row 73 and the cube is up at row 93
_HELD_HEIGHT_M = 0.03

_LONGEST_ROWS = 400


class ReactiveDemonstrator:
    """Records demonstrations on one virtual arm."""

    def __init__(self, arm: LockstepArm, viewpoint: Viewpoint, task: Task, *, noise: bool = True) -> None:
        """noise: whether the commands sent stray from the actions kept."""
        self._arm = arm
        self._viewpoint = viewpoint
        self._task = task
        self._levels_rad = NOISE_LEVELS_RAD if noise else (0.0,)
        self._model = scene.build_model()
        self._home = JointRanges.of(self._model).to_driver(np.array(HOME))
        self._expert = ReactiveExpert(self._model)
        self._lower_rad, self._upper_rad = arm.calibration.lower_rad(), arm.calibration.upper_rad()

    def record(self, seed: int, keep_jpegs: bool = False) -> Demonstration | None:
        """One episode of the scene `seed`; None if the cube was out of reach, or was not held or in the bin at last."""
        try:
            return self._record(seed, keep_jpegs)
        except OutOfReachError:
            return None

    def _record(self, seed: int, keep_jpegs: bool) -> Demonstration | None:
        rng = np.random.default_rng(seed)
        self._arm.move_to(self._home + rng.normal(0.0, START_SPREAD_RAD, len(self._home)) * NOT_GRIPPER)
        self._arm.place_objects(self._task.name, seed, Phases.draw(rng))
        late = rng.random() < LATE_RATIO
        wait = int(rng.integers(*(LATE_ROWS if late else PROMPT_ROWS)))
        short = rng.random() < SHORT_RATIO
        noise = wander(rng, _LONGEST_ROWS, self._levels_rad)
        hold = self._arm.goal
        tape, actions = FrameTape(self._arm, self._viewpoint), []
        for _ in range(wait):
            actions.append(hold)
            tape.take()
            self._arm.step(hold)
        first_row = 0 if self._task.belt is None else wait  # a cube that lies still has not got away meanwhile
        self._expert.begin(hold, jitter_seed=seed, row=first_row)
        for row in range(first_row, _LONGEST_ROWS):
            actions.append(self._commanded(tape))
            self._arm.step(np.clip(actions[-1] + noise[row], self._lower_rad, self._upper_rad))
            if self._expert.done or (short and row >= SHORT_ROWS):
                break
        if not (self._is_held() if short else rests_in_bin(self._arm, self._model)):
            return None
        return tape.demonstration(seed, np.array(actions), keep_jpegs)

    def _commanded(self, tape: FrameTape) -> Joints:
        """What the expert commands upon the frame that is taken now, (6,), driver rad."""
        tape.take()
        state = self._arm.state()
        return self._expert.command(state.qpos, state.qvel)

    def _is_held(self) -> bool:
        return bool(scene.cube_pose(self._model, self._arm.state().qpos).position[2] > _HELD_HEIGHT_M)
