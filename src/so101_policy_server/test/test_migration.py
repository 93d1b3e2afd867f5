# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a LeRobot before 0.5: migrated, and compared with what their own buffers compute."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from so101_policy_server.lerobot.checkpoint import find_checkpoint
from so101_policy_server.policy import Observation, PolicyLoadError

migration = pytest.importorskip("so101_policy_server.lerobot.migration", reason="LeRobot is not installed")

from test_lerobot_policy import load, observe  # noqa: E402 - what needs LeRobot

CAMERA = "observation.images.cam_high_left"  # in place of `front`: a name with underscores
KINDS = ["act", "diffusion", "smolvla"]


def buffers_of(features: dict[str, Any]) -> dict[str, Any]:
    """Statistics of every feature, all different, under the names that old LeRobot gave them."""
    import torch

    made = {}
    random = np.random.default_rng(1)
    for key, feature in features.items():
        shape = (3, 1, 1) if feature["type"] == "VISUAL" else tuple(feature["shape"])
        values = {"mean": random.uniform(0.2, 0.6, shape), "std": random.uniform(0.1, 0.4, shape)}
        if feature["type"] != "VISUAL":
            values = {"mean": random.uniform(-30, 30, shape), "std": random.uniform(5, 50, shape)}
        values |= {"min": values["mean"] - 2 * values["std"], "max": values["mean"] + 3 * values["std"]}
        modules = ("normalize_targets", "unnormalize_outputs") if key == "action" else ("normalize_inputs",)
        for module in modules:
            for name, value in values.items():
                weight = f"{module}.buffer_{key.replace('.', '_')}.{name}"
                made[weight] = torch.from_numpy(value.astype(np.float32))
    return made


def make_old(source: Path, folder: Path) -> Path:
    """The checkpoint as a LeRobot before 0.5 wrote it."""
    from safetensors.torch import load_file, save_file

    folder.mkdir(parents=True)
    config = json.loads((source / "config.json").read_text())
    inputs = config["input_features"]
    config["input_features"] = {key.replace("observation.images.front", CAMERA): value for key, value in inputs.items()}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "train_config.json").write_text("{}")
    buffers = buffers_of({**config["input_features"], **config["output_features"]})
    save_file({**load_file(source / "model.safetensors"), **buffers}, folder / "model.safetensors")
    return folder


def by_the_buffers(old: Path, migrated: Any, observation: Observation) -> np.ndarray:
    """The chunk with the old buffers' arithmetic around the policy, written out."""
    import torch
    from safetensors.torch import load_file

    weights = load_file(old / "model.safetensors")
    config = json.loads((old / "config.json").read_text())

    def of(module: str, key: str) -> dict[str, Any]:
        prefix = f"{module}.buffer_{key.replace('.', '_')}."
        return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}

    def normalised(key: str, kind: str, value: Any) -> Any:
        mode, values = config["normalization_mapping"][kind], of("normalize_inputs", key)
        if mode == "MEAN_STD":
            return (value - values["mean"]) / (values["std"] + 1e-8)
        if mode == "MIN_MAX":
            return (value - values["min"]) / (values["max"] - values["min"] + 1e-8) * 2 - 1
        return value

    stepped = []
    for step, state in enumerate(observation.state):
        batch = {"observation.state": normalised("observation.state", "STATE", torch.from_numpy(state).float())[None]}
        for key, pictures in observation.images.items():
            picture = torch.from_numpy(pictures[step]).permute(2, 0, 1).float() / 255
            batch[key] = normalised(key, "VISUAL", picture)[None]
        stepped.append(batch)
    policy = migrated._policy
    if migrated._reads_its_own_queues():
        migrated._fill_history(stepped)
    else:
        text = migrated._preprocessor({"task": [observation.task], **stepped[-1]})  # the words as tokens
        stepped[-1] |= {key: value for key, value in text.items() if "language" in key}
    torch.manual_seed(3)
    with torch.no_grad():
        rows = policy.predict_action_chunk(stepped[-1])[0]
    mode, values = config["normalization_mapping"]["ACTION"], of("unnormalize_outputs", "action")
    if mode == "MEAN_STD":
        return (rows * values["std"] + values["mean"]).numpy()
    return ((rows + 1) / 2 * (values["max"] - values["min"]) + values["min"]).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_a_migrated_checkpoint_gives_what_the_old_one_gave(
    tiny_checkpoint: Callable, tmp_path: Path, kind: str
) -> None:
    import torch

    old = make_old(tiny_checkpoint(kind), tmp_path / "old")
    with pytest.raises(PolicyLoadError, match=rf"`\./so101 policy migrate {old}` makes one .*old_migrated beside it"):
        find_checkpoint(str(old))
    said: list[str] = []
    done = migration.migrate(str(old), None, "", said.append)
    assert done.folder == tmp_path / "old_migrated"
    assert done.difference < 1e-5
    assert f"statistics of action, {CAMERA}, " in said[0]
    for name in ("config.json", "train_config.json"):
        assert (done.folder / name).read_bytes() == (old / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "old_migrated"], "and nothing beside"
    migrated = load(done.folder)
    assert migrated.description.images[0].camera == "cam_high_left"
    observation = observe(migrated)
    torch.manual_seed(3)
    rows = migrated.infer(observation, None).actions
    expected = by_the_buffers(old, migrated, observation)
    assert np.abs(rows - expected).max() < 1e-3 * max(1.0, np.abs(expected).max())


def test_a_folder_that_is_there_is_not_overwritten(tiny_act: Path, tmp_path: Path) -> None:
    old = make_old(tiny_act, tmp_path / "old")
    (tmp_path / "new").mkdir()
    with pytest.raises(migration.MigrationError, match="new is there already and is not overwritten"):
        migration.migrate(str(old), tmp_path / "new", "", print)


def change(old: Path, changed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    from safetensors.torch import load_file, save_file

    save_file(changed(load_file(old / "model.safetensors")), old / "model.safetensors")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (lambda weights: {k: v for k, v in weights.items() if "normalize" not in k}, "hold no statistics"),
        (
            lambda weights: {k: v for k, v in weights.items() if "cam_high" not in k},
            rf"no statistics for {CAMERA} \(MEAN_STD\)",
        ),
        (
            lambda weights: {k: v * float("inf") if "observation_state.mean" in k else v for k, v in weights.items()},
            "mean has values that are not finite",
        ),
        (lambda weights: {k: v for k, v in weights.items() if "action_head" not in k}, "lacks 2 of .* weights"),
    ],
)
def test_what_cannot_be_proven_leaves_nothing_behind(tiny_act: Path, tmp_path: Path, changed, reason: str) -> None:
    old = make_old(tiny_act, tmp_path / "old")
    change(old, changed)
    with pytest.raises((migration.MigrationError, PolicyLoadError), match=reason) as error:
        migration.migrate(str(old), None, "", print)
    assert "\n" not in str(error.value) and str(old) in str(error.value) and ".old_migrated" not in str(error.value)
    assert "statistics_from" not in str(error.value)  # a parameter of the server: here it can be given nowhere
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_statistics_that_the_weights_lack_are_those_of_the_dataset(tiny_act: Path, tmp_path: Path) -> None:
    old = make_old(tiny_act, tmp_path / "old")
    change(old, lambda weights: {k: v for k, v in weights.items() if "normalize" not in k})
    arm = {"mean": [1.0] * 6, "std": [20.0] * 6, "min": [-90.0] * 6, "max": [90.0] * 6}
    pictures = {"mean": [[[0.5]]] * 3, "std": [[[0.25]]] * 3}
    keys = [key for key in json.loads((old / "config.json").read_text())["input_features"] if "images" in key]
    stats = tmp_path / "stats.json"
    stats.write_text(json.dumps({"observation.state": arm, "action": arm, **dict.fromkeys(keys, pictures)}))
    with pytest.raises(
        migration.MigrationError, match=r"hold no statistics .*--statistics /path/to/dataset/meta/stats"
    ):
        migration.migrate(str(old), None, "", print)
    policy = load(migration.migrate(str(old), None, "", print, stats).folder)
    assert policy.description.statistics["action"]["std"].tolist() == [20.0] * 6
    with pytest.raises(PolicyLoadError, match=r"--statistics .*none\.json: not a dataset"):
        migration.migrate(str(old), tmp_path / "new", "", print, tmp_path / "none.json")


def test_what_a_person_may_accept_is_migrated_with_a_word(tiny_act: Path, tmp_path: Path) -> None:
    old = make_old(tiny_act, tmp_path / "old")

    def still(weights):
        weights["normalize_inputs.buffer_observation_state.std"][4] = 0.0
        return weights

    change(old, still)
    said: list[str] = []
    made = migration.migrate(str(old), None, "", said.append)
    assert any(
        "the policy server refuses it: statistics.observation.state: std is 0 for value 4" in one for one in said
    )
    assert load(made.folder, accepted_findings=("statistics.observation.state",))


def test_a_stub_or_a_foreign_configuration_is_named_as_the_server_does(tiny_act: Path, tmp_path: Path) -> None:
    old = make_old(tiny_act, tmp_path / "old")
    config = json.loads((old / "config.json").read_text())
    (old / "config.json").write_text(json.dumps(config | {"sparkle": 1}))
    with pytest.raises(migration.MigrationError, match=r"LeRobot .* does not have field sparkle"):
        migration.migrate(str(old), None, "", print)
    (old / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(migration.MigrationError, match=r"model\.safetensors is a stub of Git LFS"):
        migration.migrate(str(old), None, "", print)


def test_a_checkpoint_that_has_processors_needs_no_migration(tiny_act: Path, tmp_path: Path) -> None:
    with pytest.raises(migration.MigrationError, match="has processors: nothing to migrate"):
        migration.migrate(str(tiny_act), tmp_path / "new", "", print)


def test_hub_ids_are_migrated_from_the_cache_and_one_that_is_not_there_is_named(
    tiny_act: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    repository = tmp_path / "hub" / "models--alice--pick"
    make_old(tiny_act, repository / "snapshots" / "0123")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    with pytest.raises(PolicyLoadError, match=r"`\./so101 policy migrate alice/pick` makes a folder"):
        load("alice/pick")
    assert migration.migrate("alice/pick", None, "", print).folder == Path("outputs/migrated/alice_pick")
    assert load(tmp_path / "outputs/migrated/alice_pick").description.policy_type == "act"
    with pytest.raises(migration.MigrationError, match="nobody/none is no folder here, and could not be had"):
        migration.migrate("nobody/none", None, "", print)
    assert not (tmp_path / "outputs/migrated/nobody_none").exists()


def test_the_command_says_what_it_made_and_what_it_refuses(tiny_act: Path, tmp_path: Path, capsys) -> None:
    policy = pytest.importorskip("so101_training.policy.__main__", reason="so101_training is not beside this package")
    old = make_old(tiny_act, tmp_path / "old")
    assert policy.main(["migrate", str(old), str(tmp_path / "new")]) == 0
    assert f"serve it with pretrained_name_or_path:={tmp_path / 'new'}" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "new")
    (old / "config.json").write_text("{")
    assert policy.main(["migrate", str(old), str(tmp_path / "new")]) == 1
    assert capsys.readouterr().err.endswith("; nothing was written\n")
