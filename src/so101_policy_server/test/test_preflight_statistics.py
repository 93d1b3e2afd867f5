# SPDX-License-Identifier: Apache-2.0
"""Real checkpoints whose statistics are missing, foreign or named by a person; LeRobot passes over them in silence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from checkpoint_changes import change_json, change_statistics, copy, prefixed
from so101_node.fingerprint import of_checkpoint
from so101_policy_server.policy import Observation, PolicyLoadError, PolicySource

lerobot_policy = pytest.importorskip("so101_policy_server.lerobot.lerobot_policy", reason="LeRobot is not installed")


def load(path: Path, **changes):
    return lerobot_policy.load_policy(replace(PolicySource(str(path), torch_threads=1), **changes), lambda _text: None)


def row(policy) -> np.ndarray:
    pictures = {
        image.key: (np.full((image.height, image.width, 3), 90, np.uint8),) for image in policy.description.images
    }
    state = np.array([[10.0, -20.0, 30.0, -40.0, 50.0, 60.0]])
    return policy.infer(Observation(state, pictures, "pick"), None).actions


@pytest.fixture(scope="module")
def right(tiny_act: Path) -> np.ndarray:
    return row(load(tiny_act))


@pytest.fixture
def foreign(tiny_act: Path, tmp_path: Path) -> Path:
    return change_statistics(copy(tiny_act, tmp_path / "foreign"), prefixed(("so100.buffer.", "so101.buffer.")))


def test_statistics_under_other_keys_are_refused_and_the_remedy_gives_the_right_row(foreign: Path, right) -> None:
    with pytest.raises(PolicyLoadError) as error:
        load(foreign)
    text = str(error.value)
    assert "no statistics for action (MEAN_STD) in the postprocessor, observation.state (MEAN_STD) in the pre" in text
    assert "so100.buffer.action, so100.buffer.observation.state, so101.buffer.action" in text
    assert 'statistics_from: ["so100.buffer.*"] or ["so101.buffer.*"]' in text
    assert "\n" not in text and len(text) < 1000
    assert np.array_equal(row(load(foreign, statistics_from=("so100.buffer.*",))), right)
    named = ("action=so101.buffer.action", "observation.state=so101.buffer.observation.state")
    assert np.array_equal(row(load(foreign, statistics_from=named)), right)
    fingerprints = {load(foreign, statistics_from=one).description.fingerprint for one in (("so100.buffer.*",), named)}
    assert len({of_checkpoint(foreign), *fingerprints}) == 3, "a correction made for one is not for the other"
    with pytest.raises(PolicyLoadError, match=r"statistics_from so100\.\* names none of them"):
        load(foreign, statistics_from=("so100.*",))
    with pytest.raises(PolicyLoadError, match=r"no statistics for observation\.state \(MEAN_STD\)"):
        load(foreign, statistics_from=("action=so101.buffer.action",))


def test_statistics_of_pictures_under_other_names_are_refused_too(tiny_act: Path, tmp_path: Path) -> None:
    def rename(state):
        return {key.replace("images.front", "images.laptop"): value for key, value in state.items()}

    with pytest.raises(PolicyLoadError, match=r"no statistics for observation\.images\.front \(MEAN_STD\) in the pre"):
        load(change_statistics(copy(tiny_act, tmp_path / "renamed"), rename))


def test_a_checkpoint_without_any_statistics_is_refused_and_takes_those_of_a_dataset(
    tiny_act: Path, tmp_path: Path, right
) -> None:
    from safetensors.numpy import load_file

    state = load_file(tiny_act / "policy_postprocessor_step_0_unnormalizer_processor.safetensors")
    statistics: dict = {}
    for key, value in state.items():
        feature, name = key.rsplit(".", 1)
        statistics.setdefault(feature, {})[name] = value.tolist()
    stats = tmp_path / "stats.json"
    stats.write_text(json.dumps(statistics))
    empty = copy(tiny_act, tmp_path / "empty")
    for name in ("policy_preprocessor.json", "policy_postprocessor.json"):
        change_json(empty, name, lambda content: [step.pop("state_file", None) for step in content["steps"]])
    with pytest.raises(PolicyLoadError, match="there are no statistics at all") as error:
        load(empty)
    assert 'statistics_from: ["/path/to/dataset/meta/stats.json"]' in str(error.value)
    assert np.array_equal(row(load(empty, statistics_from=(str(stats),))), right)
    stats.write_text("{,")
    with pytest.raises(PolicyLoadError, match=r"statistics_from = .*stats\.json: not a dataset's meta/stats\.json"):
        load(empty, statistics_from=(str(stats),))


def test_statistics_that_lack_what_the_norm_mode_computes_with_are_refused(tiny_act: Path, tmp_path: Path) -> None:
    half = change_statistics(
        copy(tiny_act, tmp_path / "half"), lambda state: {k: v for k, v in state.items() if k != "action.std"}
    )
    with pytest.raises(
        PolicyLoadError, match=r"statistics\.action: MEAN_STD needs mean and std: std missing in the post"
    ):
        load(half)


def test_a_processor_without_a_normalising_step_is_refused(tiny_act: Path, tmp_path: Path) -> None:
    def drop(content):
        content["steps"] = [step for step in content["steps"] if "normalizer" not in step["registry_name"]]

    bare = change_json(copy(tiny_act, tmp_path / "bare"), "policy_postprocessor.json", drop)
    with pytest.raises(PolicyLoadError, match=r"normalises action \(MEAN_STD\), no step of the postprocessor does"):
        load(bare)


def test_a_postprocessor_that_normalises_once_more_is_refused(tiny_act: Path, tmp_path: Path) -> None:
    def turn(content):
        for step in content["steps"]:
            if step["registry_name"] == "unnormalizer_processor":
                step["registry_name"] = "normalizer_processor"

    turned = change_json(copy(tiny_act, tmp_path / "turned"), "policy_postprocessor.json", turn)
    with pytest.raises(PolicyLoadError, match=r"statistics\.postprocessor: normalises what it should denormalise"):
        load(turned)


def test_a_camera_that_was_taken_out_of_the_configuration_is_a_warning(tiny_act: Path, tmp_path: Path) -> None:
    less = copy(tiny_act, tmp_path / "less")
    change_json(less, "config.json", lambda content: content["input_features"].pop("observation.images.front"))
    (warning,) = load(less).description.warnings
    assert "the preprocessor was saved for observation.images.front too, which config.json does not read" in warning


def test_a_policy_that_normalises_nothing_is_served_with_a_warning(tiny_act: Path, tmp_path: Path) -> None:
    nothing = dict.fromkeys(("VISUAL", "STATE", "ACTION"), "IDENTITY")
    plain = copy(tiny_act, tmp_path / "plain")
    change_json(plain, "config.json", lambda content: content.update(normalization_mapping=nothing))
    for name in ("policy_preprocessor.json", "policy_postprocessor.json"):

        def blank(content):
            for step in content["steps"]:
                if "norm_map" in step["config"]:
                    step["config"]["norm_map"] = nothing
                    del step["state_file"]

        change_json(plain, name, blank)
    (warning,) = load(plain).description.warnings
    assert "no feature has a norm mode" in warning


def processors(folder: Path, change) -> Path:
    for name in ("policy_preprocessor.json", "policy_postprocessor.json"):

        def every_map(content):
            for step in content["steps"]:
                if "norm_map" in step["config"]:
                    change(step["config"]["norm_map"])

        change_json(folder, name, every_map)
    return folder


def test_actions_that_go_out_as_the_network_gives_them_are_a_warning(tiny_act: Path, tmp_path: Path) -> None:
    raw = processors(copy(tiny_act, tmp_path / "raw"), lambda modes: modes.update(ACTION="IDENTITY"))
    change_json(raw, "config.json", lambda content: content["normalization_mapping"].update(ACTION="IDENTITY"))
    (warning,) = load(raw).description.warnings
    assert warning == "statistics.action: has no norm mode: what the policy gives is commanded as it is"


def test_another_norm_mode_in_the_processors_than_in_the_configuration_is_a_warning(
    tiny_act: Path, tmp_path: Path, right
) -> None:
    other = copy(tiny_act, tmp_path / "other")
    change_json(other, "config.json", lambda content: content["normalization_mapping"].update(ACTION="MIN_MAX"))
    policy = load(other)
    (warning,) = policy.description.warnings
    assert "config.json normalises action by MIN_MAX, the postprocessor by MEAN_STD: the processor's is used" in warning
    assert np.array_equal(row(policy), right)


def test_processors_of_two_trainings_are_refused_though_only_one_of_them_is_read(
    tiny_act: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    mixed = copy(tiny_act, tmp_path / "mixed")
    (file,) = mixed.glob("policy_post*normalizer_processor.safetensors")
    save_file({key: value * 2 for key, value in load_file(file).items()}, file)
    with pytest.raises(PolicyLoadError, match=r"statistics\.action\.agreement: max differs between preprocessor"):
        load(mixed)


def test_the_first_source_that_has_a_feature_wins(foreign: Path, tmp_path: Path, right) -> None:
    other = {"mean": [9.0] * 6, "std": [9.0] * 6, "min": [-99.0] * 6, "max": [99.0] * 6}
    stats = tmp_path / "stats.json"
    stats.write_text(json.dumps({"action": other}))
    assert np.array_equal(row(load(foreign, statistics_from=("so100.buffer.*", str(stats)))), right)
    assert not np.array_equal(row(load(foreign, statistics_from=(str(stats), "so100.buffer.*"))), right)


def test_a_policy_of_a_kind_that_normalises_in_its_own_way_is_no_cause_for_a_warning() -> None:
    from lerobot.policies.factory import make_policy_config
    from lerobot.processor import PolicyProcessorPipeline
    from so101_policy_server.lerobot.statistics import examine_statistics

    config = make_policy_config("groot", device="cpu")
    pipeline = PolicyProcessorPipeline(steps=[])
    assert [found.verdict for found in examine_statistics(config, pipeline, pipeline, [])] == ["green"]


def test_statistics_inside_the_weights_of_an_old_policy_are_named(tiny_act: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    old = change_statistics(copy(tiny_act, tmp_path / "old"), lambda state: {})
    weights = load_file(old / "model.safetensors")
    weights["unnormalize_outputs.buffer_action.mean"] = torch.zeros(6)
    save_file(weights, old / "model.safetensors")
    with pytest.raises(PolicyLoadError, match="the weights hold statistics of action, which LeRobot reads no more"):
        load(old)


def test_a_foreign_policy_that_normalises_inside_itself_is_taken_at_its_word() -> None:
    from so101_policy_server.lerobot.statistics import examine_statistics

    class OwnConfig:
        pass

    (found,) = examine_statistics(OwnConfig(), None, None, ["model.unnormalize_outputs.buffer_action.std"])
    assert (found.verdict, "within the policy itself" in found.text) == ("green", True)


@pytest.mark.parametrize("named", ["so100.*", "action", "/data/meta", "actoin=action"])
def test_statistics_that_are_named_and_not_there_are_refused_where_the_checkpoint_has_its_own(
    tiny_act: Path, named: str
) -> None:
    with pytest.raises(PolicyLoadError, match="names no statistics of a feature of this policy; there are") as error:
        load(tiny_act, statistics_from=(named,))
    assert f"statistics_from: {named} names" in str(error.value) and "observation.images.front" in str(error.value)


def test_the_shipped_kinds_of_policies_are_green(tiny_act: Path, tiny_smolvla: Path, tiny_vqbet: Path) -> None:
    from so101_policy_server.lerobot.checkpoint import find_checkpoint
    from so101_policy_server.lerobot.examine import examine

    for folder in (tiny_act, tiny_smolvla, tiny_vqbet):
        examined = examine(find_checkpoint(str(folder)), PolicySource(str(folder)))
        assert {finding.verdict for finding in examined.findings} == {"green"}, examined.findings
