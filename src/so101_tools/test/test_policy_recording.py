"""The order of recorded episodes, whatever the order in which workers finish them."""

from pathlib import Path

from so101_tools.policy.episode_files import episode_path, failed_path
from so101_tools.policy.recipe import TRAINING_SEEDS
from so101_tools.policy.recording import _consecutive_successes, _seeds_of

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
