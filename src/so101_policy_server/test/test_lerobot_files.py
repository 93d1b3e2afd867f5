# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that another LeRobot wrote, and weights that are not finite: one line that names the thing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from checkpoint_changes import change_json, change_statistics, copy
from so101_policy_server.policy import PolicyLoadError, PolicySource

lerobot_policy = pytest.importorskip("so101_policy_server.lerobot.lerobot_policy", reason="LeRobot is not installed")

PREPROCESSOR = "policy_preprocessor.json"


def load(path: Path, **changes):
    return lerobot_policy.load_policy(replace(PolicySource(str(path), torch_threads=1), **changes), lambda _text: None)


def refused(path: Path, **changes) -> str:
    with pytest.raises(PolicyLoadError) as error:
        load(path, **changes)
    text = str(error.value)
    assert "\n" not in text and "DecodingError" not in text and "draccus" not in text
    return text


def config(tiny: Path, target: Path, **entries) -> Path:
    return change_json(copy(tiny, target), "config.json", lambda content: content.update(entries))


def test_a_field_of_another_version_is_named_with_both_versions_and_can_be_ignored(tiny_act: Path, tmp_path) -> None:
    import lerobot

    folder = config(tiny_act, tmp_path / "new", sparkle=True, glow=2)
    (folder / "README.md").write_text("|---|---|\n| LeRobot version | 0.9.3 |\n")
    text = refused(folder)
    assert f"LeRobot {lerobot.__version__} does not have fields glow (2), sparkle (true) of act" in text
    assert "written by LeRobot 0.9.3" in text
    assert 'ignored_config_fields: ["glow", "sparkle"]' in text
    assert load(folder, ignored_config_fields=("glow", "sparkle")).description.policy_type == "act"


def test_fields_that_an_older_version_did_not_write_are_a_warning(tiny_act: Path, tmp_path: Path) -> None:
    folder = copy(tiny_act, tmp_path / "old")
    change_json(folder, "config.json", lambda content: [content.pop("temporal_ensemble_coeff"), content.pop("repo_id")])
    (warning,) = load(folder).description.warnings
    assert "lacks field temporal_ensemble_coeff of LeRobot" in warning and "its model card names none" in warning


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"normalization_mapping": {"STATE": "WHITEN"}}, "config.json: normalization_mapping.STATE: "),
        (
            {"input_features": {"observation.sound": {"type": "AUDIO", "shape": [1]}}},
            "input_features.observation.sound.type",
        ),
        ({"chunk_size": "many"}, "Couldn't parse 'many' into an int"),
        ({"vision_backbone": "vit_b"}, "vit_b"),
        ({"type": "actt"}, "policy type 'actt' is not one that LeRobot"),
    ],
)
def test_a_value_of_another_version_is_named(tiny_act: Path, tmp_path: Path, entries, words: str) -> None:
    text = refused(config(tiny_act, tmp_path / "other", **entries))
    assert words in text and "config.json" in text and "written by" in text and "serve it with that LeRobot" in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", '\ufeff{"type": "act"}', "save it as UTF-8 without a byte order mark"),
        ("config.json", '{"type": "act", ', "config.json cannot be read: Expecting property name"),
        (
            "config.json",
            '{"type": "act", "input_features": [{}], "output_features": {}}',
            "is [{}], expected an object",
        ),
        (PREPROCESSOR, "version https://git-lfs.github.com/spec/v1\n", "is a stub of Git LFS"),
        (PREPROCESSOR, '{"steps": [', "copy the checkpoint again"),
        (PREPROCESSOR, '{"steps": null}', "has no list of steps"),
        (PREPROCESSOR, '{"steps": [{"registry_name": "normalizer_processor"}]}', "step needs features, norm_map"),
    ],
)
def test_a_damaged_file_is_one_line_with_what_to_do(tiny_act: Path, tmp_path: Path, name, content, words: str) -> None:
    folder = copy(tiny_act, tmp_path / "damaged")
    (folder / name).write_text(content, encoding="utf-8")
    assert words in refused(folder)


def test_a_training_configuration_that_cannot_be_read_is_a_warning(tiny_act: Path, tmp_path: Path) -> None:
    folder = copy(tiny_act, tmp_path / "half")
    for content, words in (("version https://git-lfs", "is a stub of Git LFS"), ('{"a": ', "is no JSON object")):
        (folder / "train_config.json").write_text(content)
        (warning,) = load(folder).description.warnings
        assert f"train_config.json {words}" in warning and "what it says about units is not known" in warning


def test_a_processor_step_that_does_not_exist_here_is_named(tiny_act: Path, tmp_path: Path) -> None:
    def rename(content):
        content["steps"][1]["registry_name"] = "render_message_turns_processor"

    text = refused(change_json(copy(tiny_act, tmp_path / "step"), PREPROCESSOR, rename))
    assert f"{PREPROCESSOR}: render_message_turns_processor: LeRobot" in text
    assert "has no such processor step (the nearest is " in text
    assert "package" not in text


def test_a_processor_step_with_a_foreign_option_or_class_is_named(tiny_act: Path, tmp_path: Path) -> None:
    option = copy(tiny_act, tmp_path / "option")
    change_json(option, PREPROCESSOR, lambda content: content["steps"][3]["config"].update(clip_range=5.0))
    assert "step does not take clip_range" in refused(option)

    def by_class(content):
        content["steps"][1] = {"class": "lerobot.processor.gone.GoneStep", "config": {}}

    foreign = change_json(copy(tiny_act, tmp_path / "class"), PREPROCESSOR, by_class)
    assert "lerobot.processor.gone.GoneStep: LeRobot" in refused(foreign)


def test_state_that_is_missing_pickled_or_without_statistic_names_is_named(tiny_act: Path, tmp_path: Path) -> None:
    gone = copy(tiny_act, tmp_path / "gone")
    next(gone.glob("policy_preprocessor*.safetensors")).unlink()
    assert "normalizer_processor.safetensors, which holds its state, is not there" in refused(gone)
    half = copy(tiny_act, tmp_path / "half")
    state = next(half.glob("policy_preprocessor*.safetensors"))
    state.write_bytes(state.read_bytes()[:-4])
    assert "normalizer_processor.safetensors was only copied in part" in refused(half)
    pickled = change_json(
        copy(tiny_act, tmp_path / "pickled"),
        PREPROCESSOR,
        lambda content: content["steps"][3].update(state_file="a.pkl"),
    )
    assert "its state is in a.pkl: only safetensors are loaded, never pickle" in refused(pickled)
    odd = change_statistics(copy(tiny_act, tmp_path / "odd"), lambda state: {**state, "action": state["action.mean"]})
    assert "has action: expected FEATURE.STATISTIC" in refused(odd)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_that_are_not_finite_are_named(tiny_act: Path, tmp_path: Path, value: str) -> None:
    from safetensors.torch import load_file, save_file
    from so101_policy_server.lerobot.checkpoint import find_checkpoint
    from so101_policy_server.lerobot.files import examine_weights_file

    folder = copy(tiny_act, tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    weights["model.action_head.bias"][2] = float(value)
    save_file(weights, folder / "model.safetensors")
    text = refused(folder)
    assert "weights: model.action_head.bias have values that are not finite" in text
    (found,) = examine_weights_file(find_checkpoint(str(folder)))
    assert found.line() in text, "the doctor says the same words"
    (whole,) = examine_weights_file(find_checkpoint(str(tiny_act)))
    assert whole.verdict == "green"


def test_a_mask_may_be_infinite_but_not_nan() -> None:
    import torch
    from so101_policy_server.lerobot.files import examine_weights

    assert examine_weights([("block.attention_mask", torch.full((2,), float("-inf")))]) == []
    assert examine_weights([("block.attention_mask", torch.full((2,), float("nan")))]) != []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pytorch_model.bin", "never pickle; pytorch_model.bin is not"),
        ("model.ckpt", "never pickle; model.ckpt is not"),
        ("model-00001-of-00002.safetensors", "has its weights in 1 parts"),
    ],
)
def test_weights_of_another_kind_are_refused_by_name(tiny_act: Path, tmp_path: Path, name: str, words: str) -> None:
    folder = tmp_path / "kind"
    shutil.copytree(tiny_act, folder, ignore=shutil.ignore_patterns("model.safetensors"))
    (folder / name).write_bytes(b"")
    assert words in refused(folder)


def test_the_training_configuration_is_read_where_it_tells_the_units(tiny_act: Path, tmp_path: Path) -> None:
    folder = copy(tiny_act, tmp_path / "told")
    (folder / "train_config.json").write_text(json.dumps({"env": {"robot": {"use_degrees": False}}}))
    assert load(folder).description.trained_in_degrees is False
    (folder / "train_config.json").write_text("{,")
    assert load(folder).description.trained_in_degrees is None


def test_weights_of_another_configuration_and_one_without_features_are_named(tiny_act: Path, tmp_path: Path) -> None:
    shorter = change_json(copy(tiny_act, tmp_path / "shorter"), "config.json", lambda c: c.update(chunk_size=100))
    text = refused(shorter)
    assert "model.safetensors is of another configuration than config.json (first: model.vae_encoder_pos_enc" in text
    assert text.count("size mismatch") == 0 and "take both from one checkpoint" in text
    nothing = change_json(copy(tiny_act, tmp_path / "nothing"), "config.json", lambda c: c.update(input_features=None))
    assert "config.json: input_features: input_features is empty" in refused(nothing)


def test_a_type_that_predicts_no_chunks_is_refused_with_the_reason(tiny_act: Path, tmp_path: Path) -> None:
    text = refused(config(tiny_act, tmp_path / "actor", type="gaussian_actor"))
    assert "config.json: type: gaussian_actor predicts one action at a time" in text


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", lambda content: content.update(action_tokenizer_path="me/mine")),
        (
            PREPROCESSOR,
            lambda content: content["steps"].append(
                {"registry_name": "action_tokenizer_processor", "config": {"action_tokenizer_name": "me/mine"}}
            ),
        ),
    ],
)
def test_a_repository_whose_code_would_run_is_refused_until_a_person_accepts_it(
    tiny_act: Path, tmp_path: Path, name: str, change
) -> None:
    folder = change_json(copy(tiny_act, tmp_path / "code"), name, change)
    ignored = ("action_tokenizer_path",) if name == "config.json" else ()
    text = refused(folder)
    assert "LeRobot runs the code of me/mine, which is not one of lerobot/fast-action-tokenizer" in text
    assert 'accepted_findings: ["' in text
    accepted = text.partition('accepted_findings: ["')[2].partition('"]')[0]
    if ignored:  # act has no such field: told so next
        assert "does not have field action_tokenizer_path" in refused(folder, accepted_findings=(accepted,))
    else:
        assert "runs the code" not in refused(folder, accepted_findings=(accepted,))


def test_an_unknown_type_tells_of_plugins_that_could_not_be_imported(
    tiny_act: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from so101_policy_server.lerobot import plugins

    info = tmp_path / "lerobot_policy_dreamer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lerobot-policy-dreamer\nVersion: 1.0\n")
    (tmp_path / "lerobot_policy_dreamer.py").write_text("import no_such_package_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins.import_plugins.cache_clear()
    text = refused(config(tiny_act, tmp_path / "dream", type="dreamer"))
    plugins.import_plugins.cache_clear()
    assert "known: act, " in text
    assert "lerobot_policy_dreamer could not be imported: ModuleNotFoundError" in text
