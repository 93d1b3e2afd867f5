# SPDX-License-Identifier: Apache-2.0
"""What the policy trains on is what the server gives it, bit for bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.policies import make_pre_post_processors
from so101_policy_server.inference.image_decode import decode_image
from so101_policy_server.lerobot.lerobot_policy import load_policy
from so101_policy_server.policy import Observation, PolicySource
from so101_sim.core.tasks import BELT, BELT_NUDGED, STATIC, Task
from so101_training.policy.act_policy import new_policy, save_policy
from so101_training.policy.dataset import IMAGES, REPO_ID, STATE, DatasetBuilder, load
from so101_training.policy.demonstration import Demonstrator, lerobot_units
from so101_training.policy.episode_files import read_episode, write_episode
from so101_training.policy.lockstep_arm import lockstep_arm
from so101_training.policy.reactive_demonstration import ReactiveDemonstrator
from so101_training.policy.recipe import TRAINING_SEEDS, ModelRecipe, ObservationRecipe
from so101_training.policy.viewpoint import Viewpoint

TASK = "Pick the cube to place"
RECIPE = ObservationRecipe()


def test_a_recorded_episode_replayed_through_the_server_gives_the_training_tensors(tmp_path: Path) -> None:
    with lockstep_arm() as arm, Viewpoint(RECIPE) as viewpoint:
        recorded = Demonstrator(arm, viewpoint, STATIC).record(TRAINING_SEEDS.start, keep_jpegs=True)
        units = lerobot_units(arm)
    assert recorded is not None, "the expert failed in the first scene"
    write_episode(tmp_path, recorded)
    episode = read_episode(tmp_path, recorded.seed)
    builder = DatasetBuilder(tmp_path / "dataset", RECIPE)
    builder.add(episode, TASK)
    builder.finish()

    arrays = load(tmp_path / "dataset", RECIPE)
    assert np.array_equal(arrays.action, episode.action)
    policy_folder = tmp_path / "policy"
    torch.manual_seed(0)
    save_policy(policy_folder, new_policy(RECIPE, ModelRecipe()), arrays.stats, {})
    server = load_policy(PolicySource(path=str(policy_folder)), lambda _doing: None)
    preprocess, _ = make_pre_post_processors(server._config, pretrained_path=str(policy_folder))
    dataset = LeRobotDataset(REPO_ID, root=tmp_path / "dataset")

    keys = [STATE, *(IMAGES + camera for camera in RECIPE.cameras)]
    for index in range(0, len(dataset), 12):
        item = dataset[index]
        trained = preprocess({**{key: item[key].unsqueeze(0) for key in keys}, "task": [TASK]})
        observation = Observation(
            state=units.to_policy(episode.positions[index])[None],
            images={
                IMAGES + camera: (decode_image(episode.jpegs[camera][index], "jpeg", RECIPE.height, RECIPE.width),)
                for camera in RECIPE.cameras
            },
            task=TASK,
        )
        served, _ = server._preprocess([observation], [None])
        for key in keys:
            assert torch.equal(served[key], trained[key]), f"{key} of frame {index}"


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "task"),
    [(Demonstrator, STATIC), (Demonstrator, BELT), (ReactiveDemonstrator, BELT_NUDGED)],
    ids=["static", "belt", "belt_nudged"],
)
def test_an_episode_is_the_same_whenever_its_scene_is_recorded(
    kind: type[Demonstrator] | type[ReactiveDemonstrator], task: Task
) -> None:
    takes = []
    for _ in range(2):
        with lockstep_arm() as arm, Viewpoint(RECIPE) as viewpoint:
            takes.append(kind(arm, viewpoint, task).record(TRAINING_SEEDS.start + 1))
    first, second = takes
    assert first is not None
    assert second is not None
    assert np.array_equal(first.action, second.action)
    assert np.array_equal(first.state, second.state)
    assert all(np.array_equal(first.images[camera], second.images[camera]) for camera in RECIPE.cameras)


def test_a_missing_dataset_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="so101 policy data") as caught:
        load(tmp_path, RECIPE)
    assert "\n" not in str(caught.value)
