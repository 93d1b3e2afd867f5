# SPDX-License-Identifier: Apache-2.0
"""Training: resumed equals uninterrupted, and one pass through the backbone equals two."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.policies.act.modeling_act import ACTPolicy
from so101_training.policy.act_policy import CARD_FILE, SharedBackbone, new_policy
from so101_training.policy.dataset import ACTION, IMAGES, STATE, EpisodeArrays
from so101_training.policy.recipe import ModelRecipe, ObservationRecipe, TrainingRecipe
from so101_training.policy.training import Trainer, TrainingRunError, learning_rate, pretrained_folder

OBSERVATION = ObservationRecipe(height=32, width=40)
MODEL = ModelRecipe(chunk_size=5, dim_model=16, dim_feedforward=16, heads=2, encoder_layers=1)
TRAINING = TrainingRecipe(steps=6, batch_size=2, warm_up_steps=2, average_every=1)


@pytest.fixture
def data() -> EpisodeArrays:
    rng = np.random.default_rng(0)
    frames = 20
    images = {camera: rng.integers(0, 256, (frames, 3, 32, 40), dtype=np.uint8) for camera in OBSERVATION.cameras}
    joints = rng.normal(size=(2, frames, 6)).astype(np.float32)
    ends = np.array([8] * 8 + [20] * 12)
    unit = {"mean": torch.zeros(6), "std": torch.ones(6)}
    norm = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.25)}
    stats = {STATE: unit, ACTION: unit, **{IMAGES + camera: norm for camera in OBSERVATION.cameras}}
    return EpisodeArrays(images, joints[0], joints[1], ends, stats, "Pick the cube to place")


def trainer(data: EpisodeArrays, run: Path) -> Trainer:
    return Trainer(data, run, OBSERVATION, MODEL, TRAINING, {})


def weights(run: Path) -> dict[str, torch.Tensor]:
    policy = ACTPolicy.from_pretrained(pretrained_folder(run))
    return dict(policy.named_parameters())


class Interrupted(Exception):
    """Stands for Ctrl-C."""


@pytest.mark.long
def test_an_interrupted_training_goes_on_to_the_same_weights(
    data: EpisodeArrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(data, tmp_path / "whole").train(lambda _report: None)

    first = trainer(data, tmp_path / "halves")
    do_step = first._train_step

    def step_until_interrupted() -> float:
        if first.step == 3:
            raise Interrupted
        return do_step()

    monkeypatch.setattr(first, "_train_step", step_until_interrupted)
    with pytest.raises(Interrupted):
        first.train(lambda _report: None)
    second = trainer(data, tmp_path / "halves")
    assert second.step == 3
    second.train(lambda _report: None)

    whole, halves = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    assert (pretrained_folder(tmp_path / "halves") / CARD_FILE).is_file()


def test_a_run_of_another_recipe_is_not_gone_on_with(data: EpisodeArrays, tmp_path: Path) -> None:
    trainer(data, tmp_path)._save()
    with pytest.raises(TrainingRunError, match="another recipe"):
        Trainer(data, tmp_path, OBSERVATION, MODEL, TrainingRecipe(steps=7, batch_size=2), {})


def test_a_training_may_begin_with_a_policy_and_then_keeps_its_normalisation(
    data: EpisodeArrays, tmp_path: Path
) -> None:
    trainer(data, tmp_path / "first").train(lambda _report: None)
    other = {**data.stats, STATE: {"mean": torch.full((6,), 5.0), "std": torch.full((6,), 9.0)}}
    begun = pretrained_folder(tmp_path / "first")
    second = Trainer(replace(data, stats=other), tmp_path / "second", OBSERVATION, MODEL, TRAINING, {}, begun)
    assert torch.equal(second._data.stats[STATE]["mean"], torch.zeros(6))
    first = dict(ACTPolicy.from_pretrained(begun).named_parameters())
    assert all(torch.equal(value, first[name].float()) for name, value in second._policy.named_parameters())
    second._save()
    card = json.loads((pretrained_folder(tmp_path / "second") / CARD_FILE).read_text())
    assert card["begun_with"] == begun.name


@pytest.mark.parametrize(
    ("recipe", "complaint"),
    [(replace(MODEL, dim_model=32), "no policy of this recipe to begin with"), (None, "no policy of this recipe")],
    ids=["another size", "no policy at all"],
)
def test_a_folder_that_cannot_be_begun_with_is_one_line(
    recipe: ModelRecipe | None, complaint: str, data: EpisodeArrays, tmp_path: Path
) -> None:
    folder = tmp_path / "nothing"
    if recipe is not None:
        Trainer(data, tmp_path / "first", OBSERVATION, recipe, TRAINING, {})._save()
        folder = pretrained_folder(tmp_path / "first")
    with pytest.raises(TrainingRunError, match=complaint) as caught:
        Trainer(data, tmp_path / "second", OBSERVATION, MODEL, TRAINING, {}, folder)
    assert "\n" not in str(caught.value)


def test_one_pass_of_all_cameras_through_the_backbone_gives_the_gradients_of_one_each() -> None:
    torch.manual_seed(0)
    separate = new_policy(OBSERVATION, MODEL).eval()  # no dropout, to compare
    shared = new_policy(OBSERVATION, MODEL).eval()
    shared.load_state_dict(separate.state_dict())
    batch = {
        STATE: torch.randn(3, 6),
        ACTION: torch.randn(3, 5, 6),
        "action_is_pad": torch.zeros(3, 5, dtype=torch.bool),
        **{IMAGES + camera: torch.randn(3, 3, 32, 40) for camera in OBSERVATION.cameras},
    }
    separate.forward(batch)[0].backward()
    backbone = SharedBackbone(shared)
    backbone.see(batch)
    shared.forward(batch)[0].backward()
    ours = dict(shared.named_parameters())
    for name, parameter in separate.named_parameters():
        if parameter.grad is not None:
            scale = parameter.grad.abs().max()
            assert torch.allclose(parameter.grad, ours[name].grad, rtol=1e-3, atol=float(1e-4 * scale)), name


def test_rows_beyond_an_episodes_end_repeat_its_last_row(data: EpisodeArrays, tmp_path: Path) -> None:
    subject = trainer(data, tmp_path)

    class AlwaysSeven(np.random.Generator):
        def integers(self, *_: object, **__: object) -> np.ndarray:  # type: ignore[override]
            return np.array([7, 7])

    batch = subject._batch(AlwaysSeven(np.random.PCG64(0)), 2)
    assert torch.allclose(batch[ACTION][0], torch.from_numpy(data.action[[7] * 5]), atol=1e-5)


def test_the_learning_rate_warms_up_and_falls_to_its_final_share() -> None:
    recipe = TrainingRecipe(steps=1000, warm_up_steps=100, learning_rate=1.0, final_rate_share=0.03)
    assert learning_rate(recipe, 0) == pytest.approx(0.01)
    assert learning_rate(recipe, 500) == pytest.approx(0.515)
    assert learning_rate(recipe, 1000) == pytest.approx(0.03)
