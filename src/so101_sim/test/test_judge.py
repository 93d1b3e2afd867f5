# SPDX-License-Identifier: Apache-2.0
"""Tests of the judge with made-up moments."""

import numpy as np
import pytest
from so101_sim.core.judge import STANDSTILL_NS, Judge, Moment, TaskVerdict, in_bin
from so101_sim.core.tasks import BIN_CENTRE_M, CONVEYOR, CubePose

IN_BIN = (*BIN_CENTRE_M, 0.0145)
OUTSIDE = (0.24, 0.05, 0.0125)


def moment(time_s: float, place: tuple[float, ...] = OUTSIDE, speed: float = 0.0, **changes: object) -> Moment:
    values: dict[str, object] = {"now_ns": round(time_s * 1e9), "scene_count": 1}
    values.update(changes)
    velocity = np.array([speed, 0, 0, 0, 0, 0])
    return Moment(sim_time_s=time_s, cube=CubePose(np.array(place), 0.0), velocity=velocity, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (IN_BIN, True),
        ((BIN_CENTRE_M[0] + 0.05, BIN_CENTRE_M[1] - 0.05, 0.02), True),
        ((BIN_CENTRE_M[0] + 0.056, BIN_CENTRE_M[1], 0.0145), False),
        ((*BIN_CENTRE_M, 0.085), False),
        (OUTSIDE, False),
    ],
    ids=["middle", "corner", "on the wall", "carried above it", "on the table"],
)
def test_only_within_the_walls_and_low_is_in_the_bin(place: tuple[float, ...], expected: bool) -> None:
    assert in_bin(CubePose(np.array(place), 0.0)) is expected


def test_success_needs_the_cube_to_rest_for_a_while() -> None:
    judge = Judge(15.0, moment(100.0))
    assert judge.look(moment(104.0, IN_BIN, speed=0.3))[0] is TaskVerdict.RUNNING
    assert judge.look(moment(104.1, IN_BIN))[0] is TaskVerdict.RUNNING
    assert judge.look(moment(104.3, IN_BIN))[0] is TaskVerdict.RUNNING
    assert judge.look(moment(104.5, IN_BIN)) == (TaskVerdict.SUCCEEDED, "the cube rests in the bin")
    assert judge.duration_s == pytest.approx(4.5)


def test_a_cube_that_bounces_starts_its_rest_anew() -> None:
    judge = Judge(15.0, moment(0.0))
    judge.look(moment(1.0, IN_BIN))
    judge.look(moment(1.2, IN_BIN, speed=0.1))
    assert judge.look(moment(1.4, IN_BIN))[0] is TaskVerdict.RUNNING
    assert judge.look(moment(1.71, IN_BIN))[0] is TaskVerdict.SUCCEEDED


def test_time_is_up_in_simulated_seconds_whatever_the_clock_says() -> None:
    judge = Judge(15.0, moment(0.0))
    assert judge.look(moment(14.9, now_ns=200_000_000_000))[0] is TaskVerdict.RUNNING
    verdict, why = judge.look(moment(15.0, now_ns=201_000_000_000))
    assert verdict is TaskVerdict.FAILED
    assert why == "after 15 s the cube is at x 0.240, y 0.050, z 0.013 m"


def test_a_cube_that_the_belt_has_carried_beyond_its_end_has_lost_the_episode_at_once() -> None:
    judge = Judge(15.0, moment(0.0), CONVEYOR)
    on_belt, off_belt = (CONVEYOR.point(along, 0.0) + np.array([0, 0, 0.0125]) for along in (0.22, 0.23))
    assert judge.look(moment(6.0, tuple(on_belt)))[0] is TaskVerdict.RUNNING
    held = off_belt + np.array([0, 0, 0.08])
    assert judge.look(moment(6.1, tuple(held)))[0] is TaskVerdict.RUNNING
    assert judge.look(moment(6.2, tuple(off_belt))) == (TaskVerdict.FAILED, "the belt has carried the cube away")
    assert Judge(15.0, moment(0.0)).look(moment(6.2, tuple(off_belt)))[0] is TaskVerdict.RUNNING


def test_a_cube_in_the_bin_is_not_taken_for_one_that_was_carried_away() -> None:
    judge = Judge(15.0, moment(0.0), CONVEYOR)
    judge.look(moment(4.0, IN_BIN))
    assert judge.look(moment(4.5, IN_BIN))[0] is TaskVerdict.SUCCEEDED


def test_a_scene_that_was_laid_out_anew_ends_the_episode_uncounted() -> None:
    judge = Judge(15.0, moment(5.0))
    assert judge.look(moment(5.1, IN_BIN, scene_count=2))[0] is TaskVerdict.ABORTED


def test_a_simulator_that_was_restarted_ends_the_episode_uncounted() -> None:
    judge = Judge(15.0, moment(5.0))
    assert judge.look(moment(0.1))[0] is TaskVerdict.ABORTED


def test_a_simulator_that_stands_still_ends_the_episode_uncounted() -> None:
    judge = Judge(15.0, moment(5.0, now_ns=0))
    assert judge.look(moment(5.5, now_ns=100))[0] is TaskVerdict.RUNNING
    assert judge.look(moment(5.5, now_ns=STANDSTILL_NS))[0] is TaskVerdict.RUNNING
    verdict, why = judge.look(moment(5.5, now_ns=STANDSTILL_NS + 100))
    assert verdict is TaskVerdict.ABORTED
    assert "virtual_arm" in why
