# SPDX-License-Identifier: Apache-2.0
"""Tests of the tasks and of where they put the cube."""

import numpy as np
import pytest
from so101_sim.core.tasks import (
    BELT,
    BIN_CENTRE_M,
    BIN_HALF_M,
    CONVEYOR,
    CUBE_HALF_M,
    STATIC,
    STATIC_NUDGED,
    TASKS,
    Belt,
    task_named,
)
from so101_sim.errors import TaskError


def test_the_same_seed_gives_the_same_start_for_ever() -> None:
    # Figures of the first release: shipped success rates and recorded seeds refer to them.
    pose = STATIC.cube_start(7)
    np.testing.assert_allclose(pose.position, [0.2400076, 0.0956097, 0.0125], atol=1e-6)
    assert pose.yaw == pytest.approx(0.1927, abs=1e-3)
    on_belt = BELT.cube_start(7)
    np.testing.assert_allclose(on_belt.position, [0.2179613, 0.1201286, 0.0165], atol=1e-6)
    assert on_belt.yaw == pytest.approx(0.1927, abs=1e-3)


def test_different_seeds_give_different_starts() -> None:
    assert len({tuple(STATIC.cube_start(seed).position) for seed in range(100)}) == 100


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_starts_fill_the_tasks_area_and_never_leave_it_or_touch_the_bin(task) -> None:
    starts = [task.cube_start(seed) for seed in range(300)]
    places = np.array([start.position for start in starts])
    x, y = places[:, 0], places[:, 1]
    if task.belt is not None:
        offsets = places - task.belt.point(0.0, 0.0)
        x, y = offsets @ task.belt.direction, offsets @ np.cross([0, 0, 1], task.belt.direction)
    for values, (lower, upper) in ((x, task.x_m), (y, task.y_m)):
        assert lower <= values.min() < lower + 0.05 * (upper - lower)
        assert upper >= values.max() > upper - 0.05 * (upper - lower)
    assert all(start.position[2] >= CUBE_HALF_M for start in starts)
    bin_edge = BIN_CENTRE_M[1] + BIN_HALF_M + 2 * CUBE_HALF_M
    assert places[:, 1].min() > bin_edge


def test_a_seed_may_be_any_unsigned_64_bit_number() -> None:
    assert STATIC.x_m[0] <= STATIC.cube_start(2**64 - 1).position[0] <= STATIC.x_m[1]


def test_an_unknown_task_is_named_together_with_those_there_are() -> None:
    with pytest.raises(TaskError, match=r"task = 'juggle': no such task; there are static, static_nudged, belt"):
        task_named("juggle")


def test_a_place_on_a_belt_by_hand() -> None:
    # It runs along y, so across it to the left is against x.
    belt = Belt((1.0, 2.0), np.pi / 2, half_length_m=0.5, half_width_m=0.1, height_m=0.01, speed_m_s=0.2)
    np.testing.assert_allclose(belt.point(0.3, 0.1), [0.9, 2.3, 0.01])
    np.testing.assert_allclose(belt.velocity, [0.0, 0.2, 0.0], atol=1e-12)


@pytest.mark.parametrize(
    ("along_m", "across_m", "above_m", "carried"),
    [
        (0.2, 0.03, CUBE_HALF_M, True),
        (-0.2, -0.03, CUBE_HALF_M, True),
        (0.23, 0.0, CUBE_HALF_M, False),
        (0.0, 0.04, CUBE_HALF_M, False),
        (0.0, 0.0, 0.03, False),
    ],
    ids=["downstream", "upstream", "past its end", "beside it", "in the air"],
)
def test_the_belt_carries_what_lies_on_it(along_m: float, across_m: float, above_m: float, carried: bool) -> None:
    assert CONVEYOR.carries(CONVEYOR.point(along_m, across_m) + np.array([0.0, 0.0, above_m])) == carried


def test_a_cube_past_either_end_of_the_belt_is_lost_unless_it_is_held_up() -> None:
    for along, lost in ((0.2, False), (-0.2, False), (0.23, True), (-0.23, True)):
        assert CONVEYOR.has_carried_off(CONVEYOR.point(along, 0.0) + np.array([0, 0, CUBE_HALF_M])) == lost
        assert not CONVEYOR.has_carried_off(CONVEYOR.point(along, 0.0) + np.array([0, 0, 0.1]))


def test_a_place_past_the_end_is_brought_back_to_where_a_whole_cube_fits() -> None:
    inside = CONVEYOR.point(0.1, 0.02)
    np.testing.assert_allclose(CONVEYOR.kept_on(inside), inside)
    fits = CONVEYOR.half_length_m - CUBE_HALF_M
    np.testing.assert_allclose(CONVEYOR.kept_on(CONVEYOR.point(-0.3, 0.02)), CONVEYOR.point(-fits, 0.02))


def test_all_belts_place_the_cube_alike_and_only_their_motion_differs() -> None:
    belts = [task for task in TASKS.values() if task.belt is not None]
    assert {task.instruction for task in belts} == {BELT.instruction}
    assert len({tuple(task.cube_start(5).position) for task in belts}) == 1
    assert len({tuple(task.belt_motion(5).to_array()) for task in belts}) == len(belts) == 5
    assert STATIC.belt_motion(5) is None


def test_a_cube_that_a_hand_moves_starts_as_one_that_nobody_moves_and_the_policy_is_told_the_same() -> None:
    np.testing.assert_array_equal(STATIC_NUDGED.cube_start(5).position, STATIC.cube_start(5).position)
    assert STATIC_NUDGED.instruction == STATIC.instruction
    assert [task.name for task in TASKS.values() if task.hand_motion(5) is not None] == ["static_nudged"]


def test_only_worlds_that_change_wait_for_the_queue() -> None:
    steady = [name for name, task in TASKS.items() if not task.changes]
    assert steady == ["static", "belt"]


def test_a_cube_that_is_missed_passes_the_bin_without_touching_it() -> None:
    across = CONVEYOR.half_width_m
    bin_corner = np.array([BIN_CENTRE_M[0] + BIN_HALF_M + 0.003, BIN_CENTRE_M[1] + BIN_HALF_M + 0.003])
    inner_edge = [CONVEYOR.point(along, -across)[:2] for along in np.linspace(-0.225, 0.225, 400)]
    beside_the_bin = [place for place in inner_edge if place[1] < bin_corner[1]]
    assert beside_the_bin
    assert min(place[0] for place in beside_the_bin) > bin_corner[0]
