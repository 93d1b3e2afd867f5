# SPDX-License-Identifier: Apache-2.0
"""Tests of how a hand moves a cube that lies on the table."""

import numpy as np
import pytest
from so101_sim.core import hand_motion
from so101_sim.core.hand_motion import HandMotion
from so101_sim.core.tasks import STATIC_NUDGED
from so101_sim.errors import ArrayShapeError

SEEDS = (*range(300), 2**64 - 1)


def test_the_way_by_hand() -> None:
    motion = HandMotion(0.5, 0.4, np.array([0.02, -0.01]))
    for time_s, ratio in ((0.0, 0.0), (0.5, 0.0), (0.6, 0.103515625), (0.7, 0.5), (0.9, 1.0), (9.0, 1.0)):
        np.testing.assert_allclose(motion.offset_at(time_s), ratio * motion.way_m, atol=1e-12)


def test_a_motion_survives_as_an_array() -> None:
    motion = HandMotion(0.5, 0.4, np.array([0.02, -0.01]))
    again = HandMotion.from_array(motion.to_array())
    assert (again.begins_s, again.lasts_s) == (motion.begins_s, motion.lasts_s)
    np.testing.assert_array_equal(again.way_m, motion.way_m)


def test_a_cube_is_moved_by_2_to_4_cm_in_any_direction_and_lies_again_before_the_expert_is_down() -> None:
    motions = [STATIC_NUDGED.hand_motion(seed) for seed in SEEDS]
    lengths = [float(np.linalg.norm(motion.way_m)) for motion in motions]
    assert 0.02 <= min(lengths) < 0.021 and 0.039 < max(lengths) <= 0.04
    assert 0.3 <= min(motion.begins_s for motion in motions) < 0.31
    assert min(motion.lasts_s for motion in motions) >= 0.2 and max(motion.lasts_s for motion in motions) <= 0.4
    assert 1.4 < max(motion.begins_s + motion.lasts_s for motion in motions) <= 1.5
    headings = np.array([np.arctan2(*motion.way_m) for motion in motions])
    counts, _ = np.histogram(headings, bins=8, range=(-np.pi, np.pi))
    assert counts.min() > 15


def test_a_moved_cube_lies_where_a_scene_could_have_placed_it() -> None:
    for seed in SEEDS:
        x, y = STATIC_NUDGED.cube_start(seed).position[:2] + STATIC_NUDGED.hand_motion(seed).way_m
        assert STATIC_NUDGED.x_m[0] <= x <= STATIC_NUDGED.x_m[1]
        assert STATIC_NUDGED.y_m[0] <= y <= STATIC_NUDGED.y_m[1]


def test_the_same_seed_gives_the_same_motion() -> None:
    area = (STATIC_NUDGED.x_m, STATIC_NUDGED.y_m)
    first, second = (hand_motion.nudged(7, np.array([0.23, 0.04]), *area) for _ in range(2))
    np.testing.assert_array_equal(first.to_array(), second.to_array())


def test_arrays_of_another_length_are_refused() -> None:
    with pytest.raises(ArrayShapeError, match=r"way_m has shape \(3,\): expected \(2,\)"):
        HandMotion(0.5, 0.4, np.zeros(3))
    with pytest.raises(ArrayShapeError, match=r"a motion has shape \(7,\): expected \(4,\)"):
        HandMotion.from_array(np.zeros(7))
