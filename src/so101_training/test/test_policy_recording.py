# SPDX-License-Identifier: Apache-2.0
"""The order of recorded episodes, whatever the order in which workers finish them; and what is recorded."""

from pathlib import Path

import pytest
from so101_training.policy.episode_files import episode_path, failed_path
from so101_training.policy.recipe import TRAINING_SEEDS
from so101_training.policy.recording import RecordingError, _consecutive_successes, _seeds_of
from so101_training.policy.recording_plan import RecordingPlan, plan_for

FIRST = TRAINING_SEEDS.start


def test_episodes_count_up_to_the_first_scene_that_nobody_has_tried(tmp_path: Path) -> None:
    for offset in (0, 1, 3, 4):
        episode_path(tmp_path, FIRST + offset).touch()
    assert _consecutive_successes(tmp_path) == [FIRST, FIRST + 1]


def test_a_scene_in_which_the_expert_failed_is_passed_over(tmp_path: Path) -> None:
    episode_path(tmp_path, FIRST).touch()
    failed_path(tmp_path, FIRST + 1).touch()
    episode_path(tmp_path, FIRST + 2).touch()
    assert _consecutive_successes(tmp_path) == [FIRST, FIRST + 2]


def test_workers_share_the_scenes_without_overlap() -> None:
    shares = [[next(seeds) for _ in range(4)] for seeds in (_seeds_of(worker, 3) for worker in range(3))]
    assert sorted(seed for share in shares for seed in share) == list(range(FIRST, FIRST + 12))


def test_tasks_take_turns_scene_by_scene() -> None:
    plan = RecordingPlan(("belt_changing", "belt_nudged", "static"), "reactive", True)
    assert [plan.task_of(FIRST + offset) for offset in range(4)] == [
        plan.tasks[(FIRST + offset) % 3] for offset in range(4)
    ]
    assert {plan.task_of(FIRST + offset) for offset in range(3)} == set(plan.tasks)


def test_worlds_that_change_are_left_to_the_reactive_expert() -> None:
    assert plan_for(("static", "belt"), None, True).expert == "planned"
    assert plan_for(("static", "belt_nudged"), None, True).expert == "reactive"
    assert plan_for(("static", "static_nudged"), None, True).expert == "reactive"
    assert plan_for(("belt",), "reactive", False) == RecordingPlan(("belt",), "reactive", False)
    with pytest.raises(RecordingError, match="--expert planned: cannot do belt_changing, which changes"):
        plan_for(("belt", "belt_changing"), "planned", True)
    with pytest.raises(RecordingError, match="--task belt,belt: expected each task once"):
        plan_for(("belt", "belt"), None, True)


def test_a_folder_is_gone_on_with_by_the_same_plan_only(tmp_path: Path) -> None:
    plan = plan_for(("belt", "belt_nudged"), None, True)
    plan.claim(tmp_path)
    plan.claim(tmp_path)
    with pytest.raises(RecordingError, match=r'expected episodes of .*"noise": false.*got .*"noise": true'):
        plan_for(("belt", "belt_nudged"), None, False).claim(tmp_path)
