# SPDX-License-Identifier: Apache-2.0
"""Tests of how belts run in worlds that change."""

import math

import numpy as np
import pytest
from so101_sim.core import belt_motion
from so101_sim.core.belt_motion import STRETCHES, BeltMotion
from so101_sim.errors import ArrayShapeError

SEEDS = (*range(200), 2**64 - 1)


def test_the_speed_by_hand_and_the_last_stretch_runs_on() -> None:
    motion = BeltMotion(np.array([0.5, 1.0]), np.array([0.02, -0.03]))
    times_s = (0.0, 0.499, 0.5, 0.99, 1.0, 100.0)
    assert [motion.speed_at(time_s) for time_s in times_s] == [0.02, 0.02, -0.03, -0.03, -0.03, -0.03]


def test_the_next_change_is_a_stretchs_end_or_the_nudge_whichever_comes_first() -> None:
    motion = BeltMotion(np.array([0.5, 1.0, 2.0]), np.array([0.02, 0.03, 0.04]), nudge_s=0.7, nudge_m=0.02)
    assert [motion.next_change_s(time_s) for time_s in (0.0, 0.5, 0.7, 1.0)] == [0.5, 0.7, 1.0, math.inf]


@pytest.mark.parametrize(
    "draw",
    [belt_motion.steady, belt_motion.changing, belt_motion.reversing, belt_motion.nudged, belt_motion.stopping],
)
def test_a_motion_follows_from_its_seed_and_survives_as_an_array(draw) -> None:
    for seed in SEEDS:
        motion = draw(seed, 0.05)
        again = BeltMotion.from_array(draw(seed, 0.05).to_array())
        for time_s in np.linspace(0.0, 25.0, 60):
            assert again.speed_at(time_s) == motion.speed_at(time_s)
            assert again.next_change_s(time_s) == motion.next_change_s(time_s)
        assert (again.nudge_s, again.nudge_m) == (motion.nudge_s, motion.nudge_m)


def test_a_changing_belt_runs_forwards_at_2_to_8_cm_s_for_04_to_12_s() -> None:
    motions = [belt_motion.changing(seed, 0.05) for seed in SEEDS]
    speeds = np.concatenate([motion.speeds_m_s for motion in motions])
    lasting = np.concatenate([np.diff(motion.ends_s, prepend=0.0) for motion in motions])
    assert 0.02 <= speeds.min() < 0.021 and 0.079 < speeds.max() <= 0.08
    assert 0.4 <= lasting.min() < 0.41 and 1.19 < lasting.max() <= 1.2
    assert min(motion.ends_s[-1] for motion in motions) >= 20.0
    assert len({motion.speeds_m_s[0] for motion in motions}) == len(motions)


def test_a_reversing_belt_begins_forwards_and_never_turns_twice_running() -> None:
    motions = [belt_motion.reversing(seed, 0.05) for seed in SEEDS]
    back = np.concatenate([motion.speeds_m_s < 0.0 for motion in motions])
    assert 0.15 < back.mean() < 0.25  # one in four of those that may
    for motion in motions:
        back_here = motion.speeds_m_s < 0.0
        assert not back_here[0] and not (back_here[1:] & back_here[:-1]).any()
        assert np.abs(motion.speeds_m_s[back_here]).max(initial=0.0) <= 0.05
        assert np.diff(motion.ends_s, prepend=0.0)[back_here].max(initial=0.0) <= 0.6 + 1e-9


def test_a_nudge_comes_once_early_and_either_way() -> None:
    motions = [belt_motion.nudged(seed, 0.05) for seed in SEEDS]
    assert all(0.3 <= motion.nudge_s <= 1.4 and 0.02 <= abs(motion.nudge_m) <= 0.04 for motion in motions)
    assert 0.4 < np.mean([motion.nudge_m > 0 for motion in motions]) < 0.6
    assert {motion.speed_at(3.0) for motion in motions} == {0.05}


def test_a_stopping_belt_stands_now_and_then_and_never_runs_back_and_its_nudges_are_small_and_may_be_late() -> None:
    motions = [belt_motion.stopping(seed, 0.05) for seed in SEEDS]
    speeds = np.concatenate([motion.speeds_m_s for motion in motions])
    assert 0.2 < (speeds == 0.0).mean() < 0.32  # 0.35 of those that may: none stands twice running, or at first
    assert speeds[speeds > 0.0].min() >= 0.02 and speeds.max() <= 0.08
    assert all(0.3 <= motion.nudge_s <= 2.2 and 0.01 <= abs(motion.nudge_m) <= 0.025 for motion in motions)
    assert max(motion.nudge_s for motion in motions) > 2.1


def test_arrays_that_do_not_match_are_refused_with_their_shapes() -> None:
    with pytest.raises(ArrayShapeError, match=r"ends_s has shape \(2,\), speeds_m_s \(1,\): expected 1 to 64 of each"):
        BeltMotion(np.array([1.0, 2.0]), np.array([0.05]))
    with pytest.raises(ArrayShapeError, match="expected 1 to"):
        BeltMotion(np.arange(STRETCHES + 1.0), np.zeros(STRETCHES + 1))
    with pytest.raises(ArrayShapeError, match=r"a motion has shape \(7,\): expected \(130,\)"):
        BeltMotion.from_array(np.zeros(7))
