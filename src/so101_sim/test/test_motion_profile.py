# SPDX-License-Identifier: Apache-2.0
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_sim.core.motion_profile import MotionProfile

DT_S = 0.002
positions = st.floats(0, 4095)
velocities = st.floats(100, 6000)
accelerations = st.floats(500, 25400)


def run(profile: MotionProfile, goal: float, velocity: float, acceleration: float, seconds: float) -> list[float]:
    return [profile.advance(goal, DT_S, velocity, acceleration) for _ in range(round(seconds / DT_S))]


@given(positions, positions, velocities, accelerations)
def test_from_rest_it_arrives_without_passing_the_goal(start: float, goal: float, speed: float, change: float) -> None:
    way = abs(goal - start)
    needed_s = way / speed + 2 * math.sqrt(way / change) + speed / change + 0.1
    path = run(MotionProfile(start), goal, speed, change, needed_s)
    assert path[-1] == pytest.approx(goal, abs=0.01)
    low, high = min(start, goal), max(start, goal)
    assert all(low - 0.2 <= position <= high + 0.2 for position in path)


@given(st.lists(positions, min_size=1, max_size=8), velocities, accelerations)
def test_velocity_and_acceleration_stay_bounded_while_goals_jump(
    goals: list[float], speed: float, change: float
) -> None:
    profile = MotionProfile(2048.0)
    before = 0.0
    for goal in goals:
        for _ in range(20):
            profile.advance(goal, DT_S, speed, change)
            assert abs(profile.velocity) <= speed + change * DT_S
            assert abs(profile.velocity - before) <= 2 * change * DT_S + 1e-6
            before = profile.velocity


def test_a_long_way_takes_the_time_of_the_trapezoid() -> None:
    # 2000 ticks at 1000 ticks/s with 1000 ticks/s^2: 1 s up, 1 s level, 1 s down.
    path = run(MotionProfile(0.0), 2000.0, 1000.0, 1000.0, 4.0)
    arrived_s = DT_S * next(i for i, position in enumerate(path) if position > 1999.5)
    assert arrived_s == pytest.approx(3.0, abs=0.05)
    assert path[round(1.0 / DT_S)] == pytest.approx(500.0, abs=3.0)


def test_without_limits_it_is_at_the_goal_at_once() -> None:
    assert MotionProfile(100.0).advance(3000.0, DT_S, math.inf, math.inf) == pytest.approx(3000.0)


def test_with_a_speed_limit_only_it_runs_at_that_speed() -> None:
    profile = MotionProfile(0.0)
    assert profile.advance(1000.0, DT_S, 500.0, math.inf) == pytest.approx(1.0)
    assert run(profile, 1000.0, 500.0, math.inf, 3.0)[-1] == 1000.0
