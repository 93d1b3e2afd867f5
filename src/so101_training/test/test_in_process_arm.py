# SPDX-License-Identifier: Apache-2.0
"""The virtual arm in this process moves as the one behind a serial port does, to the last bit."""

from collections.abc import Mapping, Sequence

import numpy as np
from so101_driver.core.calibration import load_calibration
from so101_driver.core.registers import ServoState
from so101_driver.servos.feetech_bus import FeetechBus
from so101_sim.arm.shared_state import StateSnapshot
from so101_sim.virtual_arm_client import RunningVirtualArm, running_virtual_arm
from so101_training.policy.in_process_arm import InProcessArm
from so101_training.policy.lockstep_arm import LockstepArm, Phases, SteppedArm


class ArmBehindItsPort:
    """A virtual_arm process, over its servo bus and its control socket."""

    def __init__(self, arm: RunningVirtualArm, bus: FeetechBus) -> None:
        self._arm, self._bus = arm, bus
        self.calibration = load_calibration(arm.calibration)
        self.reset_scene, self.advance = arm.client.reset_scene, arm.client.advance
        self.write_goals = bus.write_goals

    def state(self) -> StateSnapshot:
        state = self._arm.state.read()
        assert state is not None
        return state

    def read_states(self, servo_ids: Sequence[int]) -> Mapping[int, ServoState]:
        """To read after writing makes sure that the goals have arrived before time goes on."""
        return self._bus.read_states(servo_ids).states


def motion(arm: SteppedArm) -> np.ndarray:
    """Joint positions as read from the servos, and the whole state, over a second on the belt; (ticks, ...)."""
    lockstep, rng, ticks = LockstepArm(arm), np.random.default_rng(0), []
    lockstep.move_to(lockstep.goal + np.array([0.1, -0.1, 0.1, 0.0, 0.1, 0.2]))
    lockstep.place_objects("belt", 5, Phases(3_000_000, 9_000_000))
    for _ in range(30):
        lockstep.step(lockstep.goal + rng.normal(0.0, 0.03, 6))
        moment = lockstep.moment()
        ticks.append(np.concatenate([moment.positions, moment.qpos, lockstep.state().qvel]))
    return np.array(ticks)


def test_it_moves_as_the_arm_behind_a_port_does() -> None:
    here = motion(InProcessArm())
    with running_virtual_arm("--lockstep", "--wire-byte-us", "0") as arm:
        bus = FeetechBus(str(arm.port), reply_timeout_s=1.0)
        bus.open()
        try:
            there = motion(ArmBehindItsPort(arm, bus))
        finally:
            bus.close()
    assert np.ptp(here[:, :6], axis=0).min() > 0.02  # every joint has moved
    np.testing.assert_array_equal(here, there)


def test_scenes_are_counted_and_time_that_is_less_than_a_step_is_kept() -> None:
    arm = InProcessArm()
    arm.reset_scene("belt", 7)
    begin = arm.state()
    assert (begin.scene_seed, begin.scene_count) == (7, 1)
    for _ in range(4):
        arm.advance(1_500_000)
    assert arm.state().sim_time_s - begin.sim_time_s == 0.006
