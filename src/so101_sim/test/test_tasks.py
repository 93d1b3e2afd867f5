"""Tests of the tasks and of where they put the cube."""

import numpy as np
import pytest
from so101_sim.errors import TaskError
from so101_sim.tasks import BIN_CENTRE_M, BIN_HALF_M, CUBE_HALF_M, STATIC, TASKS, task_named


def test_the_same_seed_gives_the_same_start_for_ever() -> None:
    # Figures of the first release: shipped success rates and recorded seeds refer to them.
    pose = STATIC.cube_start(7)
    np.testing.assert_allclose(pose.position, [0.2400076, 0.0956097, 0.0125], atol=1e-6)
    assert pose.yaw == pytest.approx(0.1927, abs=1e-3)


def test_different_seeds_give_different_starts() -> None:
    assert len({tuple(STATIC.cube_start(seed).position) for seed in range(100)}) == 100


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_starts_fill_the_tasks_area_and_never_leave_it_or_touch_the_bin(task) -> None:
    starts = [task.cube_start(seed) for seed in range(300)]
    x = np.array([start.position[0] for start in starts])
    y = np.array([start.position[1] for start in starts])
    for values, (lower, upper) in ((x, task.x_m), (y, task.y_m)):
        assert lower <= values.min() < lower + 0.05 * (upper - lower)
        assert upper >= values.max() > upper - 0.05 * (upper - lower)
    assert all(start.position[2] >= CUBE_HALF_M for start in starts)
    bin_edge = BIN_CENTRE_M[1] + BIN_HALF_M + 2 * CUBE_HALF_M
    assert y.min() > bin_edge


def test_a_seed_may_be_any_unsigned_64_bit_number() -> None:
    assert STATIC.x_m[0] <= STATIC.cube_start(2**64 - 1).position[0] <= STATIC.x_m[1]


def test_an_unknown_task_is_named_together_with_those_there_are() -> None:
    with pytest.raises(TaskError, match=r"task = 'juggle': no such task; there are static"):
        task_named("juggle")
