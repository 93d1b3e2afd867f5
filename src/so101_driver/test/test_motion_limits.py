# SPDX-License-Identifier: Apache-2.0
"""Position, speed and acceleration limits of goals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_driver.core.interpolation import CommandInterpolator
from so101_driver.core.motion_limits import MotionLimiter, MotionLimits
from so101_driver.ros.driver_parameters import DriverParameters

DT = 1 / 60
SPEED, ACCELERATION = 2.0, 30.0


def limiter_of(lower: float = -1.0, upper: float = 1.0) -> MotionLimiter:
    one = np.ones(1)
    return MotionLimiter(MotionLimits(lower * one, upper * one, SPEED * one, ACCELERATION * one), DT)


@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans()), min_size=1, max_size=80), st.floats(-1, 1))
def test_no_sequence_of_targets_breaks_a_limit(events: list[tuple[float, bool]], start: float) -> None:
    limiter = limiter_of()
    limiter.seed([start])
    goal, speed = start, 0.0
    for target, braking in events:
        now = limiter.slow_down(10.0)[0] if braking else limiter.follow([target])[0][0]
        now_speed = (now - goal) / DT
        assert -1.0 <= now <= 1.0
        assert abs(now_speed) <= SPEED + 1e-6
        assert abs(now_speed - speed) <= ACCELERATION * DT + 1e-6
        goal, speed = now, now_speed


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_a_standing_target_is_reached_without_overshoot(start: float, target: float) -> None:
    limiter = limiter_of()
    limiter.seed([start])
    for _ in range(200):
        goal = limiter.follow([target])[0][0]
        assert min(start, target) - 1e-9 <= goal <= max(start, target) + 1e-9
    assert goal == pytest.approx(target, abs=1e-9)
    assert limiter.is_still


def test_the_first_periods_of_a_step_by_hand() -> None:
    limiter = limiter_of()
    limiter.seed([0.0])
    goals = [limiter.follow([1.0])[0][0] for _ in range(5)]
    # 0.5 rad/s more each period until 2 rad/s: 0.5, 1, 1.5, 2, 2 rad/s for 1/60 s each
    assert goals == pytest.approx([0.5 / 60, 1.5 / 60, 3.0 / 60, 5.0 / 60, 7.0 / 60])


def test_what_a_limit_held_back_is_counted() -> None:
    limiter = limiter_of()
    limiter.seed([0.0])
    assert limiter.follow([0.005])[1] == 0
    assert limiter.follow([0.9])[1] == 1


def test_braking_takes_the_time_that_the_deceleration_says() -> None:
    limiter = limiter_of(-10, 10)
    limiter.seed([0.0])
    for _ in range(30):
        limiter.follow([9.0])
    periods = 0
    while not limiter.is_still:
        limiter.slow_down(10.0)
        periods += 1
    assert periods == pytest.approx(SPEED / 10.0 / DT, abs=1)


def test_braking_near_a_position_limit_stops_in_time() -> None:
    limiter = limiter_of()
    limiter.seed([0.8])
    while limiter.goal[0] < 0.95:
        limiter.follow([1.0])
    for _ in range(60):
        assert limiter.slow_down(0.5)[0] <= 1.0
    assert limiter.is_still


@pytest.mark.parametrize("seed", [1.4, -1.4])
def test_a_seed_outside_the_limits_stays_there_until_a_target_leads_it_inside(seed: float) -> None:
    """It is where the joint stands: any other goal would make it jump."""
    limiter = limiter_of()
    assert limiter.seed([seed]) == pytest.approx([seed])
    for _ in range(10):
        assert limiter.slow_down(10.0) == pytest.approx([seed])
        assert limiter.follow([2 * seed])[0] == pytest.approx([seed])


@given(st.floats(-2, 2), st.lists(st.floats(-5, 5), min_size=1, max_size=60))
def test_from_a_seed_anywhere_the_goal_goes_no_farther_out_and_keeps_to_the_speed(
    seed: float, targets: list[float]
) -> None:
    limiter = limiter_of()
    goal, speed = limiter.seed([seed])[0], 0.0
    for target in targets:
        now = limiter.follow([target])[0][0]
        now_speed = (now - goal) / DT
        assert min(-1.0, goal) <= now <= max(1.0, goal)
        assert abs(now_speed) <= SPEED + 1e-6
        assert abs(now_speed - speed) <= ACCELERATION * DT + 1e-6
        goal, speed = now, now_speed
    for _ in range(300):
        limiter.follow([0.5])
    assert limiter.goal == pytest.approx([0.5])


def test_limits_that_admit_nothing_are_refused() -> None:
    one = np.ones(2)
    with pytest.raises(ValueError, match="lower < upper"):
        MotionLimits(one, one, one, one)
    with pytest.raises(ValueError, match="one shape"):
        MotionLimits(-one, one, np.ones(3), one)


def default_limiter() -> MotionLimiter:
    parameters = DriverParameters()
    return MotionLimiter(
        MotionLimits(
            np.full(6, -3.0),
            np.full(6, 3.0),
            np.array(parameters.max_joint_speed_rad_s),
            np.array(parameters.max_joint_acceleration_rad_s2),
        ),
        DT,
    )


def min_jerk(start: float, end: float, steps: int) -> np.ndarray:
    t = np.arange(1, steps + 1) / steps
    return start + (end - start) * (10 * t**3 - 15 * t**4 + 6 * t**5)


@pytest.mark.parametrize("phase_ns", [0, 4_000_000, 11_000_000, 16_000_000])
def test_the_defaults_leave_the_fastest_demonstrated_motion_as_it_is(phase_ns: int) -> None:
    """The gripper opens by 1.05 rad in 1/3 s (5.8 rad/s at its fastest), the arm turns by 1.2 rad in 1 s; on top of it
    the noise of a policy, 0.01 rad from command to command."""
    noise = np.random.default_rng(0).normal(0.0, 0.01, (60, 6))
    commands = np.zeros((60, 6))
    commands[:30, :5] = min_jerk(0.0, 1.2, 30)[:, None]
    commands[30:, :5] = 1.2
    commands[:10, 5], commands[10:, 5] = min_jerk(-0.05, 1.0, 10), 1.0
    limiter, line = default_limiter(), CommandInterpolator()
    line.reset(limiter.seed([0, 0, 0, 0, 0, -0.05]))
    for step, command in enumerate(commands + noise):
        line.command(command, step * 33_333_333)
        for half in range(2):
            wanted = line.sample(step * 33_333_333 + phase_ns + half * 16_666_667)
            goal, limited = limiter.follow(wanted)
            assert limited == 0, (step, wanted - goal)
