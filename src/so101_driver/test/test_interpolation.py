# SPDX-License-Identifier: Apache-2.0
"""60 Hz goals from 30 Hz commands."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_driver.core.interpolation import CommandInterpolator

MS = 1_000_000
TICK = 1_000_000_000 // 30


def test_between_two_commands_the_goal_stands_halfway() -> None:
    line = CommandInterpolator()
    line.reset([0.0, 1.0])
    line.command([0.3, 1.0], 0)
    assert line.sample(TICK // 2) == pytest.approx([0.15, 1.0], abs=1e-6)


def test_a_command_is_reached_after_one_command_period_and_never_later() -> None:
    line = CommandInterpolator()
    line.reset([0.0])
    for step in range(10):
        line.command([0.1 * step], step * TICK)
        assert line.sample((step + 1) * TICK) == pytest.approx([0.1 * step], abs=1e-9)


def test_even_commands_give_even_goals_whatever_the_phase_of_the_bus() -> None:
    for phase in (0, 3 * MS, 9 * MS, 16 * MS):
        line = CommandInterpolator()
        line.reset([0.0])
        goals = []
        for step in range(30):
            line.command([0.1 * (step + 1)], step * TICK)
            goals += [line.sample(step * TICK + phase)[0], line.sample(step * TICK + phase + TICK // 2)[0]]
        assert np.diff(goals[4:]) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize("fps", [10, 15, 30, 50, 60])
def test_the_command_rate_is_learned_from_the_commands(fps: int) -> None:
    period = 1_000_000_000 // fps
    line = CommandInterpolator()
    line.reset([0.0])
    for step in range(8):
        line.command([float(step)], step * period)
    start = 7 * period
    assert line.sample(start + period // 2) == pytest.approx([6.5], abs=1e-6)


def test_one_late_command_does_not_change_the_learned_rate() -> None:
    line = CommandInterpolator()
    line.reset([0.0])
    now = 0
    for step in range(6):
        line.command([0.0], now)
        now += TICK if step != 3 else 2 * TICK
    line.command([1.0], now)
    assert line.sample(now + TICK) == pytest.approx([1.0])
    assert line.sample(now + TICK // 2) == pytest.approx([0.5], abs=1e-6)


def test_without_commands_the_goal_stays_at_the_last_one() -> None:
    line = CommandInterpolator()
    line.reset([0.0])
    line.command([0.4], 0)
    assert line.sample(10_000 * MS) == pytest.approx([0.4])


def test_switched_off_the_newest_command_is_the_goal_at_once_as_in_lerobot() -> None:
    line = CommandInterpolator(enabled=False)
    line.reset([0.0])
    line.command([0.4], 0)
    assert line.sample(0) == pytest.approx([0.4])


def test_a_reset_forgets_the_commands_before() -> None:
    line = CommandInterpolator()
    line.reset([0.0])
    line.command([5.0], 0)
    line.reset([1.0])
    assert line.sample(MS) == pytest.approx([1.0])


def test_a_command_of_another_size_is_refused() -> None:
    line = CommandInterpolator()
    line.reset([0.0, 0.0])
    with pytest.raises(ValueError, match="expected"):
        line.command([1.0], 0)


@given(
    st.lists(st.tuples(st.floats(-3, 3), st.integers(0, 200)), min_size=1, max_size=30),
    st.integers(0, 100),
)
def test_goals_never_leave_the_span_of_the_commands(events: list[tuple[float, int]], sample_ms: int) -> None:
    line = CommandInterpolator()
    line.reset([0.5])
    now, seen = 0, [0.5]
    for target, wait_ms in events:
        now += wait_ms * MS
        line.command([target], now)
        seen.append(target)
        goal = line.sample(now + sample_ms * MS)[0]
        assert min(seen) - 1e-9 <= goal <= max(seen) + 1e-9


def test_arrays_are_copied_at_the_boundary() -> None:
    line = CommandInterpolator()
    given_position = np.zeros(1)
    line.reset(given_position)
    given_position[0] = 9.0
    line.sample(0)[0] = 9.0
    assert line.sample(0) == pytest.approx([0.0])


def test_the_period_of_the_commands_is_the_longest_there_can_be_until_it_is_learned() -> None:
    line = CommandInterpolator()
    line.reset([0.0])
    line.command([0.0], 0)
    assert line.period_s == pytest.approx(0.1)
    line.command([0.0], TICK)
    assert line.period_s == pytest.approx(1 / 30)
    line.reset([0.0])
    assert line.period_s == pytest.approx(0.1)
